package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
)

// pipAlone is a sitecustomize module (Python's "site"): pip, which runs in the
// virtual environment, starts no other program there. Unpacking wheels takes
// none. Repositories and archives that a wheel's metadata names by address
// ("NAME @ git+https://…", PEP 508) are none to --only-binary: pip would clone
// and build them, by their own code. It is an OSError for the sake of those
// programs that pip does without.
const pipAlone = `import sys

def alone(event, args):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.forkpty", "pty.spawn"):
        raise PermissionError("` + pipAloneSays + `")

if sys.prefix != sys.base_prefix:
    sys.addaudithook(alone)
`

const pipAloneSays = "pip may not start other programs here"

// pip installs the request with pip, whatever runner was named, into a virtual
// environment. Only wheels are installed: they are unpacked, while what comes as
// source is built by its own code.
func (in *installation) pip(ctx context.Context, st *packages.Staging) (*installed, error) {
	python, version, err := in.python(ctx)
	if err != nil {
		return nil, err
	}
	config, err := in.pipConfig(ctx, python)
	if err != nil {
		return nil, err
	}
	registries := config.Registries()
	in.say("installing %s from %s, once", in.request, registries[0])
	network, err := in.registryRules(ctx, registries, config.Proxy)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(st.Dir, "root")
	venv := filepath.Join(root, "venv")
	if err := os.Mkdir(root, 0o700); err != nil {
		return nil, err
	}
	files := map[string]string{filepath.Join(npmFiles, "pip.conf"): config.Text(filepath.Join(npmFiles, "ca.pem"))}
	files[filepath.Join(npmFiles, "sitecustomize.py")] = pipAlone
	if config.CA != nil {
		files[filepath.Join(npmFiles, "ca.pem")] = string(config.CA)
	}
	what := []string{"--"}
	for _, p := range in.request.Packages {
		what = append(what, p.Requirement())
	}
	if in.again != nil {
		files[filepath.Join(npmFiles, "requirements.txt")] = in.again.Requirements()
		what = []string{"--require-hashes", "--no-deps", "-r", filepath.Join(npmFiles, "requirements.txt")}
	}
	for _, argv := range [][]string{
		{python, "-I", "-m", "venv", "--without-pip", venv},
		append([]string{python, "-m", "pip", "--python", filepath.Join(venv, "bin", "python"), "install", "--only-binary", ":all:", "--no-compile", "--report", filepath.Join(root, "report.json")}, what...),
	} {
		step := in.boxed(root, network, argv...)
		step.files, step.env = files, map[string]string{"PIP_CONFIG_FILE": filepath.Join(npmFiles, "pip.conf"), "TMPDIR": root, "PYTHONNOUSERSITE": "1", "PYTHONPATH": npmFiles}
		o, err := step.run(ctx)
		if err != nil {
			return nil, err
		}
		// An index may keep its files elsewhere, as the public one does. Until here
		// only pip has run, and it goes nowhere but where the index sends it. Once a
		// wheel is in the environment, Python runs what its .pth files say.
		unpacked, _ := filepath.Glob(filepath.Join(venv, "lib", "python*", "site-packages", "*"))
		if rules := fileHosts(o.refused); o.exit.Code != 0 && len(rules) > 0 && len(unpacked) == 0 {
			in.say("the index keeps its files at %s; asking there, too", rules[0].Name)
			step.network.Allow = append(slices.Clone(step.network.Allow), rules...)
			if o, err = step.run(ctx); err != nil {
				return nil, err
			}
		}
		if o.exit.Code != 0 {
			err := in.explained("pip", o)
			if strings.Contains(o.errOut, "No matching distribution") || strings.Contains(o.errOut, pipAloneSays) {
				err = fmt.Errorf("%w; only wheels are installed, as what comes as source would run its own code to be built", err)
			}
			return nil, err
		}
	}
	report, err := os.ReadFile(filepath.Join(root, "report.json"))
	if err != nil {
		return nil, err
	}
	lock, err := packages.NewPythonLock(report, version, venv)
	if err != nil {
		return nil, err
	}
	if in.again != nil && lock.Digest(nil) != in.again.Digest(nil) {
		return nil, fmt.Errorf("what pip has installed is not what the pin says")
	}
	return in.publishPython(st, root, python, lock, addresses(registries))
}

// fileHosts are rules for hosts by name, for TLS, among what was refused. Addresses,
// which could be of this network, are no index's files.
func fileHosts(refused []netfilter.Event) []policy.Rule {
	var rules []policy.Rule
	for _, e := range refused {
		r, err := policy.ParseRule(e.Allow, policy.Origin{Flag: "the index"})
		if err == nil && r.Name != "" && !r.Suffix && !r.Raw && r.HasPort(443) && len(rules) < 4 {
			rules = append(rules, r)
		}
	}
	return rules
}

