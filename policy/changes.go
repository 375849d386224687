package policy

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Finding is a change in a writable directory that programs of the host could
// stumble over.
type Finding struct {
	Event  Event  `json:"event"`
	Path   string `json:"path"`
	Detail string `json:"detail,omitempty"`
}

// Event names a kind of change.
type Event string

const (
	// ProtectedCreated: a protected name is there that was not. A name that
	// does not exist cannot be mounted over, so it can only be told afterwards.
	ProtectedCreated Event = "protected_created"
	// LinkLeavesTree: a new symbolic link leads out of the directory. A program
	// of the host that follows it reads or writes somewhere else.
	LinkLeavesTree Event = "symlink_leaves_tree"
	// HardLinkExposed: a file has a second name, perhaps outside the directory,
	// under which a change inside shows as well.
	HardLinkExposed Event = "hardlink_exposed"
	// ScanBlocked: a directory could not be looked into, and may hold anything.
	ScanBlocked Event = "scan_blocked"
	// ScanTruncated: the directory holds more than a scan reads, or took longer
	// than it may.
	ScanTruncated Event = "scan_truncated"
)

// Diff compares two scans of one root, the later one with ScanOptions.Files.
func Diff(before, after *Snapshot) []Finding {
	var list []Finding
	known := map[string]bool{}
	for _, f := range before.Protected {
		known[f.Path] = true
	}
	for _, f := range after.Protected {
		if !known[f.Path] {
			list = append(list, Finding{ProtectedCreated, f.Path, f.Type.String()})
		}
	}
	links := map[Found]bool{}
	for _, f := range before.Links {
		links[f] = true
	}
	for _, f := range after.Links {
		if to, ok := after.Leaving[f.Path]; ok && !links[f] {
			list = append(list, Finding{LinkLeavesTree, f.Path, to})
		}
	}
	for _, p := range after.Exposed {
		list = append(list, Finding{HardLinkExposed, p, ""})
	}
	for _, b := range after.Blocked {
		list = append(list, Finding{ScanBlocked, b.Path, b.Err.Error()})
	}
	if after.Truncated {
		detail := "not all files were looked at"
		if after.Missed != "" {
			detail = "not searched to the end: " + after.Missed
		}
		list = append(list, Finding{ScanTruncated, after.Root, detail})
	}
	slices.SortStableFunc(list, func(a, b Finding) int { return comparePaths(a.Path, b.Path) })
	return list
}

// maxFindings bounds the findings of each kind for a run: a program can make
// more of them than anybody reads.
const maxFindings = 500

// hungAfter is how long after its deadline [Changes] waits for a scan, which
// only a file system that does not answer keeps from ending.
const hungAfter = 250 * time.Millisecond

// Changes scans the writable directories of a report again and returns what is
// new since. It looks at each file, and is meant for the end of a run: it stops
// when ctx is done, and nothing that the program left makes it fail. What it
// could not look at is among the findings, as ScanBlocked or ScanTruncated.
func Changes(ctx context.Context, h Host, r *Report) []Finding {
	var list []Finding
	for _, before := range r.Roots {
		done := make(chan []Finding, 1)
		go func() {
			o := before.options
			o.Files = true
			after, err := ScanRoot(ctx, h, before.Root, o)
			if err != nil {
				done <- []Finding{{ScanBlocked, before.Root, err.Error()}}
				return
			}
			done <- Diff(before, after)
		}()
		select {
		case found := <-done:
			list = append(list, found...)
			continue
		case <-ctx.Done():
		}
		select {
		case found := <-done:
			list = append(list, found...)
		case <-time.After(hungAfter):
			list = append(list, Finding{ScanTruncated, before.Root, "its file system does not answer"})
		}
	}
	return bounded(list)
}

// bounded drops the findings of each kind beyond maxFindings.
func bounded(list []Finding) []Finding {
	count := map[Event]int{}
	kept := list[:0]
	for _, f := range list {
		if count[f.Event]++; count[f.Event] <= maxFindings {
			kept = append(kept, f)
		}
	}
	for _, e := range []Event{ProtectedCreated, LinkLeavesTree, HardLinkExposed, ScanBlocked} {
		if more := count[e] - maxFindings; more > 0 {
			kept = append(kept, Finding{Event: ScanTruncated, Detail: fmt.Sprintf("%d more of %s", more, e)})
		}
	}
	return kept
}
