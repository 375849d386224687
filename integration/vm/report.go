package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
)

// report prints events as they come, and sums up.
type report struct {
	out     io.Writer
	steps   []step.Step
	ended   map[string]step.Event
	printed map[string]string
	spent   func() time.Duration // by the guest, so far
	cost    map[string]time.Duration
}

func newReport(out io.Writer, steps []step.Step, spent func() time.Duration) *report {
	return &report{out: out, steps: steps, spent: spent, ended: map[string]step.Event{}, printed: map[string]string{}, cost: map[string]time.Duration{}}
}

// take takes an event. Those of a step that nobody asked for are printed, too: the
// guest runs what is tested.
func (r *report) take(e step.Event) {
	switch e.Kind {
	case step.Booted:
		fmt.Fprintf(r.out, "booted in %.0f s: %s\n", e.Took.Seconds(), e.Text)
	case step.Begun:
		r.cost[e.Step] = -r.spent()
		fmt.Fprintf(r.out, "\n-- %s\n", e.Step)
	case step.Output:
		if !r.brief(e.Step) || verdict(e.Text) {
			fmt.Fprintln(r.out, e.Text)
		}
		r.printed[e.Step] += e.Text + "\n"
	case step.Ended:
		r.ended[e.Step] = e
		r.cost[e.Step] += r.spent()
		fmt.Fprintf(r.out, "-- %s: %.1f s\n", e.Step, e.Took.Seconds())
	}
}

// verdict reports whether a line is what go test says of a test that has ended.
func verdict(line string) bool {
	line = strings.TrimLeft(line, " ")
	return strings.HasPrefix(line, "--- PASS: ") || strings.HasPrefix(line, "--- FAIL: ") || strings.HasPrefix(line, "--- SKIP: ")
}

func (r *report) brief(name string) bool {
	return slices.ContainsFunc(r.steps, func(s step.Step) bool { return s.Name == name && s.Brief })
}

// summary prints a line for each step and reports whether all are as they should
// be.
func (r *report) summary() bool {
	ok := true
	for _, s := range r.steps {
		if s.Brief && r.fault(s) != "" {
			fmt.Fprintf(r.out, "-- all that %s said:\n%s\n", s.Name, r.printed[s.Name])
		}
	}
	for _, s := range r.steps {
		verdict, why := "PASS", r.fault(s)
		if why != "" {
			verdict, ok = "FAIL", false
		}
		fmt.Fprintf(r.out, "%s  %-18s %-10s %4.0f s, %4.0f s of processor time  %s\n", verdict, s.Name, s.Place, r.ended[s.Name].Took.Seconds(), r.cost[s.Name].Seconds(), why)
	}
	return ok
}

// fault says what is wrong with how a step went.
func (r *report) fault(s step.Step) string {
	end, ok := r.ended[s.Name]
	switch {
	case !ok:
		return "did not end"
	case end.Text != "":
		return "did not run: " + end.Text
	case end.Status != s.Status && end.Took >= s.Limit:
		return fmt.Sprintf("took longer than %v", s.Limit.Round(time.Second))
	case end.Status != s.Status:
		return fmt.Sprintf("exit status %d, want %d", end.Status, s.Status)
	}
	for _, words := range s.Says {
		if !strings.Contains(r.printed[s.Name], words) {
			return fmt.Sprintf("did not say %q", words)
		}
	}
	return ""
}