// publishPython makes an entry of what pip has left.
func (in *installation) publishPython(st *packages.Staging, root, python string, lock *packages.Lock, asked []string) (*installed, error) {
	bin, err := lock.Program(in.request)
	if err != nil {
		return nil, err
	}
	main := lock.Named(packages.NormalPyPI(in.request.Packages[0].Name))
	e := &packages.Entry{
		Kind: packages.PyPI, Name: main.Name, Version: main.Version, Request: in.request, Tarball: main.Integrity, Integrity: lock.Digest(nil),
		Origin: lock.Hosts(), Asked: asked, Installed: time.Now().UTC(), Dependencies: len(lock.Packages) - 1,
		Signatures: packages.Signatures{State: packages.Unsigned, Detail: "indexes of Python packages have no signatures"},
	}
	if err := keepOnly(root, "venv"); err != nil {
		return nil, err
	}
	// The environment's own links lead out of it, to the interpreter: they are
	// made anew, not believed.
	venv := filepath.Join(root, "venv")
	if err := unlink(filepath.Join(venv, "bin")); err != nil {
		return nil, err
	}
	if e.Bytes, err = packages.CheckTree(venv, in.limit); err != nil {
		return nil, err
	}
	if err := os.Symlink(python, filepath.Join(venv, "bin", "python")); err != nil {
		return nil, err
	}
	if err := os.Symlink("python", filepath.Join(venv, "bin", "python3")); err != nil {
		return nil, err
	}
	final := filepath.Join(in.store.Dir(), string(e.Kind), packages.DirName(e.Name, e.Version, e.Integrity), "venv")
	if err := rewriteScripts(filepath.Join(venv, "bin"), venv, final); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(root, packages.LockName), lock.Data, 0o600); err != nil {
		return nil, err
	}
	if err := st.Publish(root, e, bin); err != nil {
		return nil, err
	}
	return &installed{e, lock, bin}, nil
}

// unlink takes the links out of a virtual environment's bin.
func unlink(bin string) error {
	list, err := os.ReadDir(bin)
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Type()&os.ModeSymlink != 0 {
			if err := os.Remove(filepath.Join(bin, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewriteScripts has the programs of an environment that moves name its new
// place in their first lines.
func rewriteScripts(bin, from, to string) error {
	list, err := os.ReadDir(bin)
	if err != nil {
		return err
	}
	for _, e := range list {
		path := filepath.Join(bin, e.Name())
		if !e.Type().IsRegular() {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(data, []byte("#!")) || !bytes.Contains(data, []byte(from+"/")) {
			continue
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(data, []byte(from+"/"), []byte(to+"/")), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// python finds the interpreter that was asked for, and its version.
func (in *installation) python(ctx context.Context) (path, version string, err error) {
	name := "python" + in.request.Python
	if in.request.Python == "" {
		name = "python3"
	}
	// The interpreter itself, not a shim or an environment that happens to be on.
	cmd := exec.CommandContext(ctx, name, "-I", "-c", "import sys; print(getattr(sys, '_base_executable', None) or sys.executable); print('%d.%d' % sys.version_info[:2])")
	cmd.Dir = "/"
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != 2 {
		return "", "", &codedError{exitNotFound, fmt.Errorf("%s: there is no %s, which is to run it; install it", in.request.Runner, name)}
	}
	if in.again != nil && in.again.Python != lines[1] {
		return "", "", fmt.Errorf("it is pinned for Python %s, and %s is %s; to install it anew, type: mcpbox update %s", in.again.Python, name, lines[1], in.server)
	}
	return lines[0], lines[1], nil
}

// pipConfig asks pip for its configuration.
func (in *installation) pipConfig(ctx context.Context, python string) (*packages.PipConfig, error) {
	cmd := exec.CommandContext(ctx, python, "-m", "pip", "config", "list")
	cmd.Dir = "/"
	settings, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s -m pip, which installs packages, does not run: %w; install pip for it", python, err)
	}
	config, err := packages.ReadPipConfig(string(settings), os.Environ(), func() string {
		help := exec.CommandContext(ctx, python, "-m", "pip", "install", "--help")
		help.Dir = "/"
		text, err := help.Output()
		if err != nil {
			return ""
		}
		return packages.DefaultIndex(string(text))
	})
	if err != nil {
		return nil, err
	}
	if in.request.Registry != "" {
		config.Index = in.request.Registry
	}
	in.secrets = append(in.secrets, config.Secrets()...)
	return config, nil
}
