package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
)

// home is a made-up home directory, with a secret in it that no answer may
// show.
type home struct {
	dir  string
	cwd  string
	vars map[string]string

	writable, readable []string
}

// newHome makes a home from lines such as
//
//	.nvm/bin/node elf            an executable that does nothing
//	.local/bin/x -> ../y         a symbolic link
//	work/cli.js = #!/bin/sh\nexit   an executable text file
//	work/server.js : text        a text file
//
// "~" in a target or text is the home directory, and \n a line feed.
func newHome(t *testing.T, lines string) *home {
	t.Helper()
	base, err := os.MkdirTemp("", "program")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	h := &home{dir: canonical(base) + "/u", vars: map[string]string{"PATH": "/usr/bin:/bin"}}
	h.cwd = h.dir + "/work"
	h.write(t, ".ssh/id_ed25519", "secret", 0o600)
	h.write(t, ".config/mcpbox/config.toml", "secret", 0o600)
	h.write(t, "private.txt", "secret", 0o600)
	if err := os.MkdirAll(h.cwd, 0o755); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(lines) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		kind, text, _ := strings.Cut(rest, " ")
		text = h.expand(strings.ReplaceAll(text, `\n`, "\n"))
		switch kind {
		case "elf":
			data, err := os.ReadFile("/usr/bin/true")
			if err != nil {
				t.Fatal(err)
			}
			h.write(t, name, string(data), 0o755)
		case "->":
			h.write(t, name+".made", "", 0o600) // for the directory
			os.Remove(filepath.Join(h.dir, name+".made"))
			if err := os.Symlink(text, filepath.Join(h.dir, name)); err != nil {
				t.Fatal(err)
			}
		case "=":
			h.write(t, name, text, 0o755)
		case ":":
			h.write(t, name, text, 0o644)
		default:
			t.Fatalf("line %q", line)
		}
	}
	return h
}

func (h *home) write(t *testing.T, name, text string, perm os.FileMode) {
	t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), perm); err != nil {
		t.Fatal(err)
	}
}

func (h *home) expand(s string) string { return strings.ReplaceAll(s, "~", h.dir) }

// find looks for a command whose words may hold "~", with directories in front
// of PATH.
func (h *home) find(path, command string) (policy.Program, error) {
	if path != "" {
		h.vars["PATH"] = h.expand(path) + ":/usr/bin:/bin"
	}
	return Find(Query{
		Argv: strings.Fields(h.expand(command)),
		Env:  func(name string) string { return h.expand(h.vars[name]) },
		Cwd:  h.cwd, Home: h.dir, Own: []string{h.dir + "/.config/mcpbox", h.dir + "/.local/state/mcpbox"},
		Writable: h.writable, Readable: h.readable,
	})
}

// short names a list of paths as in the tables: sorted, with "~".
func (h *home) short(paths []string) string {
	paths = slices.Clone(paths)
	for i, p := range paths {
		paths[i] = strings.ReplaceAll(p, h.dir, "~")
	}
	return strings.Join(paths, " ")
}

// checkShown fails if an answer shows more than a program's own.
func (h *home) checkShown(t *testing.T, p policy.Program) {
	t.Helper()
	for _, dir := range p.Prefixes {
		if canonical(dir) != dir {
			t.Errorf("prefix %s is not canonical", dir)
		}
		if within(h.dir, dir) {
			t.Errorf("prefix %s holds the home directory", dir)
		}
		for _, secret := range []string{".ssh/id_ed25519", ".config/mcpbox/config.toml", "private.txt"} {
			if within(filepath.Join(h.dir, secret), dir) {
				t.Errorf("prefix %s shows %s", dir, secret)
			}
		}
	}
	for _, path := range append(slices.Clone(p.Files), p.Exec) {
		if !filepath.IsAbs(path) {
			t.Errorf("%s is not absolute", path)
		}
	}
	if len(p.Argv) == 0 || p.Argv[0] != p.Exec {
		t.Errorf("executes %s as %q", p.Exec, p.Argv)
	}
}

// need skips, or fails where everything must be tested, without a program.
func need(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip("needs " + name)
	}
	return path
}

// inBox runs an answer with nothing of the host but the system's directories
// and what the answer names, through bubblewrap.
func inBox(t *testing.T, p policy.Program, cwd string) (string, error) {
	t.Helper()
	args := []string{"--unshare-all", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--clearenv",
		"--setenv", "PATH", strings.Join(append(slices.Clone(p.PathDirs), "/usr/local/bin", "/usr/bin", "/bin"), ":")}
	for _, dir := range SystemDirs() {
		if link, err := os.Readlink(dir); err == nil {
			args = append(args, "--symlink", link, dir)
		} else if isDir(dir) {
			args = append(args, "--ro-bind", dir, dir)
		}
	}
	var links [][2]string
	for _, path := range append(slices.Clone(p.Prefixes), p.Files...) {
		real := canonical(path)
		if !slices.Contains(args, real) {
			args = append(args, "--ro-bind", real, real)
		}
	}
	// The links on the way, as package policy makes them.
	for _, path := range append(slices.Clone(p.Files), append(p.PathDirs, p.Exec)...) {
		f := newFinder(Query{Env: func(string) string { return "" }, Home: "/nonexistent"})
		f.prefixes = p.Prefixes
		f.follow(path, func(link string) bool {
			if text, err := os.Readlink(link); err == nil && !slices.Contains(links, [2]string{text, link}) {
				links = append(links, [2]string{text, link})
			}
			return true
		})
	}
	for _, l := range links {
		args = append(args, "--symlink", l[0], l[1])
	}
	args = append(args, "--dir", cwd, "--chdir", cwd, "--", p.Exec)
	out, err := exec.Command(need(t, "bwrap"), append(args, p.Argv[1:]...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
