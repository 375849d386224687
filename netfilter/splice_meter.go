package netfilter

import "sync/atomic"

// meter counts the bytes of a whole run against a budget.
type meter struct {
	budget int64
	used   atomic.Int64
}

// newMeter returns a meter with a budget in bytes; 0 is none.
func newMeter(budget int64) *meter { return &meter{budget: budget} }

// add counts n bytes that are about to be carried; a *refusal if they are too
// many.
func (m *meter) add(n int64) error {
	if m != nil && m.used.Add(n) > m.budget && m.budget > 0 {
		return &refusal{reason: "the limit of egress_bytes is used up"}
	}
	return nil
}
