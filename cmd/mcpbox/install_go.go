package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/policy"
)

// cgo is the name by which a policy's [packages] scripts allows packages in Go to
// have C compiled, with flags of their own for the compiler.
const cgo = "cgo"

// golang builds the request with the user's Go, in two boxes. The first one
// fetches modules, compares them with the checksum database and writes go.sum; it
// builds nothing. The second one builds, as "go install" does, and has neither
// network nor logins. Neither runs a program of a module, and //go:generate is
// only for those who write them.
func (in *installation) golang(ctx context.Context, st *packages.Staging) (*installed, error) {
	config, err := in.goConfig(ctx)
	if err != nil {
		return nil, err
	}
	pkg := in.request.Packages[0]
	if pattern := config.Private(pkg.Name); pattern != "" {
		return nil, fmt.Errorf("by %q in GONOPROXY or GOPRIVATE it is fetched from its repository, which is not done here, as that runs git and the like; "+
			"if your proxy has it, type: go env -w GONOPROXY=none", pattern)
	}
	if in.again != nil && in.again.Go.Toolchain != config.Version {
		return nil, fmt.Errorf("it is pinned as built by %s, and go is %s; to build it anew, type: mcpbox update %s", in.again.Go.Toolchain, config.Version, in.server)
	}
	in.say("installing %s from %s, once", in.request, config.From())
	network, err := in.registryRules(ctx, config.Registries(), config.Proxy)
	if err != nil {
		return nil, err
	}
	work, root := filepath.Join(st.Dir, "work"), filepath.Join(st.Dir, "root")
	for _, dir := range []string{work, filepath.Join(work, "tmp"), root, filepath.Join(root, "bin")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	version, sum, err := in.goFetch(ctx, config, network, work)
	if err != nil {
		return nil, err
	}
	ran := in.runs([]string{cgo})
	file, err := in.goBuild(ctx, config, work, pkg.Name+"@"+version, len(ran) > 0)
	if err != nil {
		return nil, err
	}
	final := filepath.Join(root, "bin", filepath.Base(file))
	if err := os.Rename(file, final); err != nil {
		return nil, err
	}
	digest, err := fileDigest(final)
	if err != nil {
		return nil, err
	}
	lock, err := packages.NewGoLock(final, digest, pkg.Name, sum)
	if err != nil {
		return nil, err
	}
	if in.again != nil && lock.Digest(nil) != in.again.Digest(nil) {
		return nil, fmt.Errorf("what go has built is not what the pin says; to build it anew, and see what is new in it, type: mcpbox update %s", in.server)
	}
	return in.publishGo(st, root, config, lock, ran)
}

// goFetch fetches all that the package needs, without building it. It returns the
// version of the package's module, and go.sum. What is pinned has to have the
// hashes that it had.
func (in *installation) goFetch(ctx context.Context, config *packages.GoConfig, network policy.Network, work string) (version, sum string, err error) {
	pkg, query := in.request.Packages[0].Name, in.request.Packages[0].Version
	if query == "" {
		query = "latest"
	}
	files := map[string]string{"go.mod": "module mcpbox.invalid/installation\n"}
	if in.again != nil {
		query, files["go.sum"] = in.again.Packages[0].Version, in.again.Go.Sum
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
			return "", "", err
		}
	}
	fetch := in.goBoxed(config, work, network, append(in.goFlags("get", "-tags"), pkg+"@"+query)...)
	fetch.files, fetch.env, fetch.read = fileNames(npmFiles, config.Files()), config.FetchEnv(work, npmFiles), append(fetch.read, config.Dirs()...)
	o, err := fetch.run(ctx)
	if err != nil {
		return "", "", err
	}
	if o.exit.Code != 0 {
		return "", "", in.goFailed(o)
	}
	// Which module has the package is known from what was built, but its version
	// has to be known to build it.
	list := in.goBoxed(config, work, policy.Network{Mode: policy.NetworkNone}, append(in.goFlags("list", "-tags"), "-e", "-find", "-f", "{{with .Module}}{{.Version}}{{end}}", pkg)...)
	list.env = config.BuildEnv(work, false)
	if o, err = list.run(ctx); err != nil {
		return "", "", err
	}
	if version = strings.TrimSpace(o.out); o.exit.Code != 0 || strings.ContainsAny(version, "\n /@") || version == "" {
		return "", "", in.goFailed(o)
	}
	info, err := os.Lstat(filepath.Join(work, "go.sum"))
	if err != nil {
		return "", "", err
	}
	if !info.Mode().IsRegular() || info.Size() > maxGoSum {
		return "", "", errors.New("go.sum is not the file that go writes")
	}
	data, err := os.ReadFile(filepath.Join(work, "go.sum"))
	return version, string(data), err
}

// maxGoSum bounds go.sum. Large programs have 200 KiB.
const maxGoSum = 8 << 20

