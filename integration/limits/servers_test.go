package limits

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A program with a just-in-time compiler, which reserves far more addresses than
// there is memory, runs under the limits that nobody has to name.
func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		lack(t, "Node.js")
	}
	const script = `new WebAssembly.Memory({ initial: 16, maximum: 65536 });
		new SharedArrayBuffer(1 << 24);
		fetch("http://127.0.0.1:1").catch(() => console.log("works"));`
	inEach(t, func(t *testing.T, p place) {
		cmd := p.command(t, home(t, p), "run", "--raw", "--", node, "-e", script)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "works\n" {
			t.Errorf("%v: %s", err, out)
		}
	})
}

// A box that takes all inotify instances that it can get leaves some to its user.
func TestInotify(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		a := &attack{t: t, place: p}
		code, _ := a.run("inotify")
		n, err := strconv.Atoi(strings.TrimSpace(a.stdout.String()))
		if code != 0 || err != nil || n == 0 || n > 32 {
			t.Errorf("code %d, %q instances", code, a.stdout.String())
		}
	})
	fd, err := unix.InotifyInit1(0)
	if err != nil {
		t.Fatalf("the host has none left: %v", err)
	}
	unix.Close(fd)
}
