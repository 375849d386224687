package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
)

// Start is the first record of a run. Environment values are never part of it.
type Start struct {
	Name    string   `json:"name"`              // the server's name
	Argv    []string `json:"argv"`              // the command as the host gave it, or an image's
	Policy  string   `json:"policy,omitempty"`  // "sha256:" and the digest of the policy that is in force
	Profile string   `json:"profile,omitempty"` // the profile it extends
	// Package is what was installed for it, if by mcpbox: kind, name and version,
	// and the integrity of that and of all it depends on. Of an image, it is "oci:"
	// with its reference, and its digest.
	Package string `json:"package,omitempty"`
	Backend string `json:"backend,omitempty"`
	PID     int    `json:"pid"`              // the launcher's process id
	BoxPID  int    `json:"boxPid,omitempty"` // the host's process id of the box's PID 1
	Version string `json:"version,omitempty"`
	Tier    string `json:"tier,omitempty"` // by what its limits hold: a [sandbox.Tier]
	// Layers are the effective lines of defence. [sandbox.Layer] marshals as
	// is; so does anything else that the caller reports.
	Layers any `json:"layers,omitempty"`
}

// Kind names what an Event is about.
type Kind string

const (
	// ProtectedCreated is a protected name that was absent at the start and is
	// there at the end.
	ProtectedCreated Kind = "protected_created"
	// SymlinkLeavesTree is a new symbolic link that points out of its
	// writable directory.
	SymlinkLeavesTree Kind = "symlink_leaves_tree"
	// HardlinkExposed is a writable file that has another name elsewhere.
	HardlinkExposed Kind = "hardlink_exposed"
	// ScanBlocked is a directory that could not be looked into at the end.
	ScanBlocked Kind = "scan_blocked"
	// ScanTruncated is one with more in it than was looked at.
	ScanTruncated Kind = "scan_truncated"
	// Staged is what the server has changed and nobody has applied yet.
	Staged Kind = "staged"
	// CoverLost is a protected or hidden file that a program of the host has
	// exchanged, so that it lies open to the box.
	CoverLost Kind = "cover_lost"
	// Signal is a signal that the launcher received or sent.
	Signal Kind = "signal"
	// Frozen, Thawed, CutOff and Restored are what a person did to the run, by
	// the command that has this name.
	Frozen   Kind = "frozen"
	Thawed   Kind = "thawed"
	CutOff   Kind = "cut"
	Restored Kind = "restored"
	// SnapshotTaken is a look at the run by mcpbox snapshot.
	SnapshotTaken Kind = "snapshot"
	// KilledOutright is a run whose launcher did not answer, and so has no
	// record of its end.
	KilledOutright Kind = "killed_outright"
	// NotStarted is a run that ended before its server began. It is the last
	// record.
	NotStarted Kind = "not_started"
	// LauncherDied is a run whose mcpbox was killed by something else, as whoever
	// comes across it finds. The box has ended with it.
	LauncherDied Kind = "launcher_died"
	// Runaway is a server that has broken a rule of the policy's for runaways;
	// Target is the rule.
	Runaway Kind = "runaway"
	// Warning is anything else that a person should read.
	Warning Kind = "warning"
)

// Event is something that happened during a run.
type Event struct {
	Kind   Kind   `json:"kind"`
	Path   string `json:"path,omitempty"`
	Target string `json:"target,omitempty"` // where a link at Path points
	Detail string `json:"detail,omitempty"`
}

// Connection is what became of a connection of the server's, or of its question
// for a name.
type Connection struct {
	Verdict  string        `json:"verdict"`           // connected, closed, abandoned, refused or failed
	Proto    string        `json:"proto"`             // tcp or udp; dns for a question
	Name     string        `json:"name,omitempty"`    // what the server asked for, if not an address
	Address  string        `json:"address,omitempty"` // what was dialled, or refused
	Port     uint16        `json:"port,omitempty"`
	Rule     string        `json:"rule,omitempty"`   // the rule that allowed it
	Reason   string        `json:"reason,omitempty"` // why it was refused, failed or ended
	Allow    string        `json:"allow,omitempty"`  // the rule that would allow it
	Sent     int64         `json:"sentBytes,omitempty"`
	Received int64         `json:"receivedBytes,omitempty"`
	Duration time.Duration `json:"durationNs,omitempty"`
	// Count is how many of them this record sums up, if it is not about one.
	Count int64 `json:"count,omitempty"`
}

