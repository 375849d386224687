package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Started by root, every process of a box runs as another user of the host, in
// all four ids, and so in no group of root's.
func TestRootNeverRunsInABox(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root: whoever runs the tests chooses as whom")
	}
	l := launch(t, "--", "sh", "-c", "setsid sleep 1000 & sleep 1000 & echo ready; cat")
	l.line()
	box := l.processes()
	if len(box) < 4 { // PID 1, sh and two sleeps
		t.Fatalf("the box has processes %v", box)
	}
	ids := regexp.MustCompile(`(?m)^[UG]id:\t(\d+)\t(\d+)\t(\d+)\t(\d+)$`)
	for _, pid := range append(box, "self") {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			t.Fatal(err)
		}
		lines := ids.FindAllStringSubmatch(string(status), -1)
		if len(lines) != 2 {
			t.Fatalf("process %s: no ids in\n%s", pid, status)
		}
		root := 0
		for _, line := range lines {
			for _, id := range line[1:] {
				if id == "0" {
					root++
				}
			}
		}
		switch {
		case pid == "self" && root == 0:
			t.Errorf("the control: this test has no id of root's:\n%s", status)
		case pid != "self" && root > 0:
			t.Errorf("process %s of the box has %d ids of root's:\n%s", pid, root, status)
		case pid != "self" && strings.Contains(string(status), "\nGroups:\t0"):
			t.Errorf("process %s of the box is in root's group", pid)
		}
	}
	l.in.Close()
	l.wait()
	gone(t, box)
}
