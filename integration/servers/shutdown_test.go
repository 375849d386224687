package servers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// gone is how long a box may outlive its launcher or its host's interest: what
// hosts give a server between closing its stdin and the first signal.
const gone = 2 * time.Second

// stays is the name of the process that does not end by itself.
var stays = map[string]string{"everything": "node", "desktop-commander": "sleep"}

// Two servers that do not end by themselves: one that ignores the end of its
// input, and one with a tool that leaves a daemon behind, in a session of its
// own and with every signal ignored.
func stubborn() []Server {
	eof := Find("everything")
	eof.Calls = []Call{works("echo", args{"message": "still here"})}
	daemon := Find("desktop-commander")
	daemon.Calls = []Call{works("start_process", args{
		"command":    "setsid sh -c 'trap \"\" HUP INT TERM; echo started; exec sleep 86399' & sleep 0.2; echo done",
		"timeout_ms": 3000,
	})}
	return []Server{eof, daemon}
}

func TestWholeBoxIsGone(t *testing.T) {
	box, p := mcpbox(t), place(t)
	ends := map[string]func(*running) error{
		"host closes stdin": func(r *running) error { return r.stdin.Close() },
		"SIGTERM":           func(r *running) error { return r.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGKILL":           func(r *running) error { return r.cmd.Process.Kill() },
	}
	for _, who := range accounts(t) {
		for _, s := range stubborn() {
			for how, end := range ends {
				t.Run(fmt.Sprintf("%s/%s/%s", who.name, s.ID, how), func(t *testing.T) {
					home := filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
					p.Work = who.home(t, home)
					r := start(t, who, s, p, home, s.Boxed(box, p))
					if last := stays[s.ID]; !slices.ContainsFunc(r.tree, func(p process) bool { return p.name == last }) || len(r.tree) < 3 {
						t.Fatalf("launcher, PID 1 and %s should run, not only %v", last, r.tree)
					}
					began := time.Now()
					if err := end(r); err != nil {
						t.Fatal(err)
					}
					if left := r.outlasts(gone); len(left) > 0 {
						t.Errorf("after %v these are left: %v", gone, left)
					} else {
						t.Logf("%d processes gone after %v", len(r.tree), time.Since(began).Round(time.Millisecond))
					}
				})
			}
		}
	}
}

// The control of the test above: without a box both servers leave something.
func TestStubbornServersOutliveTheirStdin(t *testing.T) {
	p := place(t)
	who := accounts(t)[0]
	for _, s := range stubborn() {
		t.Run(s.ID, func(t *testing.T) {
			home := filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
			p.Work = who.home(t, home)
			argv, env := s.Bare(p)
			r := start(t, who, s, p, home, argv, env...)
			if err := r.stdin.Close(); err != nil {
				t.Fatal(err)
			}
			if len(r.outlasts(gone)) == 0 {
				t.Errorf("all %d processes ended by themselves", len(r.tree))
			}
		})
	}
}

// running is a started server after its calls, and every process that came of it.
type running struct {
	cmd   *exec.Cmd
	stdin io.Closer
	tree  []process
}

func start(t *testing.T, who account, s Server, p Place, home string, argv []string, env ...string) *running {
	t.Helper()
	r := &running{cmd: who.command(home, p.Work, argv[0], argv[1:]...)}
	r.cmd.Env = append(r.cmd.Env, env...)
	stdin, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.stdin = stdin
	t.Cleanup(func() {
		for _, left := range r.outlasts(0) {
			_ = syscall.Kill(left.pid, syscall.SIGKILL)
		}
		_ = r.cmd.Wait()
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := newClient(p, func(string) {}).Connect(ctx, &mcp.IOTransport{Reader: stdout, Writer: stdin}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Calls {
		if o := call(ctx, session, s, p, c); o.Failed {
			t.Fatalf("%s: %s", c.Tool, o.Text)
		}
	}
	r.tree = descendants(t, r.cmd.Process.Pid)
	return r
}

// outlasts waits until r's processes are gone, at most for limit, and returns
// those that are not.
func (r *running) outlasts(limit time.Duration) []process {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		var left []process
		for _, p := range r.tree {
			if now, err := lookUp(p.pid); err == nil && now.start == p.start && now.state != "Z" {
				left = append(left, p)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// process is one process of /proc. A process id alone may come to mean another.
type process struct {
	pid, parent int
	name, state string
	start       string // clock ticks after boot
}

func (p process) String() string { return fmt.Sprintf("%d %s", p.pid, p.name) }

func lookUp(pid int) (process, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	open, last := strings.IndexByte(string(text), '('), strings.LastIndexByte(string(text), ')')
	rest := strings.Fields(string(text[last+1:]))
	parent, err := strconv.Atoi(rest[1])
	return process{pid: pid, parent: parent, name: string(text[open+1 : last]), state: rest[0], start: rest[19]}, err
}

// descendants are the process root and all that came of it.
func descendants(t *testing.T, root int) []process {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]process{}
	var tree []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		p, err := lookUp(pid)
		if err != nil {
			continue // it has just ended
		}
		children[p.parent] = append(children[p.parent], p)
		if p.pid == root {
			tree = append(tree, p)
		}
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].pid]...)
	}
	return tree
}
