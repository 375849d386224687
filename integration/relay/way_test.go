package relay

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// server is a command that speaks the protocol on stdio, and what its box needs.
type server struct {
	argv  []string
	flags []string

	untapped bool // nobody writes down what it reads and writes
}

// way is how a host starts servers.
type way struct {
	name  string
	boxed bool
	in    *engine // of containers; nil for a native box
}

var (
	bare  = way{name: "bare"}
	boxed = way{name: "boxed", boxed: true}
	ways  = []way{bare, boxed}
)

// programs is where the test's own programs are.
func programs(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(insideVariable)
	if dir == "" {
		setup.Need(t, false, "namespaces: "+lacking.Error())
	}
	return dir
}

// installed is a file below $MCPBOX_SERVERS, or build/servers, that fix makes.
func installed(t *testing.T, path, fix string) string {
	t.Helper()
	dir := os.Getenv("MCPBOX_SERVERS")
	if dir == "" {
		dir = "../../build/servers"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(filepath.Join(dir, path))
	setup.Need(t, err == nil, filepath.Join(dir, path)+", which `"+fix+"` installs")
	return real
}

// node22 is Node.js 22, which the conformance suite and the Inspector ask for.
func node22(t *testing.T) string {
	t.Helper()
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return installed(t, "nodes/node_modules/node22-"+arch+"/bin/node", "scripts/test relay")
}

// module is a file of a package of package.json.
func module(t *testing.T, path string) string {
	t.Helper()
	return installed(t, "relay/node_modules/"+path, "scripts/test relay")
}

// goEverything is the server of go-sdk that has all that the protocol has.
func goEverything(t *testing.T) server {
	path := installed(t, "go/everything-server", "scripts/servers")
	return server{argv: []string{path}, flags: []string{"--ro", path}}
}

// nodeEverything is the same of the protocol's own collection, in TypeScript.
func nodeEverything(t *testing.T) server {
	dir := installed(t, "servers/node_modules", "scripts/servers")
	node, err := exec.LookPath("node")
	setup.Need(t, err == nil, "node")
	return server{
		argv:  []string{node, filepath.Join(dir, "@modelcontextprotocol/server-everything/dist/index.js")},
		flags: []string{"--profile", "node", "--ro", dir},
	}
}

// peer is the program peer with arguments.
func peer(t *testing.T, args ...string) server {
	return server{argv: append([]string{filepath.Join(programs(t), "peer")}, args...)}
}

// run is one start of a server.
type run struct {
	way    way
	dir    string // of the records, and the home
	cmd    *exec.Cmd
	stderr bytes.Buffer // complete once the command has been waited for
}

// command is a start of s in a box, or without one, where peer writes down what
// the server reads and writes.
func (w way) command(t *testing.T, s server) *run {
	t.Helper()
	r := &run{way: w, dir: setup.Scratch(t, "mcpbox-relay-test-")}
	tap := filepath.Join(r.dir, "tap")
	for _, dir := range []string{tap, filepath.Join(r.dir, "tmp")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	argv := s.argv
	if !s.untapped {
		argv = append([]string{filepath.Join(programs(t), "peer"), "tap", tap}, argv...)
	}
	if w.boxed {
		line := append([]string{filepath.Join(programs(t), "mcpbox"), "run", "--name", "server", "--rw", tap}, s.flags...)
		if w.in != nil {
			line = append(append(line, w.in.flags...), "--ro", filepath.Join(programs(t), "peer"))
			line[0] = w.in.mcpbox
		}
		argv = append(append(line, "--"), argv...)
	}
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Dir = r.dir
	r.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + r.dir, "TMPDIR=" + filepath.Join(r.dir, "tmp")}
	r.cmd.Stderr = &r.stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if w.in != nil {
		w.in.give(t, r)
	}
	return r
}

// read is what the server has read, wrote what it has written, since its start.
func (r *run) read(t *testing.T) []byte  { return r.record(t, "in") }
func (r *run) wrote(t *testing.T) []byte { return r.record(t, "out") }

func (r *run) record(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "tap", name))
	if err != nil {
		t.Fatalf("%v\n%s", err, &r.stderr)
	}
	return b
}

// same checks that what the host sent and received is what the server read and
// wrote, byte for byte. Of what the server wrote, answers to what the host had
// cancelled may be missing, which no host waits for, and so may the end, if the
// server was killed before anybody could receive it.
func (r *run) same(t *testing.T, sent, received []byte) {
	t.Helper()
	if got := r.read(t); !bytes.Equal(got, sent) {
		t.Errorf("%s: the server did not read what the host sent: %s", r.way.name, differ(got, sent))
	}
	cancelled := map[string]bool{}
	for line := range bytes.Lines(sent) {
		var m message
		if json.Unmarshal(line, &m) == nil && m.Method == "notifications/cancelled" {
			cancelled[string(m.Params.Request)] = true
		}
	}
	rest := received
	for line := range bytes.Lines(r.wrote(t)) {
		var m message
		switch after, ok := bytes.CutPrefix(rest, line); {
		case ok:
			rest = after
		case len(rest) == 0 || json.Unmarshal(line, &m) == nil && m.Method == "" && cancelled[string(m.ID)]:
		default:
			t.Fatalf("%s: the host did not receive what the server wrote: %s", r.way.name, differ(rest, line))
		}
	}
	if len(rest) > 0 {
		t.Errorf("%s: the host received what the server did not write: %s", r.way.name, rest)
	}
	r.heard(t)
}

// differ shows where two texts differ first.
func differ(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	show := func(b []byte) string { return string(b[max(0, i-60):min(len(b), i+60)]) }
	return "got " + strings.TrimSpace(show(got)) + "\nwant " + strings.TrimSpace(show(want))
}

// heard checks that there was a conversation, and that mcpbox had nothing to say
// about it.
func (r *run) heard(t *testing.T) {
	t.Helper()
	if len(r.read(t)) == 0 || len(r.wrote(t)) == 0 {
		t.Errorf("%s: the server and its host did not talk\n%s", r.way.name, &r.stderr)
	}
	for line := range strings.Lines(r.stderr.String()) {
		if r.way.in != nil && strings.Contains(line, ", pinned to sha256:") {
			continue // at its first start
		}
		if strings.HasPrefix(line, "mcpbox: ") {
			t.Errorf("mcpbox was not quiet: %s", line)
		}
	}
}
