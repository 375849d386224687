package native

import (
	"errors"
	"fmt"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
)

// keepStaged takes the upper directories of the staged mounts, which nothing
// else keeps once the box has ended, and lets stage 1 go on.
func (b *box) keepStaged(plan *wire.Plan, offered []byte) error {
	var mounts []wire.Mount
	for _, m := range plan.Mounts {
		if m.Kind == "staged" {
			mounts = append(mounts, m)
		}
	}
	var s wire.Staged
	if err := wire.Unmarshal(offered, &s); err != nil || len(s.FDs) != len(mounts) {
		return errors.New("stage 1: malformed list of staged directories")
	}
	files, err := b.take(s.FDs)
	if err != nil {
		closeAll(files)
		return fmt.Errorf("staged directories: %w", err)
	}
	for i, f := range files {
		b.staged = append(b.staged, sandbox.Staged{Source: mounts[i].Source, Upper: f})
	}
	return wire.Send(b.control, wire.TypeAttached, wire.Nothing{})
}
