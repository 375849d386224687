package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/netfilter"
)

// tell has a person told of a destination that was refused, or could not be
// reached, together with those that follow at once.
func (t *traffic) tell(e netfilter.Event) {
	t.unsaid = append(t.unsaid, e)
	if t.say == nil {
		t.say = time.AfterFunc(sayAfter, func() {
			t.mu.Lock()
			lines := t.lines()
			t.mu.Unlock()
			for _, line := range lines {
				t.console.say("%s", line)
			}
		})
	}
}

// lines are what a person should know, and what to do about it.
func (t *traffic) lines() (lines []string) {
	var refused, failed []netfilter.Event
	for _, e := range t.unsaid {
		switch {
		case e.Kind == netfilter.Failed:
			failed = append(failed, e)
		case e.Proto == "udp" && e.Port == 443: // QUIC: the program goes on with TCP
		default:
			refused = append(refused, e)
		}
	}
	t.unsaid = nil
	if len(refused) > 0 {
		lines = append(lines, t.refusedLine(refused))
	}
	if len(failed) > 0 {
		var what []string
		for _, e := range failed[:min(len(failed), trafficSaid)] {
			what = append(what, destination(e)+" ("+cut(e.Reason)+")")
		}
		lines = append(lines, fmt.Sprintf("%s: allowed, but could not connect to %s", t.name, strings.Join(what, ", ")+t.more(len(failed))))
	}
	return lines
}

// more says of how many destinations a line does not tell.
func (t *traffic) more(n int) string {
	if n <= trafficSaid {
		return ""
	}
	return fmt.Sprintf(" and %d more (mcpbox logs --denied %s)", n-trafficSaid, t.name)
}

func (t *traffic) refusedLine(list []netfilter.Event) string {
	var what, why, flags, guesses []string
	for _, e := range list[:min(len(list), trafficSaid)] {
		what = append(what, destination(e))
		if !slices.Contains(why, e.Reason) {
			why = append(why, e.Reason)
		}
		if flag := "--egress " + shellQuote(e.Allow); e.Allow != "" && !slices.Contains(flags, flag) {
			flags = append(flags, flag)
			if e.Port == 0 {
				guesses = append(guesses, cut(e.Name))
			}
		}
	}
	line := fmt.Sprintf("%s: refused %s: %s", t.name, strings.Join(what, ", ")+t.more(len(list)), strings.Join(why, "; "))
	if len(flags) > 0 {
		line += "; to allow, add: " + strings.Join(flags, " ")
	}
	if len(guesses) > 0 {
		line += " (" + portIsGuessed + " for " + strings.Join(guesses, ", ") + ")"
	}
	return line
}

// portIsGuessed is said where a program has asked for a name, and not been told
// of it: at which port it would have gone on is not known.
const portIsGuessed = "port 443 is a guess"

// destination is what an event was about, as a person would write it.
func destination(e netfilter.Event) string {
	switch {
	case e.Port == 0:
		return cut(e.Name)
	case e.Name != "":
		return fmt.Sprintf("%s:%d", cut(e.Name), e.Port)
	}
	text := netip.AddrPortFrom(e.Address, e.Port).String()
	if e.Proto == "udp" {
		text += "/udp"
	}
	return text
}
