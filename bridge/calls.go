package bridge

import (
	"slices"
	"time"
)

// Call is a request of the host that waits for its answer.
type Call struct {
	ID      string // as JSON, as the host wrote it
	Method  string
	Tool    string // params.name of tools/call
	Started time.Time
	// Progress is when the server last reported progress on it; zero if never.
	Progress time.Time

	id     string // canonical
	number int64  // of the requests of both sides
	modern bool   // of the stateless era
	caps   capabilities
	token  string // canonical progress token, or ""
}

// Exempt reports whether a call may stay open for as long as it likes:
// subscriptions/listen ends with the subscription, and tasks/result waits for
// the end of a task.
func (c *Call) Exempt() bool { return c.Method == methodListen || c.Method == methodTaskResult }

// Since is when the server last gave a sign of life about the call.
func (c *Call) Since() time.Time {
	if c.Progress.After(c.Started) {
		return c.Progress
	}
	return c.Started
}

const (
	// maxCalls is how many requests of a host may wait at one time, and
	// maxAsked how many of a server.
	maxCalls = 16 << 10
	maxAsked = 1 << 10
	// remembered is how many ids, tasks and tokens are remembered of each kind
	// once they are done, to tell what is late from what is forged.
	remembered = 1 << 10
)

// calls are the requests of one side that wait. Ids of the two sides have
// nothing to do with each other.
type calls struct {
	open map[string]*Call
	done recent[Outcome] // why a response is not awaited any more
}

func newCalls() calls { return calls{open: map[string]*Call{}, done: newRecent[Outcome]()} }

func (t *calls) add(c *Call) {
	t.done.forget(c.id) // a host that uses ids again
	t.open[c.id] = c
}

// take ends a call. A later response to it is one of kind why.
func (t *calls) take(id string, why Outcome) *Call {
	c := t.open[id]
	if c != nil {
		delete(t.open, id)
		t.done.add(id, why)
	}
	return c
}

// unasked says what a response is that nobody waits for.
func (t *calls) unasked(id []byte) Outcome {
	if why, ok := t.done.get(id); ok {
		return why
	}
	return Forged
}

// list returns copies, oldest first.
func (t *calls) list() []Call {
	all := make([]Call, 0, len(t.open))
	for _, c := range t.open {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Call) int { return int(a.number - b.number) })
	return all
}

// recent is a map that forgets the oldest of its entries.
type recent[V any] struct {
	m    map[string]V
	ring []string // up to remembered
	next int
}

func newRecent[V any]() recent[V] { return recent[V]{m: map[string]V{}} }

func (r *recent[V]) add(k string, v V) {
	if _, there := r.m[k]; !there {
		if len(r.ring) < remembered {
			r.ring = append(r.ring, k)
		} else {
			delete(r.m, r.ring[r.next])
			r.ring[r.next] = k
			r.next = (r.next + 1) % len(r.ring)
		}
	}
	r.m[k] = v
}

func (r *recent[V]) get(k []byte) (V, bool) {
	v, ok := r.m[string(k)]
	return v, ok
}

// forget leaves the entry's place in the ring, which then removes nothing.
func (r *recent[V]) forget(k string) { delete(r.m, k) }
