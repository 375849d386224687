package containers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/integration/setup"
	"golang.org/x/sys/unix"
)

// rootlessUser is a user with a containerd of his own, with an image and mcpbox.
type rootlessUser struct {
	*ctr.Rootless
	mcpbox, ref string
}

// TestRootlessNumbers: a containerd that numbers processes otherwise is not used, as
// somebody else has the number of PID 1. The control is TestRootless, which it is for.
func TestRootlessNumbers(t *testing.T) {
	r := ctr.StartRootless(t, "--pidns")
	bin := program(t)
	if out, err := exec.Command("cp", bin, bin+"-containerd", r.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := r.Command(filepath.Join(r.Dir, "mcpbox"), "run", "--backend", "containerd", "--image", "example.com/x:1").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "numbers processes otherwise; start rootlesskit without --pidns") {
		t.Errorf("%v: %s\n%s", err, out, r.Log())
	}
}

func newRootlessUser(t *testing.T) *rootlessUser {
	t.Helper()
	r := ctr.StartRootless(t)
	recipe, hog := busybox(t), filepath.Join(r.Dir, "hog")
	if err := setup.Build(hog, "../limits/hog", "CGO_ENABLED=0"); err != nil {
		t.Fatal(err)
	}
	recipe.Files["/bin/hog"] = hog
	var archive bytes.Buffer
	if err := image.Write(&archive, recipe); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.Dir, "image.tar")
	if err := os.WriteFile(file, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	// Where the user finds them, wherever they lie.
	bin := program(t)
	if out, err := exec.Command("cp", bin, bin+"-containerd", r.Dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	u := &rootlessUser{r, filepath.Join(r.Dir, "mcpbox"), recipe.Ref}
	if out, err := u.run("image", "import", file).CombinedOutput(); err != nil {
		t.Fatalf("import: %v\n%s\n%s", err, out, r.Log())
	}
	return u
}

func (u *rootlessUser) run(args ...string) *exec.Cmd {
	return u.Command(append([]string{u.mcpbox}, args...)...)
}

// server runs a shell command in a box.
func (u *rootlessUser) server(flags []string, script string) *exec.Cmd {
	line := append([]string{"run", "--raw", "--name", "x", "--backend", "containerd", "--image", u.ref}, flags...)
	return u.run(append(line, "--", "sh", "-c", script)...)
}

// of are the user's processes whose command line begins so.
func (u *rootlessUser) of(text string) (list []int) {
	for pid, line := range u.Processes() {
		if strings.HasPrefix(line, text) {
			list = append(list, pid)
		}
	}
	return list
}

func (u *rootlessUser) shims() (list []int) {
	for pid, line := range u.Processes() {
		if strings.HasPrefix(filepath.Base(strings.Fields(line)[0]), "containerd-shim") {
			list = append(list, pid)
		}
	}
	return list
}

// TestRootless: a containerd of an ordinary user's, in a user namespace, makes the same
// boxes: they are the user, reach what is declared, keep their limits, hear the commands
// and end with their launcher.
func TestRootless(t *testing.T) {
	u := newRootlessUser(t)
	t.Run("files", u.files)
	t.Run("network", u.network)
	t.Run("memory", u.memory)
	t.Run("slow measure", u.slowMeasure)
	t.Run("processes", u.processes)
	t.Run("priority", u.priority)
	t.Run("commands", u.commands)
	t.Run("launcher dies", u.launcherDies)
	t.Run("refused", u.refused)
}

func (u *rootlessUser) files(t *testing.T) {
	work, secret := filepath.Join(u.Home, "work"), filepath.Join(u.Dir, "secret")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Chown(work, u.UID, u.UID), os.WriteFile(secret, []byte("of root"), 0o600)); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("id -u; echo made >%s/f; echo kept >%s/g; cat %s; touch /bin/x /etc/x; cat /proc/self/uid_map", work, u.Home, secret)
	out, err := u.server([]string{"--rw", work, "--ro", secret}, script).Output()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) != 7 || lines[0] != fmt.Sprint(u.UID) {
		t.Errorf("%v, %q\n%s", err, out, u.Log())
	}
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(work, "f"), &st); err != nil || int(st.Uid) != u.UID {
		t.Errorf("the file on the host: %+v, %v", st, err)
	}
	if _, err := os.Stat(filepath.Join(u.Home, "g")); err == nil {
		t.Error("it wrote into the user's home")
	}
}

