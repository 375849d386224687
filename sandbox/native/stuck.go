package native

import (
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
)

// awaitEnd returns when nothing is left of a box that is ending, or nothing but
// processes that nobody can end, which it lists.
func (b *box) awaitEnd() []int {
	b.endOnce.Do(func() {
		if b.stuck = proc.AwaitEnd(b.done, b.pid, b.members); len(b.stuck) > 0 {
			b.noteGroup()
		}
	})
	return b.stuck
}
