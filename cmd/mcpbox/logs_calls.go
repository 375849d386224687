package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
)

// calls joins what happened during a call with its answer. What happened while
// several calls waited stands with each of them: nothing tells on whose behalf a
// server does something.
type calls struct {
	runs map[string]*callsOf
}

// callsOf are the calls of one run.
type callsOf struct {
	waiting map[int64]journal.Entry // requests, by their number
	recent  []journal.Entry         // what happened, as far as it may belong to a call
}

const (
	mostWaiting = 1000 // requests of a run
	mostRecent  = 1000 // records of a run
	mostDuring  = 8    // things in a line
	// lateness is more than records of messages are written late.
	lateness = time.Second
)

// during takes the next record, in the order of time, and returns what happened
// during the call of which it is the answer.
func (c *calls) during(e journal.Entry) []journal.Entry {
	of := c.runs[e.ID]
	if of == nil {
		of = &callsOf{waiting: map[int64]journal.Entry{}}
		if c.runs == nil {
			c.runs = map[string]*callsOf{}
		}
		c.runs[e.ID] = of
	}
	switch e.Event {
	case "connect", "event":
		of.recent = append(of.recent, e)
		if len(of.recent) > mostRecent {
			of.recent = slices.Delete(of.recent, 0, mostRecent/2)
		}
	case "message":
		var m journal.Message
		if e.Decode(&m) != nil || m.Call == 0 {
			break
		}
		if m.Kind == journal.Request && len(of.waiting) < mostWaiting {
			of.waiting[m.Call] = e
		}
		if request, ok := of.waiting[m.Call]; ok && m.Kind == journal.Answer {
			delete(of.waiting, m.Call)
			return of.between(request.Time, e.Time)
		}
	case "exit":
		delete(c.runs, e.ID)
	}
	return nil
}

// between is what happened then. What no call that waits can have caused is
// forgotten.
func (of *callsOf) between(from, to time.Time) (list []journal.Entry) {
	oldest := to.Add(-lateness)
	for _, request := range of.waiting {
		if request.Time.Before(oldest) {
			oldest = request.Time
		}
	}
	for _, e := range of.recent {
		if !e.Time.Before(from) && !e.Time.After(to) {
			list = append(list, e)
		}
	}
	of.recent = slices.DeleteFunc(of.recent, func(e journal.Entry) bool { return e.Time.Before(oldest) })
	return list
}

// describeMessage says what passed, or did not.
func describeMessage(r journal.Message, during []journal.Entry) (text, tone string) {
	what := r.Method
	if r.Tool != "" {
		what += " " + cut(r.Tool)
	}
	if r.Call != 0 {
		what += fmt.Sprintf(" #%d", r.Call)
	}
	if r.Kind == journal.Answer {
		parts := describeDuring(during)
		if r.Memory > 0 {
			parts = append(parts, size(r.Memory)+" peak")
		}
		parts = append(parts, outcome(r), seconds(r.Duration), size(r.Size))
		text = what + " → " + strings.Join(parts, ", ")
	} else {
		from := map[journal.Direction]string{journal.ToServer: "host", journal.ToHost: "server"}[r.Direction]
		text = fmt.Sprintf("%s of the %s", r.Kind, from)
		if what != "" {
			text += ": " + what
		}
		text += ", " + size(r.Size)
		if r.Outcome != "" && r.Outcome != journal.OK {
			text += ", " + outcome(r)
		}
	}
	switch {
	case r.Outcome == journal.Denied:
		tone = red
	case r.Outcome != "" && r.Outcome != journal.OK, r.Kind == journal.Noise:
		tone = yellow
	}
	return text, tone
}

func outcome(r journal.Message) string {
	text := strings.ReplaceAll(string(r.Outcome), "_", " ")
	if r.Reason != "" {
		text += ": " + cut(r.Reason)
	}
	return text
}

// describeDuring says it in a few words, each thing once.
func describeDuring(during []journal.Entry) (parts []string) {
	count := map[string]int{}
	for _, e := range during {
		part := strings.ReplaceAll(e.Event, "_", " ")
		switch e.Event {
		case "connect":
			var r journal.Connection
			if e.Decode(&r) != nil {
				continue
			}
			part = describeUse(r)
		case "event":
			var r journal.Event
			if e.Decode(&r) != nil {
				continue
			}
			part = strings.ReplaceAll(string(r.Kind), "_", " ")
		}
		if count[part]++; count[part] == 1 {
			parts = append(parts, part)
		}
	}
	for i, part := range parts {
		if n := count[part]; n > 1 {
			parts[i] += fmt.Sprintf(" %d times", n)
		}
	}
	if len(parts) > mostDuring {
		parts = append(parts[:mostDuring:mostDuring], fmt.Sprintf("and %d more", len(parts)-mostDuring))
	}
	return parts
}

// describeUse is a connection in a word.
func describeUse(r journal.Connection) string {
	host := endpoint(r)
	switch r.Verdict {
	case "connected":
		return "connect " + host + " allowed"
	case "refused":
		return "connect " + host + " denied"
	case "closed":
		return fmt.Sprintf("%s closed after %s sent, %s received", host, size(r.Sent), size(r.Received))
	}
	return "connect " + host + " " + r.Verdict
}