func (u *rootlessUser) network(t *testing.T) {
	accepted := map[string]*atomic.Int64{}
	address := map[string]string{}
	for _, name := range []string{"declared", "other"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		n := &atomic.Int64{}
		accepted[name], address[name] = n, l.Addr().String()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				n.Add(1)
				io.WriteString(c, "answered\n")
				c.Close()
			}
		}()
	}
	script := ""
	for _, name := range []string{"declared", "other"} {
		script += "nc " + strings.Replace(address[name], ":", " ", 1) + " </dev/null; "
	}
	// The control: without a box both are reached.
	if out, _ := u.Command("busybox", "sh", "-c", strings.ReplaceAll(script, "nc ", "busybox nc ")).Output(); string(out) != "answered\nanswered\n" {
		t.Fatalf("without a box: %q", out)
	}
	out, _ := u.server([]string{"--egress", "tcp://" + address["declared"]}, script).Output()
	if string(out) != "answered\n" || accepted["declared"].Load() != 2 || accepted["other"].Load() != 1 {
		t.Errorf("%q, %d and %d connections\n%s", out, accepted["declared"].Load(), accepted["other"].Load(), u.Log())
	}
}

// memory: a box that takes too much of it is killed, whatever the kind, and one with enough
// is not.
func (u *rootlessUser) memory(t *testing.T) {
	policy, out := filepath.Join(u.Dir, "memory.toml"), filepath.Join(u.Home, "counts")
	if err := errors.Join(os.WriteFile(policy, []byte("[limits]\ntmp = '1GiB'\n"), 0o644), os.Mkdir(out, 0o700), os.Chown(out, u.UID, u.UID)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"private", "shared", "dropped", "memfd", "shm", "memfd-mapped", "memfd-inflight", "memfd-thread", "headless"} {
		for _, limit := range []string{"64MiB", "1GiB"} {
			cmd := u.server([]string{"--memory", limit, "--policy", policy, "--rw", out}, fmt.Sprintf("exec hog memory %s %s/count 4 50", kind, out))
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if _, err := cmd.StdinPipe(); err != nil { // whose end would be the server's
				t.Fatal(err)
			}
			err := cmd.Run() // within a second of all that is taken
			if killed := limit == "64MiB"; killed && (err == nil || cmd.ProcessState.ExitCode() != 137 || !strings.Contains(stderr.String(), "--memory to raise")) ||
				!killed && (err != nil || stdout.String() != "took all true\n") {
				t.Errorf("%s, of %s: %v, %q, %s", kind, limit, err, stdout.String(), stderr.String())
			}
		}
	}
}

// slowMeasure: nor does one get past its limit, by much, that takes long to be measured.
func (u *rootlessUser) slowMeasure(t *testing.T) {
	const limit = 256
	out := filepath.Join(u.Home, "slow")
	if err := errors.Join(os.Mkdir(out, 0o700), os.Chown(out, u.UID, u.UID)); err != nil {
		t.Fatal(err)
	}
	server := func(most int) (*exec.Cmd, *strings.Builder) {
		cmd, stderr := u.server([]string{"--pids", "1024", "--memory", fmt.Sprintf("%dMiB", limit), "--rw", out},
			fmt.Sprintf("exec hog pieces %s/count 12 20000 %d", out, most)), new(strings.Builder)
		cmd.Stderr = stderr
		if _, err := cmd.StdinPipe(); err != nil { // whose end would be the server's
			t.Fatal(err)
		}
		return cmd, stderr
	}
	// The control: it seems to have far more than it may, is stopped again and again to
	// be measured, and goes on to its end.
	cmd, stderr := server(32)
	if err := cmd.Run(); err != nil {
		t.Errorf("below its limit: %v, %s", err, stderr)
	}
	cmd, stderr = server(2048)
	err := cmd.Run()
	if err == nil || cmd.ProcessState.ExitCode() != 137 || !strings.Contains(stderr.String(), "--memory to raise") {
		t.Errorf("%v, %s", err, stderr)
	}
	data, err := os.ReadFile(filepath.Join(out, "count"))
	if err != nil || len(data) < 8 {
		t.Fatal(len(data), err)
	}
	taken := binary.NativeEndian.Uint64(data)>>20 + 32 // what is shared
	t.Logf("%d MiB of %d taken", taken, limit)
	if taken < limit/2 || taken > limit*3/2 { // without that it takes five times its limit
		t.Errorf("killed at %d MiB of %d", taken, limit)
	}
}

