package main

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// Colours of a terminal (ECMA-48, SGR).
const (
	plain  = ""
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	normal = "\x1b[0m"
)

// recordLine is a record for a person; during is what happened during the call of
// which it is the answer. What the server wrote of it cannot steer
// a terminal.
func recordLine(e journal.Entry, during []journal.Entry, colour bool) string {
	text, tone := describeRecord(e, during)
	when, text := e.Time.Local().Format("2006-01-02 15:04:05.000"), printable(text)
	if colour {
		when = faint + when + normal
		if tone != plain {
			text = tone + text + normal
		}
	}
	return fmt.Sprintf("%s %s %s %s", when, e.Name, e.ID, text)
}

// describeRecord says in words what a record tells, and how grave that is. A
// record that this version does not know is shown as it is.
func describeRecord(e journal.Entry, during []journal.Entry) (text, tone string) {
	switch e.Event {
	case "start":
		var r journal.Start
		if e.Decode(&r) == nil {
			return describeStart(e, r), plain
		}
	case "event":
		var r journal.Event
		if e.Decode(&r) == nil {
			return describeEvent(r), yellow
		}
	case "connect":
		var r journal.Connection
		if e.Decode(&r) == nil {
			return describeConnection(r)
		}
	case "message":
		var r journal.Message
		if e.Decode(&r) == nil {
			return describeMessage(r, during)
		}
	case "gap":
		var r journal.Gap
		if e.Decode(&r) == nil {
			return describeGap(r), red
		}
	case "segment":
		var r journal.Segment
		if e.Decode(&r) == nil {
			return describeSegment(r), faint
		}
	case "removed":
		var r journal.Removed
		if e.Decode(&r) == nil {
			return fmt.Sprintf("removed %s of earlier runs, %s, to make room", plural(r.Runs, "journal"), size(r.Bytes)), faint
		}
	case "exit":
		var r journal.Exit
		if e.Decode(&r) == nil {
			return describeExit(r)
		}
	}
	return string(e.Line), plain
}

func describeStart(e journal.Entry, r journal.Start) string {
	var argv []string
	for _, arg := range r.Argv {
		argv = append(argv, shellQuote(cut(arg)))
	}
	text := "started: " + strings.Join(argv, " ")
	if r.Profile != "" {
		text += ", profile " + r.Profile
	}
	if r.Package != "" {
		text += ", package " + r.Package
	}
	var lacking []string
	var layers struct{ Layers []sandbox.Layer }
	if e.Decode(&layers) == nil {
		for _, l := range layers.Layers {
			if l.State != sandbox.Enforced {
				lacking = append(lacking, l.Name+" is "+string(l.State))
			}
		}
	}
	return strings.Join(append([]string{text}, lacking...), "; ")
}

func describeEvent(r journal.Event) string {
	text := strings.ReplaceAll(string(r.Kind), "_", " ")
	if r.Path != "" {
		text += ": " + r.Path
	}
	if r.Target != "" {
		text += " -> " + r.Target
	}
	if r.Detail == "" {
		return text
	}
	if by, ok := strings.CutPrefix(r.Detail, "by "); ok {
		return text + " by " + by
	}
	return text + ": " + r.Detail
}

// endpoint is where a connection leads.
func endpoint(r journal.Connection) string {
	host := r.Name
	if host == "" {
		host = r.Address
	}
	if r.Port != 0 {
		host = net.JoinHostPort(host, fmt.Sprint(r.Port))
	}
	if r.Proto != "tcp" {
		host += " (" + r.Proto + ")"
	}
	return host
}

func describeConnection(r journal.Connection) (text, tone string) {
	text = r.Verdict + " " + endpoint(r)
	if r.Verdict == "failed" {
		text = "allowed, but could not connect to " + endpoint(r)
	}
	if r.Name != "" && r.Address != "" {
		text += " at " + r.Address
	}
	if r.Count > 1 {
		text += fmt.Sprintf(", %d times", r.Count)
	}
	if r.Verdict == "closed" {
		text += fmt.Sprintf(", sent %s, received %s", size(r.Sent), size(r.Received))
		if r.Duration > 0 {
			text += " in " + seconds(r.Duration)
		}
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	switch r.Verdict {
	case "refused":
		if r.Allow != "" {
			text += "; to allow, add: --egress " + shellQuote(r.Allow)
			if r.Port == 0 {
				text += " (" + portIsGuessed + ")"
			}
		}
		return text, red
	case "failed":
		return text, yellow
	case "connected":
		text += ", by the rule " + r.Rule
	}
	return text, plain
}

func describeGap(r journal.Gap) string {
	var kinds []string
	for _, event := range slices.Sorted(maps.Keys(r.Lost)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", r.Lost[event], event))
	}
	return fmt.Sprintf("lost records, which could not be written, from %s to %s: %s: %s",
		r.From.Local().Format(time.TimeOnly), r.To.Local().Format(time.TimeOnly), strings.Join(kinds, ", "), r.Cause)
}

func describeSegment(r journal.Segment) string {
	text := fmt.Sprintf("goes on in segment %d", r.Number)
	if r.Through > 0 {
		text += fmt.Sprintf("; removed to make room: segments 2 to %d, %s, %s", r.Through, plural(int(r.Records), "record"), size(r.Bytes))
	}
	return text
}

func describeExit(r journal.Exit) (text, tone string) {
	text, tone = fmt.Sprintf("ended with code %d", r.Code), plain
	if r.Signal != 0 {
		text = "ended by " + unix.SignalName(syscall.Signal(r.Signal))
	}
	if r.Code != 0 || r.Signal != 0 {
		tone = yellow
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	memory := "largest process " + size(r.MaxRSS)
	if r.Memory > 0 {
		memory = "memory up to " + size(r.Memory)
	}
	return text + fmt.Sprintf(", after %s; processor time %s, %s; %s to it, %s from it",
		seconds(r.Duration), seconds(r.User+r.System), memory,
		plural(int(r.ToServer.Lines), "line"), plural(int(r.ToHost.Lines), "line")), tone
}
