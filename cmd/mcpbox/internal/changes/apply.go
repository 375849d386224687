package changes

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// Refusal is a change that is not applied, and why.
type Refusal struct{ Path, Reason string }

// RefusedError says that nothing was applied.
type RefusedError struct{ List []Refusal }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%d of the changes cannot be applied, so none was", len(e.List))
}

// Applied is what became of a change set.
type Applied struct {
	Count   int
	Refused []Refusal // with partial
}

// Apply changes the host's directories as the server has changed its view of
// them. All changes are looked at first: if one of them is refused, or its file
// has changed on the host, nothing is done, unless partial leaves those out. Only
// the changes at or below paths are meant, if there are any; these are absolute.
// Each file is exchanged as a whole, and what was there is kept for TakeBack.
func (e *Entry) Apply(h policy.Host, partial bool, paths []string) (Applied, error) {
	if e.Pending == nil {
		return Applied{}, fmt.Errorf("%s is applied already; to take it back, type: mcpbox changes undo %s", e.ID, e.ID)
	}
	return e.change(pending, h, partial, paths)
}

// TakeBack undoes what Apply has done. It works like Apply: what the host has
// changed since stays.
func (e *Entry) TakeBack(h policy.Host, partial bool) (Applied, error) {
	if e.Undo == nil {
		return Applied{}, fmt.Errorf("%s is not applied; to apply it, type: mcpbox changes apply %s", e.ID, e.ID)
	}
	return e.change(undo, h, partial, nil)
}

// applier is one Apply or Undo.
type applier struct {
	set    *Set
	from   part
	store  *writer
	dirs   []int
	judges judges
	chosen []*Change
	by     map[key]*Change // of chosen
	begun  map[key]bool    // by an attempt that did not come to its end
}

type key struct {
	root int
	path string
}

func (e *Entry) change(p part, h policy.Host, partial bool, paths []string) (Applied, error) {
	held, err := lock(e.dir)
	if err != nil {
		return Applied{}, fmt.Errorf("change set %s: %w", e.ID, err)
	}
	defer held.Close()
	if err := e.read(); err != nil { // again, under the lock
		return Applied{}, err
	}
	set := map[part]*Set{pending: e.Pending, undo: e.Undo}[p]
	if set == nil {
		return Applied{}, fmt.Errorf("change set %s: another mcpbox has been at work on it", e.ID)
	}
	a := &applier{set: set, from: p, store: &writer{dir: e.dir, part: p}}
	defer a.close()
	if err := a.openRoots(); err != nil {
		return Applied{}, err
	}
	if p == pending && e.Undo != nil {
		a.begun = map[key]bool{}
		for i := range e.Undo.Changes {
			a.begun[keyOf(&e.Undo.Changes[i])] = true
		}
	}
	a.judges = set.newJudges(h, a.dirs)
	if err := a.choose(paths); err != nil {
		return Applied{}, err
	}
	refused, err := a.inspect()
	if err != nil {
		return Applied{}, err
	}
	if len(refused) > 0 && !partial {
		return Applied{}, &RefusedError{refused}
	}
	done, err := e.perform(a)
	return Applied{Count: len(done), Refused: refused}, err
}

func (a *applier) close() {
	for _, d := range a.dirs {
		unix.Close(d)
	}
}

