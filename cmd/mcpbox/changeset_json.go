package main

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/changes"
)

// describedSet is a change set as programs see it.
type describedSet struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	State   string            `json:"state"` // pending, or applied
	Time    time.Time         `json:"time"`
	Added   int               `json:"added"`
	Changed int               `json:"modified"`
	Removed int               `json:"removed"`
	Refused int               `json:"refused"`
	Changes []describedChange `json:"changes,omitempty"` // of one that was asked for
}

type describedChange struct {
	Kind    string         `json:"kind"` // added, modified or removed
	Path    string         `json:"path"`
	Before  *describedNode `json:"before,omitempty"`
	After   *describedNode `json:"after,omitempty"`
	Refused string         `json:"refused,omitempty"`
}

type describedNode struct {
	Type   changes.Type `json:"type"`
	Mode   string       `json:"mode,omitempty"` // octal; links have none
	Size   int64        `json:"size,omitempty"` // of a file
	Hash   string       `json:"sha256,omitempty"`
	Target string       `json:"target,omitempty"` // of a link
}

func describeNode(n *changes.Node) *describedNode {
	if n == nil {
		return nil
	}
	d := &describedNode{Type: n.Type, Size: n.Size, Hash: hex.EncodeToString(n.Hash), Target: string(n.Target)}
	if n.Type != changes.Link {
		d.Mode = fmt.Sprintf("%04o", n.Mode)
	}
	return d
}

func describeSets(list []*changes.Entry, full bool) []describedSet {
	out := []describedSet{}
	for _, e := range list {
		for _, s := range []*changes.Set{e.Pending, e.Undo} {
			if s == nil {
				continue
			}
			d := describedSet{ID: e.ID, Name: s.Name, State: "pending", Time: s.Time}
			if s == e.Undo {
				d.State = "applied"
			}
			d.Added, d.Changed, d.Removed, d.Refused = s.Count()
			for i := range s.Changes {
				if c := &s.Changes[i]; full {
					d.Changes = append(d.Changes, describedChange{c.Kind(), s.At(c), describeNode(c.Before), describeNode(c.After), c.Refused})
				}
			}
			out = append(out, d)
		}
	}
	return out
}
