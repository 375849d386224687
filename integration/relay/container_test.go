package relay

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/integration/setup"
)

// somebody owns nothing but what these tests give him, and may use containerd. What
// a box of root's may write to takes a newer runc than many have.
const somebody = 54322

// engine starts containers with one runtime. The image has a shell, and what a server
// loads that is no static program; the servers are declared, as in a native box.
type engine struct {
	daemon *ctr.Daemon
	mcpbox string
	flags  []string // of mcpbox run
}

// startEngine starts containerd, and has it keep an image. The engines are by the names
// of their runtimes.
func startEngine(t *testing.T) (engines map[string]*engine) {
	t.Helper()
	ctr.Need(t)
	busybox, err := exec.LookPath("busybox")
	setup.Need(t, err == nil, "busybox (Debian: busybox-static)")
	d := ctr.Start(t)
	if err := os.Chown(d.Address, somebody, somebody); err != nil {
		t.Fatal(err)
	}
	r := image.Recipe{Ref: "example.com/relay:1", Programs: goEverything(t).argv, Files: map[string]string{"/bin/busybox": busybox}, Links: map[string]string{"/bin/sh": "busybox"}}
	r.Config.Env = []string{"PATH=/bin"}
	var archive bytes.Buffer
	if err := image.Write(&archive, r); err != nil {
		t.Fatal(err)
	}
	mcpbox := setup.Found(t, "MCPBOX_BIN", "../../bin/mcpbox", "make build")
	load := exec.Command(mcpbox, "image", "import", "-")
	load.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "CONTAINERD_ADDRESS=" + d.Address}
	load.Stdin = &archive
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("image import: %v\n%s", err, out)
	}
	engines = map[string]*engine{}
	for _, runtime := range []string{"runc", "runsc"} {
		engines[runtime] = &engine{d, mcpbox, []string{"--backend", "containerd", "--image", r.Ref, "--runtime", runtime}}
	}
	return engines
}

// give makes a start somebody's.
func (e *engine) give(t *testing.T, r *run) {
	t.Helper()
	for _, dir := range []string{"", "tap", "tmp"} {
		if err := os.Chown(filepath.Join(r.dir, dir), somebody, somebody); err != nil {
			t.Fatal(err)
		}
	}
	r.cmd.Env = append(r.cmd.Env, "CONTAINERD_ADDRESS="+e.daemon.Address)
	r.cmd.SysProcAttr.Credential = &syscall.Credential{Uid: somebody, Gid: somebody}
}

// containers are the ways with each runtime.
func containers(t *testing.T, engines map[string]*engine) (ways []way) {
	t.Helper()
	for _, runtime := range []string{"runc", "runsc"} {
		_, err := exec.LookPath(runtime)
		setup.Need(t, err == nil, runtime)
		ways = append(ways, way{name: runtime, boxed: true, in: engines[runtime]})
	}
	return ways
}

// In containers, with runc and with gVisor, a client sees in each revision of the
// protocol what it sees bare, to the byte; each request is answered once whatever
// becomes of the server; and the conformance suite finds the same.
func TestContainers(t *testing.T) {
	boxes := containers(t, startEngine(t))
	t.Run("conformance", func(t *testing.T) {
		t.Parallel()
		conformanceSets[0].compare(t, boxes...)
	})
	for _, row := range clientRows() {
		if row.name == "typescript" {
			continue // Node.js is not in the image; see ../servers
		}
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.compare(t, append([]way{bare}, boxes...))
		})
	}
	for _, w := range boxes {
		t.Run("chaos in "+w.name, func(t *testing.T) { chaos(t, w, 3) })
	}
}

// A session in a container does not notice that containerd has died, nor that the
// shim has, and its server ends when the host ends it. What is left then goes once
// containerd is there again.
func TestContainerdDies(t *testing.T) {
	for i, runtime := range []string{"runc", "runsc"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			w := containers(t, startEngine(t))[i]
			r := w.command(t, peerSDK(t))
			d := w.in.daemon
			seen := watch(t, r, "2025-11-25", func(ctx context.Context, client *witness) {
				if err := d.Kill(); err != nil {
					t.Fatal(err)
				}
				client.call(ctx, "big", map[string]any{"n": 5 << 20})
				shims := d.Shims()
				for _, shim := range shims {
					if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
						t.Error(err)
					}
				}
				if len(shims) != 1 {
					t.Errorf("shims: %v", shims)
				}
				client.call(ctx, "big", map[string]any{"n": 1 << 20})
				client.call(ctx, "progress", map[string]any{"n": 200})
				client.await(200, "progress of token of progress")
			})
			if n := len(slices.DeleteFunc(seen, func(s string) bool { return !strings.HasPrefix(s, "big: error false") })); n != 2 {
				t.Errorf("%d results: %q", n, seen)
			}
			if err := errors.Join(d.Run(), os.Chown(d.Address, somebody, somebody)); err != nil {
				t.Fatal(err)
			}
			if kept(t, d) == "" {
				t.Error("there is nothing to remove: the test proves nothing")
			}
			ps := exec.Command(w.in.mcpbox, "ps")
			ps.Env, ps.SysProcAttr = r.cmd.Env, &syscall.SysProcAttr{Credential: r.cmd.SysProcAttr.Credential}
			if out, err := ps.CombinedOutput(); err != nil {
				t.Errorf("ps: %v: %s", err, out)
			}
			if left := kept(t, d); left != "" {
				t.Errorf("left: %s", left)
			}
		})
	}
}

// kept are the containers that containerd knows of.
func kept(t *testing.T, d *ctr.Daemon) string {
	t.Helper()
	out, err := exec.Command("ctr", "--address", d.Address, "--namespace", "mcpbox", "containers", "list", "--quiet").CombinedOutput()
	if err != nil {
		t.Fatalf("ctr: %v: %s", err, out)
	}
	return string(out)
}