// goBuild builds the program, and returns where it is.
func (in *installation) goBuild(ctx context.Context, config *packages.GoConfig, work, what string, withC bool) (string, error) {
	if err := quarantine.Check(in.dirs.State, in.server); err != nil {
		return "", err
	}
	in.say("building %s", what)
	build := in.goBoxed(config, work, policy.Network{Mode: policy.NetworkNone}, append(in.goFlags("install", "-tags", "-ldflags"), "-trimpath", what)...)
	build.env = config.BuildEnv(work, withC)
	o, err := build.run(ctx)
	if err != nil {
		return "", err
	}
	if o.exit.Code != 0 {
		err := in.goFailed(o)
		if !withC && strings.Contains(o.errOut, "build constraints exclude all Go files") {
			err = fmt.Errorf("%w; if that is because it is written in C in part, write [packages] scripts = [%q] into %s, to have that compiled", err, cgo, in.policyFile)
		}
		return "", err
	}
	file, err := onlyProgram(filepath.Join(work, "bin"))
	if err != nil {
		return "", fmt.Errorf("%s has no program to run: %w", what, err)
	}
	return file, nil
}

// onlyProgram is the one file of a directory that a box has made, which may have left a
// link to somewhere else in its place: a C compiler reads what a package has written.
func onlyProgram(dir string) (string, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is no directory", filepath.Base(dir))
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(list) != 1 || !list[0].Type().IsRegular() {
		return "", fmt.Errorf("%s has not one file", filepath.Base(dir))
	}
	return filepath.Join(dir, list[0].Name()), nil
}

// goFlags is a command of Go with those flags of the request that it knows.
func (in *installation) goFlags(command string, names ...string) []string {
	argv := []string{command}
	for _, flag := range in.request.Build {
		if name, _, _ := strings.Cut(flag, "="); slices.Contains(names, name) {
			argv = append(argv, flag)
		}
	}
	return argv
}

// goBoxed makes a command of Go.
func (in *installation) goBoxed(config *packages.GoConfig, work string, network policy.Network, args ...string) *boxed {
	b := in.boxed(work, network, append([]string{filepath.Join(config.Root, "bin", "go")}, args...)...)
	b.read = []string{config.Root}
	return b
}

// goFailed is an error from what go has said, and what to do about it.
func (in *installation) goFailed(o *boxedEnd) error {
	repository := strings.Contains(o.errOut, "GOVCS disallows") || strings.Contains(o.errOut, "?go-get=1")
	if repository {
		o.refused = nil // it would be of no use
	}
	err := in.explained("go", o)
	switch {
	case repository:
		return fmt.Errorf("%w; modules are taken from the proxy only (see GOPROXY, GONOPROXY and GOPRIVATE), not from their repositories, as that runs git and the like", err)
	case strings.Contains(o.errOut, "GOTOOLCHAIN=local"):
		return fmt.Errorf("%w; install that version of Go: no other one is fetched for it", err)
	case strings.Contains(o.errOut, "SECURITY ERROR"):
		return fmt.Errorf("%w; its content is not what was published under that version", err)
	}
	return err
}

// publishGo makes an entry of a program.
func (in *installation) publishGo(st *packages.Staging, root string, config *packages.GoConfig, lock *packages.Lock, ran []string) (*installed, error) {
	bin, err := lock.Program(in.request)
	if err != nil {
		return nil, err
	}
	main := lock.Packages[0]
	e := &packages.Entry{
		Kind: packages.Go, Name: main.Name, Version: main.Version, Request: in.request, Tarball: main.Integrity, Integrity: lock.Digest(ran),
		Origin: []string{config.From()}, Asked: goAsked(config), Installed: time.Now().UTC(), Dependencies: len(lock.Packages) - 2, Scripts: ran, Ran: ran,
		Signatures: lock.Checked(config),
	}
	if e.Bytes, err = packages.CheckTree(root, in.limit); err != nil {
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

func goAsked(config *packages.GoConfig) []string {
	return append(addresses(config.Registries()), config.Dirs()...)
}

// goConfig asks the user's Go for its configuration, where no module is, and as
// the Go that it is itself.
func (in *installation) goConfig(ctx context.Context) (*packages.GoConfig, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "-json")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "GOTOOLCHAIN=local")
	var said strings.Builder
	cmd.Stderr = &said
	settings, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, &codedError{exitNotFound, fmt.Errorf("%s: go, which builds packages, is not in PATH; install Go", in.request.Runner)}
	}
	if err != nil {
		return nil, fmt.Errorf("go env: %w: %s", err, cut(strings.TrimSpace(said.String())))
	}
	config, err := packages.ReadGoConfig(settings, os.Environ(), in.host.Facts().Home)
	if err != nil {
		return nil, err
	}
	in.secrets = append(in.secrets, config.Secrets()...)
	return config, nil
}

// fileDigest is the SHA-256 of a file, in hexadecimal.
func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
