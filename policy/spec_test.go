package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden cases: the comment block at the head of a policy, between lines "# host"
// and the first other line, is what the machine has besides baseHost.
func goldenHost(t *testing.T, data []byte) *fakeHost {
	var lines strings.Builder
	in := false
	for line := range strings.Lines(string(data)) {
		switch {
		case line == "# host\n":
			in = true
		case in && strings.HasPrefix(line, "#   "):
			lines.WriteString(strings.TrimPrefix(line, "#   "))
		default:
			in = false
		}
	}
	return newHost(t, lines.String())
}

// TestSpecGolden turns testdata/*.toml into specifications and explanations.
// The system call filter has tests of its own and is left out.
func TestSpecGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			h := goldenHost(t, data)
			p, err := Parse("/home/ann/.config/mcpbox/servers/"+filepath.Base(file), data)
			if err != nil {
				t.Fatal(err)
			}
			p.Profile, p.Why = "node", "the command runs node"
			prog := Program{Exec: "/usr/bin/node", Argv: []string{"node", "main.js", "a b"}}
			if p.BackendName() == BackendContainerd {
				prog = Program{Image: goldenImage(p)}
			}
			spec, report, err := Spec(p, prog, h)
			if err != nil {
				t.Fatal(err)
			}
			checkInvariants(t, spec)
			if spec.Linux.Seccomp == nil {
				t.Fatal("no system call filter")
			}
			spec.Linux.Seccomp = nil
			var out bytes.Buffer
			enc := json.NewEncoder(&out)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			if err := enc.Encode(spec); err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(file, ".toml")
			compare(t, name+".json", out.Bytes())
			compare(t, name+".txt", []byte(Explain(p, spec, report).String()))
		})
	}
}

// goldenImage is an image that wants all that an image can want.
func goldenImage(p *Policy) *Image {
	return &Image{
		Ref: p.Image.Value, Digest: "sha256:" + strings.Repeat("5a", 32),
		Entrypoint: []string{"node", "/app/index.js"}, Cmd: []string{"--stdio"},
		Env: []string{
			"PATH=/app/bin::relative:/usr/local/bin:/usr/bin:/bin", "NODE_ENV=production", "LD_PRELOAD=/app/hook.so",
			"HOME=/root", "TOKEN=from the image", "not a name=1",
		},
		WorkingDir: "/app/", User: "1234:0", Volumes: []string{"/data", "/app/cache"},
	}
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; look at it and run the test with -update\n%s", file, got)
	}
}

// checkInvariants holds for every specification.
func checkInvariants(t testing.TB, s *specs.Spec) {
	t.Helper()
	seen := map[string]bool{}
	for i, m := range s.Mounts {
		if seen[m.Destination] {
			t.Errorf("%s is mounted twice", m.Destination)
		}
		seen[m.Destination] = true
		if m.Destination != filepath.Clean(m.Destination) || !filepath.IsAbs(m.Destination) {
			t.Errorf("%q is no clean path", m.Destination)
		}
		for _, before := range s.Mounts[:i] {
			if below(before.Destination, m.Destination) {
				t.Errorf("%s is mounted before its parent %s", before.Destination, m.Destination)
			}
		}
		if m.Type == "symlink" || m.Type == "file" {
			continue
		}
		if !slices.Contains(m.Options, "nosuid") {
			t.Errorf("%s is without nosuid", m.Destination)
		}
		if m.Source != "/dev/null" && filepath.Dir(m.Source) != "/dev" && !slices.Contains(m.Options, "nodev") {
			t.Errorf("%s is without nodev", m.Destination)
		}
	}
	for _, forbidden := range []string{"/", "/sys", "/run", "/etc", "/home", "/etc/shadow", "/etc/ssl/private"} {
		if seen[forbidden] {
			t.Errorf("%s is mounted", forbidden)
		}
	}
	if !s.Process.NoNewPrivileges || s.Process.Terminal || !s.Root.Readonly || s.Linux.Seccomp == nil {
		t.Error("the process could gain privileges")
	}
}

// TestZeroPolicy: the zero policy shows nothing of the user's, passes nothing
// and allows no unix socket.
func TestZeroPolicy(t *testing.T) {
	h := newHost(t, "")
	s, r, err := Spec(&Policy{}, Program{Exec: "/usr/bin/true"}, h)
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, s)
	for _, m := range s.Mounts {
		if m.Type == "bind" && within(m.Source, "/home") {
			t.Errorf("shows %s", m.Source)
		}
	}
	for _, e := range s.Process.Env {
		if strings.Contains(e, "secret") || strings.Contains(e, "canary") || strings.HasPrefix(e, "LD_") {
			t.Errorf("passes %s", e)
		}
	}
	if s.Annotations[AnnotationUnixSockets] != "none" || s.Process.Cwd != "/home/ann" || len(r.Read)+len(r.Write) > 0 {
		t.Errorf("%v %s %v", s.Annotations, s.Process.Cwd, r)
	}
}

// mountAt returns the mount at a path of the box.
func mountAt(s *specs.Spec, at string) *specs.Mount {
	for i := range s.Mounts {
		if s.Mounts[i].Destination == at {
			return &s.Mounts[i]
		}
	}
	return nil
}

func TestProgram(t *testing.T) {
	h := newHost(t, `
f /home/ann/.nvm/v20/bin/node
l /home/ann/.nvm/v20/bin/npx -> ../lib/npx.js
f /home/ann/.nvm/v20/lib/npx.js
l /home/ann/.nvm/current -> v20
f /home/ann/tool
`)
	run := func(p *Policy, prog Program) (*specs.Spec, error) {
		s, _, err := Spec(p, prog, h)
		return s, err
	}
	// A tool below home that nobody shows cannot run.
	if _, err := run(&Policy{}, Program{Exec: "/home/ann/tool"}); err == nil || !strings.Contains(err.Error(), "--ro") {
		t.Errorf("a program that the box does not show: %v", err)
	}
	s, err := run(&Policy{}, Program{
		Exec: "/home/ann/.nvm/current/bin/node", Argv: []string{"/home/ann/.nvm/current/bin/node", "x.js"},
		Prefixes: []string{"/home/ann/.nvm/v20"}, PathDirs: []string{"/home/ann/.nvm/current/bin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m := mountAt(s, "/home/ann/.nvm/v20"); m == nil || !slices.Contains(m.Options, "rro") {
		t.Errorf("the prefix: %v", m)
	}
	if m := mountAt(s, "/home/ann/.nvm/current"); m == nil || m.Type != "symlink" || m.Source != "v20" {
		t.Errorf("the link that the program was found by: %v", m)
	}
	if s.Process.Args[0] != "/home/ann/.nvm/current/bin/node" {
		t.Errorf("runs %s", s.Process.Args[0])
	}
	if !slices.ContainsFunc(s.Process.Env, func(e string) bool { return strings.HasPrefix(e, "PATH=/home/ann/.nvm/current/bin:/usr") }) {
		t.Errorf("PATH: %v", s.Process.Env)
	}
	// No prefix opens what no policy could.
	for _, prefix := range []string{"/", "/home", "/home/ann", "/run", "/home/ann/.local", "/home/ann/.config/mcpbox"} {
		if _, err := run(&Policy{}, Program{Exec: "/usr/bin/true", Prefixes: []string{prefix}}); err == nil {
			t.Errorf("prefix %s is shown", prefix)
		}
	}
}