func (a *applier) openRoots() error {
	for _, r := range a.set.Roots {
		f, ino, err := openRoot(string(r.Path))
		if err == nil {
			if ino != r.Ino {
				err = fmt.Errorf("%s is another directory now than when the server ran", r.Path)
			} else {
				var fd int
				if fd, err = openBeneath(int(f.Fd()), "", openDir); err == nil {
					a.dirs = append(a.dirs, fd)
				}
			}
			f.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// choose picks the changes at or below paths, and the new directories that they
// lie in.
func (a *applier) choose(paths []string) error {
	a.by = map[key]*Change{}
	hit := map[string]bool{}
	for i := range a.set.Changes {
		c := &a.set.Changes[i]
		at := a.set.At(c)
		if len(paths) == 0 {
			a.by[keyOf(c)] = c
		}
		for _, p := range paths {
			if at == p || strings.HasPrefix(at, p+"/") {
				hit[p] = true
				a.by[keyOf(c)] = c
			}
		}
	}
	for _, p := range paths {
		if !hit[p] {
			return fmt.Errorf("%s: the server has changed nothing there", p)
		}
	}
	needed := map[key]bool{}
	for k := range a.by {
		for up := path.Dir(k.path); up != "." && !needed[key{k.root, up}]; up = path.Dir(up) {
			needed[key{k.root, up}] = true
		}
	}
	for i := range a.set.Changes {
		if c := &a.set.Changes[i]; needed[keyOf(c)] && c.After != nil && c.After.Type == Dir {
			a.by[keyOf(c)] = c
		}
	}
	for i := range a.set.Changes {
		if c := &a.set.Changes[i]; a.by[keyOf(c)] == c {
			a.chosen = append(a.chosen, c)
		}
	}
	// Directories before what is in them.
	slices.SortStableFunc(a.chosen, func(x, y *Change) int {
		if x.Root != y.Root {
			return x.Root - y.Root
		}
		return strings.Compare(string(x.Path)+"/", string(y.Path)+"/")
	})
	return nil
}

func keyOf(c *Change) key { return key{c.Root, string(c.Path)} }

// perform keeps what is there for undo, and makes the chosen changes.
func (e *Entry) perform(a *applier) (done []*Change, err error) {
	back, err := e.backUp(a)
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		do      func(*Change) error
		applies func(*Change) bool
		inward  bool // what is in a directory comes first
	}{
		{a.unlock, func(c *Change) bool { return c.Before != nil && c.Before.Type == Dir }, false},
		{a.remove, (*Change).removes, true},
		{a.make, func(c *Change) bool { return c.After != nil }, false},
		{a.finish, func(c *Change) bool { return c.After != nil && c.After.Type == Dir }, true},
	} {
		list := slices.Clone(a.chosen)
		if step.inward {
			slices.Reverse(list)
		}
		for _, c := range list {
			if !step.applies(c) {
				continue
			}
			if err = step.do(c); err != nil {
				err = fmt.Errorf("%s: %w", a.set.At(c), err)
				break
			}
		}
		if err != nil {
			break
		}
	}
	for _, c := range a.chosen {
		if ok, _ := a.isDone(c); ok {
			done = append(done, c)
		}
	}
	return done, errors.Join(err, e.settle(a, back, done))
}

// settle writes down what is done and what is left.
func (e *Entry) settle(a *applier, back *Set, done []*Change) error {
	finished := map[key]bool{}
	for _, c := range done {
		finished[keyOf(c)] = true
	}
	rest := *a.set
	rest.Changes = nil
	for i := range a.set.Changes {
		if c := &a.set.Changes[i]; !finished[keyOf(c)] {
			rest.Changes = append(rest.Changes, *c)
		}
	}
	var err error
	if len(rest.Changes) == 0 {
		err = a.store.remove()
	} else {
		err = a.store.save(&rest)
	}
	if back != nil && err == nil {
		back.Changes = slices.DeleteFunc(back.Changes, func(c Change) bool {
			_, chosen := a.by[keyOf(&c)]
			return chosen && !finished[keyOf(&c)]
		})
		w := &writer{dir: e.dir, part: undo}
		if back.Time = time.Now().UTC().Truncate(time.Second); len(back.Changes) > 0 {
			err = w.save(back)
		} else {
			err = w.remove()
		}
	}
	if err == nil && len(rest.Changes) == 0 && a.from == undo {
		// Nothing is left to do or to take back, unless there was a rest.
		if !has(e.dir, pending) {
			return os.Remove(e.dir)
		}
	}
	return err
}