// Gap tells of records that could not be written.
type Gap struct {
	Lost  map[string]int64 `json:"lost"` // how many, by their event
	From  time.Time        `json:"from"` // when the first of them was to be written
	To    time.Time        `json:"to"`   // and the last
	Cause string           `json:"cause"`
}

// Segment is the first record of each segment but the first. The segments from the
// second one to Through have been removed, to make room; there were Records in
// them.
type Segment struct {
	Number  int   `json:"segment"`
	Through int   `json:"removedThrough,omitempty"`
	Records int64 `json:"removedRecords,omitempty"`
	Bytes   int64 `json:"removedBytes,omitempty"`
}

// Removed is what the journals of earlier runs of the server have lost, to make
// room: those of the oldest runs, that had ended, up to the run Through.
type Removed struct {
	Runs    int    `json:"runs"`
	Bytes   int64  `json:"bytes"`
	Through string `json:"through"`
}

// Exit is the last record of a run.
type Exit struct {
	Code     int           `json:"code"`             // the server's exit status; -1 if a signal ended it
	Signal   int           `json:"signal,omitempty"` // the signal that ended it
	Reason   string        `json:"reason,omitempty"` // why mcpbox ended the box, where it did
	Duration time.Duration `json:"durationNs"`
	User     time.Duration `json:"userNs"`      // processor time of all processes of the box
	System   time.Duration `json:"systemNs"`    //
	MaxRSS   int64         `json:"maxRssBytes"` // of the largest process
	Memory   int64         `json:"memoryPeakBytes,omitempty"`
	Allowed  int64         `json:"memoryLimitBytes,omitempty"`
	ToServer Traffic       `json:"toServer"`
	ToHost   Traffic       `json:"toHost"`
	// Messages is how far the stream of messages is, if there is one. The
	// journal fills it in.
	Messages *Position `json:"messages,omitempty"`
}

// Traffic is what passed one way.
type Traffic struct {
	Bytes   int64 `json:"bytes"`
	Lines   int64 `json:"lines"`
	Dropped int64 `json:"droppedBytes,omitempty"`
}

// Start writes the record "start". On an error the run must not go on.
func (j *Journal) Start(s Start) error { return errors.Join(j.append(s, false), j.makeRoom()) }

// Event writes a record "event". What follows from an error is decided where
// Failed is heard, as with all records of what happens during a run.
func (j *Journal) Event(e Event) error { return j.append(e, false) }

// Connect writes a record "connect".
func (j *Journal) Connect(c Connection) error { return j.append(c, false) }

// Exit writes the record "exit", the last one. An error says what is lost, be it
// this record or earlier ones.
func (j *Journal) Exit(e Exit) error {
	e.Messages = j.settle()
	return j.append(e, true)
}

// record is one of the types above; event is the value of its "event" field.
type record interface{ event() string }

func (Start) event() string { return "start" }
func (Event) event() string { return "event" }
func (Exit) event() string  { return "exit" }
func (Gap) event() string   { return "gap" }

func (Segment) event() string { return "segment" }
func (Removed) event() string { return "removed" }

func (Connection) event() string { return "connect" }

// encode makes the text of a line, but for its end: the common fields, then the
// record's own.
func encode(r record, now time.Time) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	// All records marshal to objects with at least one field, so that their
	// text after the brace can follow ours.
	line := make([]byte, 0, len(body)+placeLength+80)
	line = append(line, `{"time":"`...)
	line = now.UTC().AppendFormat(line, "2006-01-02T15:04:05.000000000Z")
	line = append(line, `","event":"`...)
	line = append(line, r.event()...)
	line = append(line, `",`...)
	return escape(line, body[1:len(body)-1]), nil
}

// escape appends JSON text with the control and format characters that
// encoding/json leaves as they are (DEL, C1, bidirectional controls, tags)
// written as \u escapes. They occur within strings only, so the value stays the
// same.
func escape(out, text []byte) []byte {
	if !slices.ContainsFunc(text, func(c byte) bool { return c >= 0x7f }) {
		return append(out, text...)
	}
	for _, r := range string(text) {
		switch {
		case r < 0x7f || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}
