package limits

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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

// A box that takes all inotify instances that it can get leaves some to the host, and all
// of its own to the next box.
func TestInotify(t *testing.T) {
	inEach(t, testInotify)
	inContainers(t, testInotify)
}

func testInotify(t *testing.T, p place) {
	const each = 32
	user := p.uid
	if user == 0 { // who is not to be without, not for a moment
		user = 21000 + os.Getpid()%10000
	}
	// The control: without a box there are more.
	if n := bareInotify(t, user); n <= each {
		t.Fatalf("without a box there are %d instances, which proves nothing", n)
	}
	all := map[int]bool{}
	for range 2 {
		a := &attack{t: t, place: p}
		a.start("inotify")
		said := func() string { return strings.TrimSpace(a.stdout.String()) }
		a.await("instances", func() bool { return said() != "" })
		n, err := strconv.Atoi(said())
		if err != nil || p.kind() == "runsc" && n <= each || p.kind() != "runsc" && n != each {
			t.Errorf("it has %q of them", said())
		}
		maps.Copy(all, a.members())
		defer func() {
			a.stdin.Close()
			if code, _ := a.end(); code != 0 {
				t.Errorf("code %d, %q", code, a.stderr.String())
			}
		}()
	}
	for pid := range hogs(t) {
		all[pid] = true
	}
	held, want := 0, 2*each
	for pid := range all {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, file := range files {
			if to, _ := os.Readlink(file); to == "anon_inode:inotify" {
				held++
			}
		}
	}
	if p.kind() == "runsc" {
		want = 0 // they are of a kernel in memory
	}
	if held != want {
		t.Errorf("two boxes hold %d of the host's, want %d", held, want)
	}
	if n := bareInotify(t, user); n < each {
		t.Errorf("%d are left for the user", n)
	}
	fd, err := unix.InotifyInit1(0)
	if err != nil {
		t.Fatalf("none is left for root: %v", err)
	}
	unix.Close(fd)
}

// bareInotify is how many instances a user gets without a box.
func bareInotify(t *testing.T, uid int) int {
	t.Helper()
	cmd := exec.Command(needPrograms(t).hog, "inotify")
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.Output()
	n, e := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || e != nil {
		t.Fatalf("%v: %q", err, out)
	}
	return n
}
