package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// watchTime is how often a list is made anew.
const watchTime = time.Second

// sample is a survey and when it was made.
type sample struct {
	at  time.Time
	cpu map[string]time.Duration // by ID
}

// take returns the sample of list.
func take(list []surveyed) *sample {
	s := &sample{time.Now(), map[string]time.Duration{}}
	for _, r := range list {
		if r.Status != nil {
			s.cpu[r.ID] = r.Status.CPU
		}
	}
	return s
}

// share is what r has used of one processor since.
func (s *sample) share(r surveyed) string {
	before, known := s.cpu[r.ID]
	if !known || r.Status == nil {
		return "-"
	}
	// Processes that have ended without being waited for are not counted.
	return fmt.Sprintf("%.0f%%", max(0, 100*float64(r.Status.CPU-before)/float64(time.Since(s.at))))
}

// watchRuns prints the list until it is interrupted, or cannot be written.
func watchRuns(c console, asJSON bool) error {
	var last *sample
	for {
		list, err := survey()
		if err != nil {
			c.sayError(err)
		}
		if asJSON {
			err = json.NewEncoder(c.out).Encode(list)
		} else {
			if isTerminal(c.out) {
				fmt.Fprint(c.out, "\x1b[H\x1b[2J")
			} else if last != nil {
				fmt.Fprintln(c.out)
			}
			if last == nil {
				last = &sample{}
			}
			err = showRuns(c, list, last)
		}
		if err != nil {
			return err
		}
		last = take(list)
		time.Sleep(watchTime)
	}
}
