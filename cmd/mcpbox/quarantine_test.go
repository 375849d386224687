package main

import (
	"os/exec"
	"testing"
	"time"
)

// Starts that are going on when their server is put in quarantine do not get
// away, at whatever step they are.
func TestQuarantineRace(t *testing.T) {
	const starts = 24
	var all []*launched
	first := launch(t, "--", "sh", "-c", "echo up; read line")
	first.line()
	for i := range starts {
		all = append(all, first.again("--", "sh", "-c", "read line"))
		if i == starts/2 {
			quarantine := exec.Command("mcpbox", "quarantine", "test", "--reason", "a test")
			quarantine.Env = first.cmd.Env
			if err := quarantine.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := quarantine.Wait(); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(time.Duration(i%4) * time.Millisecond)
	}
	codes := map[int]int{}
	for _, l := range append(all, first) {
		codes[l.wait()]++ // their standard input stays open
	}
	if codes[exitFailure] == 0 || codes[exitFailure]+codes[137] != starts+1 {
		t.Errorf("exit codes, and how often: %v", codes)
	}
	t.Logf("exit codes, and how often: %v", codes)
}
