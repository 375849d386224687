package main

import (
	"fmt"
	"strings"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
)

// verify checks whether journals are as they were written.
func (l *logs) verify() error {
	checked, err := journal.Verify(l.state, l.matches)
	if err != nil {
		return err
	}
	if l.of != "" && len(checked) == 0 {
		return l.unknown()
	}
	if l.asJSON {
		err = writeJSON(l.console, jsonChecks(checked))
	} else {
		err = l.sayChecked(checked)
	}
	if err != nil {
		return err
	}
	broken := 0
	for _, c := range checked {
		if c.State == journal.Broken {
			broken++
			if l.asJSON {
				continue
			}
			for _, fault := range c.Faults {
				l.console.say("%s %s: %s", c.Name, c.ID, fault)
			}
		}
	}
	if broken > 0 {
		return fmt.Errorf("%s of %d broken", plural(broken, "journal"), len(checked))
	}
	return nil
}

// sayChecked prints a line for each server.
func (l *logs) sayChecked(checked []journal.Checked) error {
	type sum struct {
		states  map[string]int
		records int64
	}
	sums := map[string]*sum{}
	var names []string
	for _, c := range checked {
		s := sums[c.Name]
		if s == nil {
			s = &sum{states: map[string]int{}}
			sums[c.Name] = s
			names = append(names, c.Name)
		}
		s.states[c.State]++
		s.records += c.Records
	}
	for _, name := range names {
		var states []string
		for _, state := range []string{journal.Whole, journal.Running, journal.Broken} {
			if n := sums[name].states[state]; n > 0 {
				states = append(states, fmt.Sprintf("%d %s", n, state))
			}
		}
		if _, err := fmt.Fprintf(l.console.out, "%s: %s, %s\n", name, strings.Join(states, ", "), plural(int(sums[name].records), "record")); err != nil {
			return err
		}
	}
	return nil
}

// checkedJSON is a checked journal for programs.
type checkedJSON struct {
	Server  string   `json:"server"`
	Run     string   `json:"run"`
	Path    string   `json:"path"`
	State   string   `json:"state"`
	Records int64    `json:"records"`
	Faults  []string `json:"faults,omitempty"`
}

func jsonChecks(checked []journal.Checked) []checkedJSON {
	list := make([]checkedJSON, len(checked))
	for i, c := range checked {
		list[i] = checkedJSON{c.Name, c.ID, c.Path, c.State, c.Records, c.Faults}
	}
	return list
}
