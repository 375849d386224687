package limits

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// deadline is how long a run may take: a hang is a failure, and a slow machine
// none.
const deadline = 2 * time.Minute

// attack is one run of hog in a box.
type attack struct {
	t      *testing.T
	place  place
	home   string
	flags  []string
	policy string
	server bool // it is spoken to as to a server

	cmd            *exec.Cmd
	hung           *time.Timer // of the last one that was started
	stdin          io.WriteCloser
	stdout, stderr words
}

// words are what has been said by now.
type words struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said.String()
}

// start starts it. %out in an argument is the directory that the box may write to.
func (a *attack) start(args ...string) {
	a.t.Helper()
	if a.home == "" {
		a.home = home(a.t, a.place)
	}
	if err := os.WriteFile(filepath.Join(a.home, "policy.toml"), []byte(a.policy), 0o644); err != nil {
		a.t.Fatal(err)
	}
	if a.place.uid != os.Getuid() {
		os.Chown(filepath.Join(a.home, "policy.toml"), a.place.uid, a.place.uid)
	}
	line := append([]string{"run", fmt.Sprintf("--raw=%v", !a.server), "--name", "hog", "--policy", filepath.Join(a.home, "policy.toml"), "--rw", a.out()}, append(a.place.in.flags(), a.flags...)...)
	hog := needPrograms(a.t).hog
	if a.place.in != nil {
		hog = "/opt/" + comm
	}
	line = append(line, "--", hog)
	for _, arg := range args {
		line = append(line, strings.ReplaceAll(arg, "%out", a.out()))
	}
	a.cmd = a.place.command(a.t, a.home, line...)
	a.cmd.Stdout, a.cmd.Stderr = &a.stdout, &a.stderr
	var err error
	if a.stdin, err = a.cmd.StdinPipe(); err != nil {
		a.t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	if a.hung != nil {
		a.hung.Stop()
	}
	cmd := a.cmd
	a.hung = time.AfterFunc(deadline, func() {
		a.t.Errorf("%q hung", cmd.Args)
		cmd.Process.Kill()
	})
	a.t.Cleanup(func() {
		a.hung.Stop()
		a.cmd.Process.Kill()
	})
}

func (a *attack) out() string { return filepath.Join(a.home, "out") }

// end waits for the end, and returns the exit code and the journal's last record.
func (a *attack) end() (code int, last exit) {
	a.t.Helper()
	err := a.cmd.Wait()
	a.hung.Stop()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		a.t.Fatalf("%v", err)
	}
	files, _ := filepath.Glob(filepath.Join(a.home, ".local/state/mcpbox/journal/hog/*.jsonl"))
	files = slices.DeleteFunc(files, func(f string) bool { return strings.Contains(f, ".messages.") })
	if len(files) == 0 {
		a.t.Fatalf("no journal; stderr: %s", a.stderr.String())
	}
	data, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		a.t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &last), json.Unmarshal([]byte(lines[len(lines)-1]), &last)); err != nil {
		a.t.Fatal(err)
	}
	if last.Tier != a.place.tier {
		a.t.Errorf("the journal says tier %q, want %q", last.Tier, a.place.tier)
	}
	return a.cmd.ProcessState.ExitCode(), last
}

// run is start and end.
func (a *attack) run(args ...string) (code int, last exit) {
	a.t.Helper()
	a.start(args...)
	return a.end()
}

// exit is what the journal's first and last records tell.
type exit struct {
	Tier   string `json:"tier"`
	BoxPID int    `json:"boxPid"`
	Reason string `json:"reason"`
	User   int64  `json:"userNs"`
	System int64  `json:"systemNs"`
	Peak   int64  `json:"memoryPeakBytes"`
	Limit  int64  `json:"memoryLimitBytes"`
}

// counted is what hog has counted in a file.
func (a *attack) counted() int64 {
	b, err := os.ReadFile(filepath.Join(a.out(), "count"))
	if err != nil || len(b) < 8 {
		return 0
	}
	var n int64
	for i := 7; i >= 0; i-- { // the machines that boxes run on are little-endian
		n = n<<8 | int64(b[i])
	}
	return n
}

// await waits for a condition.
func (a *attack) await(what string, is func() bool) {
	a.t.Helper()
	for end := time.Now().Add(deadline / 2); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			a.t.Fatalf("%s did not come to be; stdout %.2000q, stderr %.2000q", what, a.stdout.String(), a.stderr.String())
		}
	}
}
