package containers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// pid1 is the program that containers start with, built for these tests.
var pid1 string

func TestMain(m *testing.M) {
	containerd.Init()
	if text := os.Getenv(jobVariable); text != "" {
		if err := launch(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "mcpbox-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some launchers are other users
		return 0, err
	}
	pid1 = filepath.Join(dir, "init")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", pid1, "github.com/mcpbox/mcpbox/sandbox/containerd/initprog")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build PID 1: %w: %s", err, out)
	}
	return m.Run(), nil
}

// busybox is an image with a shell and what it needs, which is nothing.
func busybox(t testing.TB) image.Recipe {
	t.Helper()
	const program = "/usr/bin/busybox"
	if _, err := os.Stat(program); err != nil {
		need(t, "busybox is not installed (Debian: busybox-static)")
	}
	r := image.Recipe{Ref: "example.com/busybox:1", Files: map[string]string{"/bin/busybox": program}, Links: map[string]string{}}
	r.Config.Env = []string{"PATH=/bin"}
	for _, name := range []string{"sh", "cat", "echo", "sleep", "id", "ls", "stat", "mkdir", "rm", "touch", "ps", "kill", "wget", "nc", "dd", "true", "head", "tail", "grep", "readlink", "setsid", "mount", "chmod", "ip", "ping", "nslookup", "hostname", "seq", "env", "od", "mkfifo", "timeout"} {
		r.Links["/bin/"+name] = "busybox"
	}
	return r
}

func need(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// machine is a containerd of a test's own, with one image.
type machine struct {
	*ctr.Daemon
	client  *containerd.Client
	image   *containerd.Image
	runtime string
}

// each runs a test once for each runtime.
func each(t *testing.T, test func(*testing.T, *machine)) {
	m := start(t, busybox(t))
	for _, runtime := range []string{"runc", "runsc"} {
		t.Run(runtime, func(t *testing.T) {
			if _, err := exec.LookPath(runtime); err != nil {
				need(t, runtime+" is not installed; run scripts/setup test")
			}
			m.runtime = runtime
			test(t, m)
		})
	}
}

func start(t testing.TB, r image.Recipe) *machine {
	t.Helper()
	d := ctr.Start(t)
	c, err := containerd.Dial(t.Context(), d.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	var archive bytes.Buffer
	if err := image.Write(&archive, r); err != nil {
		t.Fatal(err)
	}
	images, err := c.Import(t.Context(), &archive, "")
	if err != nil {
		t.Fatal(err)
	}
	return &machine{d, c, images[0], "runc"}
}

// backend is one for the next run.
func (m *machine) backend(t testing.TB) *containerd.Backend {
	t.Helper()
	id := fmt.Sprintf("%08x", newID())
	dir := filepath.Join(t.TempDir(), id)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &containerd.Backend{Client: m.client, Runtime: m.runtime, Image: *m.image, RunDir: dir, ID: id, Init: pid1}
}

// specOf is the specification of a policy for the machine's image.
func (m *machine) specOf(t testing.TB, text string, argv ...string) *specs.Spec {
	t.Helper()
	p, err := policy.Parse("policy.toml", []byte(fmt.Sprintf("backend = \"containerd\"\nimage = %q\n%s", m.image.Ref, text)))
	if err != nil {
		t.Fatal(err)
	}
	host, err := policy.OSHost(policy.Dirs{Config: "/nonexistent/config", State: "/nonexistent/state", Cache: "/nonexistent/cache", Runtime: "/nonexistent/runtime"})
	if err != nil {
		t.Fatal(err)
	}
	config := m.image.Config
	spec, _, err := policy.Spec(p, policy.Program{Argv: argv, Image: &policy.Image{
		Ref: m.image.Ref, Digest: m.image.Digest, Entrypoint: config.Entrypoint, Cmd: config.Cmd, Env: config.Env, WorkingDir: config.WorkingDir,
	}}, boxHost{host})
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// boxHost is this machine, where a box has a user of its own.
type boxHost struct{ policy.Host }

func (h boxHost) Facts() policy.Facts {
	f := h.Host.Facts()
	var err error
	if f.EUID, f.EGID, err = native.BoxUser(); err != nil {
		panic(err)
	}
	return f
}

var ids uint32

func newID() uint32 { ids++; return uint32(os.Getpid())<<12 + ids }
