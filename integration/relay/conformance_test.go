package relay

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// patience is how long a program may take: a hang is a failure.
const patience = 90 * time.Second

// The conformance suite finds, of a server in a box, all that it finds of the
// same server started by the host, behind the same front; and not a byte of what
// either side said has changed.
//
// What fails without a box, too, asks for the headers of HTTP, which the front
// does not compare with the messages, or for tasks, an extension that the server
// does not have.
func TestConformance(t *testing.T) {
	for _, set := range conformanceSets {
		t.Run(set.revision, func(t *testing.T) {
			t.Parallel()
			set.compare(t, boxed)
		})
	}
}

type conformanceSet struct {
	revision string
	passes   int // checks without a box, as measured: an empty run cannot pass
	fails    int
}

var conformanceSets = []conformanceSet{
	{"2025-11-25", 81, 0},
	{"2026-07-28", 142, 48},
}

// compare runs a set with a server that is bare, and with the same in boxes.
func (set conformanceSet) compare(t *testing.T, boxes ...way) {
	alone := conformance(t, bare, goEverything(t), set.revision)
	passes, fails := 0, 0
	for _, verdict := range alone {
		switch verdict {
		case "SUCCESS":
			passes++
		case "FAILURE":
			fails++
		}
	}
	t.Logf("%d checks pass, %d fail", passes, fails)
	if passes != set.passes || fails != set.fails {
		t.Errorf("without a box %d checks pass and %d fail, want %d and %d", passes, fails, set.passes, set.fails)
	}
	for _, w := range boxes {
		got := conformance(t, w, goEverything(t), set.revision)
		for check, verdict := range alone {
			if got[check] != verdict {
				t.Errorf("%s: %s without a box, %q with it: %s", check, verdict, got[check], w.name)
			}
		}
		if a, b := len(alone), len(got); a != b {
			t.Errorf("%d checks without a box, %d with it: %s", a, b, w.name)
		}
	}
}

// conformance runs the suite, and returns the verdict of each check. A check
// that is made several times in a scenario has a number.
func conformance(t *testing.T, w way, s server, revision string) map[string]string {
	t.Helper()
	f := newFront(func() *backend { return newBackend(t, w.command(t, s)) })
	out := filepath.Join(setup.Scratch(t, "mcpbox-relay-test-"), "out")
	cmd := exec.Command(node22(t), module(t, "@modelcontextprotocol/conformance/dist/index.js"),
		"server", "--url", f.http.URL, "--requirements", revision, "--output-dir", out)
	log, took := finish(t, cmd)
	f.end()

	verdicts := map[string]string{}
	files, err := filepath.Glob(filepath.Join(out, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var checks []struct{ ID, Status, ErrorMessage string }
		if err := json.Unmarshal(text, &checks); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		// server-SCENARIO-2026-01-02T03-04-05-678Z
		scenario := regexp.MustCompile(`^server-(.*)-\d{4}-.*$`).ReplaceAllString(filepath.Base(filepath.Dir(file)), "$1")
		seen := map[string]int{}
		for _, c := range checks {
			seen[c.ID]++
			verdicts[fmt.Sprintf("%s/%s#%d", scenario, c.ID, seen[c.ID])] = c.Status
			if c.Status == "FAILURE" {
				t.Logf("%s: %s/%s: %s", w.name, scenario, c.ID, c.ErrorMessage)
			}
		}
	}
	if len(verdicts) == 0 {
		t.Errorf("%s: no check was made:\n%s", w.name, log)
	}
	t.Logf("%s: %d verdicts in %v", w.name, len(verdicts), took.Round(time.Millisecond))
	return verdicts
}

// finish runs a program to its end, with an empty home, whatever its exit
// status, and returns what it printed.
func finish(t *testing.T, cmd *exec.Cmd) (log string, took time.Duration) {
	t.Helper()
	cmd.Dir = setup.Scratch(t, "mcpbox-relay-test-")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + cmd.Dir, "TMPDIR=" + cmd.Dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	hung := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	text, _ := cmd.CombinedOutput()
	if !hung.Stop() {
		t.Errorf("%q hung", cmd.Args)
	}
	return string(text), time.Since(began)
}
