package netfilter

import "sync/atomic"

// meter counts the bytes of a whole run, of all connections and both ways,
// against a budget. Its methods may be called from any goroutine; a nil meter
// has no budget.
type meter struct {
	budget int64
	used   atomic.Int64
}

// newMeter returns a meter with a budget in bytes; 0 is none.
func newMeter(budget int64) *meter { return &meter{budget: budget} }

var errBudget = &refusal{reason: "the run has carried as many bytes as [limits] egress_bytes allows"}

// take counts up to n bytes that are about to be carried, and returns how many of
// them may be. So the sum is never above the budget.
func (m *meter) take(n int64) int64 {
	if m == nil || m.budget == 0 {
		return n
	}
	for {
		used := m.used.Load()
		n = min(n, m.budget-used)
		if m.used.CompareAndSwap(used, used+n) {
			return n
		}
	}
}

// add counts n bytes that are about to be carried as a whole: errBudget, a
// *refusal, if they are too many.
func (m *meter) add(n int64) error {
	if m.take(n) < n {
		return errBudget
	}
	return nil
}
