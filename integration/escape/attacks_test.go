package escape

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestAttacks runs every attack in every situation and holds the outcome
// against the table. It prints the table, also to the file that
// MCPBOX_ESCAPE_TABLE names.
func TestAttacks(t *testing.T) {
	tries := attempts(t)
	columns := map[string]map[string]string{}
	t.Run(bare.name, func(t *testing.T) { columns[bare.name] = controls(t) })
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			got := s.play(t)
			columns[s.name] = map[string]string{}
			for _, r := range rows() {
				columns[s.name][r.id] = r.judge(t, s, got)
			}
		})
	}
	table := markdown(tries, columns)
	t.Log("\n" + table)
	if path := os.Getenv("MCPBOX_ESCAPE_TABLE"); path != "" {
		if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// attempts asks the probe what it knows, and checks that the table has exactly
// that.
func attempts(t *testing.T) map[string]string {
	t.Helper()
	tries := list(t, "list")
	var known []string
	for _, r := range rows() {
		known = append(known, r.id)
	}
	slices.Sort(known)
	if want := slices.Sorted(maps.Keys(tries)); !slices.Equal(known, want) {
		t.Fatalf("table and probe differ:\ntable %q\nprobe %q", known, want)
	}
	if len(known) < 90 {
		t.Errorf("only %d attacks", len(known))
	}
	return tries
}

// list is what the probe can do, by id.
func list(t *testing.T, verb string) map[string]string {
	t.Helper()
	b, err := exec.Command(needPrograms(t).probe, verb).Output()
	if err != nil {
		t.Fatal(err)
	}
	tries := map[string]string{}
	for line := range strings.Lines(string(b)) {
		var a Attack
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			t.Fatal(err)
		}
		if tries[a.ID] != "" {
			t.Errorf("the probe has two of %s", a.ID)
		}
		tries[a.ID] = a.Tries
	}
	return tries
}

// TestNeeds runs in a box what honest servers do.
func TestNeeds(t *testing.T) {
	ids := slices.Sorted(maps.Keys(list(t, "needs")))
	for _, s := range situations[:2] {
		t.Run(s.name, func(t *testing.T) {
			got := s.play(t, ids...)
			for _, id := range ids {
				if r := got[id]; !r.Succeeded {
					t.Errorf("%s: %s (%s)", id, r.Error, r.Detail)
				}
			}
		})
	}
}

// judge compares the result of one attack with the table and returns the cell
// to print.
func (r row) judge(t *testing.T, s situation, got map[string]Result) string {
	res, ok := got[r.id]
	if !ok {
		t.Errorf("%s: no result", r.id)
		return "?"
	}
	is := outcome(res)
	if want := r.cell(s); !slices.Contains(strings.Split(want, "|"), is) {
		t.Errorf("%s: %s, want %s (%s)", r.id, is, want, res.Detail)
	}
	return is
}

// outcome is a result as a cell.
func outcome(r Result) string {
	if r.Succeeded {
		return yes
	}
	return r.Error
}

// controls runs every attack without a box, those that take root as root.
func controls(t *testing.T) map[string]string {
	got := bare.play(t)
	var privileged []string
	for _, r := range rows() {
		if strings.HasPrefix(r.bare, asRoot) {
			privileged = append(privileged, r.id)
		}
	}
	byRoot := map[string]Result{}
	if os.Getuid() == 0 {
		byRoot = situation{bare: true, root: true}.play(t, privileged...)
	}
	cells := map[string]string{}
	for _, r := range rows() {
		cells[r.id] = r.control(t, got[r.id], byRoot[r.id])
	}
	return cells
}

// control judges the control of one attack, and returns the cell to print: a
// control that does not succeed has to have a reason.
func (r row) control(t *testing.T, plain, byRoot Result) string {
	kind, lacks, _ := strings.Cut(r.bare, "|")
	reason, na := strings.CutPrefix(r.bare, "n/a: ")
	res, by := plain, ""
	switch {
	case na:
		return "n/a: " + reason
	case kind != yes && os.Getuid() != 0:
		return "n/a: the control takes root, and the tests ran without"
	case kind == asRoot:
		res, by = byRoot, " (as root)"
	}
	is := outcome(res)
	switch {
	case is == yes:
		return yes + by
	case lacks != "" && slices.Contains(strings.Split(lacks, "|"), is):
		return fmt.Sprintf("n/a: %s", lacking[is])
	}
	t.Errorf("%s: the control failed: %s (%s)", r.id, is, res.Detail)
	return is
}

// lacking says what it means that a control fails with an error that its row
// allows for.
var lacking = map[string]string{
	"ENOENT": "this machine has no such file", "ENOSYS": "not in this kernel", "EAFNOSUPPORT": "not in this kernel",
	"EPROTONOSUPPORT": "not in this kernel", "EOPNOTSUPP": "not on this file system", "ENOTTY": "not on this file system",
	"EACCES": "this machine lets nobody", "EPERM": "this machine lets nobody", "ENODEV": "no such device here",
	"nowhere": "this machine has no such address", "absent": "this machine has none", "SIGSEGV": "not in this kernel",
}

// markdown is the table for people.
func markdown(tries map[string]string, columns map[string]map[string]string) string {
	names := []string{bare.name}
	for _, s := range situations {
		names = append(names, s.name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| attack | what it tries | %s |\n|---|---|%s\n", strings.Join(names, " | "), strings.Repeat("---|", len(names)))
	for _, r := range rows() {
		fmt.Fprintf(&b, "| %s | %s |", r.id, tries[r.id])
		for _, name := range names {
			fmt.Fprintf(&b, " %s |", columns[name][r.id])
		}
		b.WriteString("\n")
	}
	return b.String()
}