// processes: no more of them than it may have, as the host counts them.
func (u *rootlessUser) processes(t *testing.T) {
	cmd := u.server([]string{"--pids", "16"}, "(for i in $(seq 100); do sleep 7777 & done); read x")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer u.run("kill", "x").Run()
	await(t, "it has forked", func() bool { return len(u.of("sleep 7777 ")) > 5 })
	for range 20 {
		if n := len(u.of("sleep 7777 ")); n > 32 {
			t.Fatalf("%d processes", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// priority: a box gives way to what else its user runs, also where containerd runs under
// nice(1), and the user may not have it less so.
func (u *rootlessUser) priority(t *testing.T) {
	for _, c := range []struct{ containerd, box int }{{0, 5}, {10, 15}, {17, 19}} {
		if err := unix.Setpriority(unix.PRIO_USER, u.UID, c.containerd); err != nil {
			t.Fatal(err)
		}
		cmd := u.server(nil, "sleep 6666 & echo ready; wait")
		if line, err := firstLine(t, cmd); err != nil || line != "ready\n" {
			t.Fatalf("nice %d: %q, %v\n%s", c.containerd, line, err, u.Log())
		}
		list := u.of("sleep 6666 ")
		if len(list) != 1 {
			t.Errorf("nice %d: processes %v", c.containerd, list)
		}
		for _, pid := range list {
			// By system call, 20 minus the value (getpriority(2)).
			if got, err := unix.Getpriority(unix.PRIO_PROCESS, pid); err != nil || 20-got != c.box {
				t.Errorf("nice %d: that of the box is %d, want %d, %v", c.containerd, 20-got, c.box, err)
			}
		}
		if out, err := u.run("kill", "x").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		cmd.Wait()
	}
	if err := unix.Setpriority(unix.PRIO_USER, u.UID, 0); err != nil {
		t.Fatal(err)
	}
}

// serve starts a box with a process that does not end by itself.
func (u *rootlessUser) serve(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := u.server(nil, "setsid sleep 8888 & echo ready; while :; do sleep 0.01; done")
	if line, err := firstLine(t, cmd); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v\n%s", line, err, u.Log())
	}
	return cmd
}

// alive reports whether something of a box of serve executes.
func (u *rootlessUser) alive() bool { return len(u.of("sleep 8888 ")) > 0 }

func (u *rootlessUser) commands(t *testing.T) {
	cmd := u.serve(t)
	await(t, "it runs", u.alive)
	do := func(args ...string) {
		t.Helper()
		if out, err := u.run(args...).CombinedOutput(); err != nil {
			t.Errorf("mcpbox %v: %v: %s", args, err, out)
		}
	}
	await(t, "it is listed", func() bool {
		out, err := u.run("ps", "--json").Output()
		return err == nil && strings.Contains(string(out), `"name": "x"`)
	})
	do("freeze", "x")
	for _, pid := range u.of("sleep 8888 ") {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || !strings.Contains(string(stat), ") T ") {
			t.Errorf("frozen: %s, %v", stat, err)
		}
	}
	do("thaw", "x")
	// Of a box of their own, users see everything.
	if out, err := u.run("snapshot", "x", "-o", filepath.Join(u.Home, "evidence")).CombinedOutput(); err != nil || strings.Contains(string(out), "left out") {
		t.Errorf("snapshot: %v: %s", err, out)
	}
	if data, err := os.ReadFile(filepath.Join(u.Home, "evidence/processes.json")); err != nil || !strings.Contains(string(data), `"8888"`) {
		t.Errorf("%v: %s", err, data)
	}
	do("cut", "x")
	do("freeze", "x")
	do("kill", "x")
	cmd.Wait()
	await(t, "nothing is left", func() bool { return !u.alive() && len(u.shims()) == 0 })
}

func (u *rootlessUser) launcherDies(t *testing.T) {
	for _, freeze := range []bool{false, true} {
		cmd := u.serve(t)
		await(t, "it runs", u.alive) // else there would be nothing to end
		if freeze {
			if out, err := u.run("freeze", "x").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
		await(t, "the box ends", func() bool { return !u.alive() })
		await(t, "nothing is left", func() bool { return u.run("ps").Run() == nil && len(u.shims()) == 0 })
	}
}

func (u *rootlessUser) refused(t *testing.T) {
	policy := filepath.Join(u.Dir, "policy.toml")
	if err := os.WriteFile(policy, []byte("[limits]\nrequire = \"cgroup\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := u.server(nil, "echo ran")
	root.SysProcAttr, root.Env = nil, append(root.Env, "CONTAINERD_ADDRESS="+u.Address)
	for name, c := range map[string]struct {
		cmd  *exec.Cmd
		want string
	}{
		"gVisor":             {u.server([]string{"--runtime", "runsc"}, "echo ran"), `set runtime = "runc"`},
		"limits of a cgroup": {u.server([]string{"--policy", policy}, "echo ran"), `require = "cgroup"`},
		"root":               {root, "start mcpbox as that user"},
	} {
		out, err := c.cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "ran\n") {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
	if out, err := u.run("doctor").CombinedOutput(); err != nil || !strings.Contains(string(out), "rootless") {
		t.Errorf("doctor: %v: %s", err, out)
	}
}
