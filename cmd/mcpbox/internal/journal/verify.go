package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Checked is what became of checking the journal of one run.
type Checked struct {
	File    // its first file, whether it is there or not
	State   string
	Records int64 // that were read
	// Faults say in which file which record does not follow from what is before
	// it, and what is missing. There are none but in a journal that is broken.
	Faults []string
}

// What State says.
const (
	Whole   = "whole"
	Running = "running" // whole so far, and the run lives
	Broken  = "broken"  // something was changed or is missing
)

const mostFaults = 10 // of a run

// chained is what a record says about the chain.
type chained struct {
	Event    string
	Kind     Kind // of an event
	N        int64
	Prev     string
	After    []Position
	Messages *Position // of an exit
	Segment  int       // of a segment
	Removed  int       `json:"removedThrough"`
	Records  int64     `json:"removedRecords"`
	Through  string    // of a removed
}

// ends reports whether a record is the last one of its run.
func (r chained) ends() bool {
	return r.Event == (Exit{}).event() || slices.Contains([]Kind{NotStarted, KilledOutright, LauncherDied}, r.Kind)
}

// Verify checks the journals of the servers' runs that match. A journal is whole
// if each record follows from the one before it, through all segments that have
// not been removed to make room; if it has a record of its end, or its run lives;
// and if it is as long as the runs after it found it. A run that those know and
// that is not there is broken, too, unless it was removed to make room.
//
// There is no secret in a chain. Who can write a journal can write all of it anew,
// and that of the runs after it. Nothing tells of the last run of a server when
// that is missing as a whole.
func Verify(state string, match func(File) bool) ([]Checked, error) {
	root := filepath.Join(state, "journal")
	names, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Checked
	for _, name := range names {
		if CheckName(name.Name()) != nil {
			continue
		}
		sets, err := setsOf(filepath.Join(root, name.Name()))
		if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return list, err
		}
		list = append(list, verifyServer(filepath.Join(root, name.Name()), sets, match)...)
	}
	return list, nil
}

// verifier is the checking of one server's runs.
type verifier struct {
	known   map[string][]witness // what later runs say of a run
	through string               // the last run that was removed to make room
}

// witness is a position of one run, as another run found it.
type witness struct {
	Position
	by string
}

func verifyServer(dir string, sets []set, match func(File) bool) (list []Checked) {
	v := &verifier{known: map[string][]witness{}}
	for _, s := range sets {
		v.learn(s)
	}
	for _, s := range sets {
		if match(s.first()) {
			list = append(list, v.run(s))
		}
		delete(v.known, s.run)
	}
	for run, by := range v.known {
		f, ok := parseName(dir, run+extension)
		if !ok || run > v.through && match(f) {
			list = append(list, Checked{File: f, State: Broken, Faults: []string{f.Path + " is missing: it was there " + by[0].by}})
		}
	}
	slices.SortStableFunc(list, func(a, b Checked) int { return compareFiles(a.File, b.File) })
	return list
}

// first is the run's first file, whether it is there or not.
func (s set) first() File {
	f := s.files[0]
	f.Path = filepath.Join(filepath.Dir(f.Path), s.run+extension)
	f.Messages, f.Segment = false, 1
	return f
}

// learn reads what a run says of others, which it does in its first records.
func (v *verifier) learn(s set) {
	file, err := os.OpenFile(s.first().Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for range 4 {
		line, err := lines.ReadBytes('\n')
		var r chained
		if err != nil || json.Unmarshal(line, &r) != nil {
			return
		}
		for _, p := range r.After {
			v.known[p.Run] = append(v.known[p.Run], witness{p, "when the run " + s.run + " began"})
		}
		if r.Event == (Removed{}).event() {
			v.through = max(v.through, r.Through)
		}
	}
}

// run checks one run. What is wrong with one that is being written is looked at
// again: a segment may have been removed meanwhile.
func (v *verifier) run(s set) (c Checked) {
	for range 3 {
		if c = v.look(s); c.State != Broken || !live(c.Path) {
			break
		}
		sets, err := setsOf(filepath.Dir(c.Path))
		i := slices.IndexFunc(sets, func(other set) bool { return other.run == s.run })
		if err != nil || i < 0 {
			break
		}
		s = sets[i]
	}
	return c
}

func (v *verifier) look(s set) Checked {
	c := Checked{File: s.first(), State: Whole}
	alive := live(c.Path) // before it is read: what ends meanwhile has its last record
	own := chain{path: c.Path, seen: v.known[s.run]}
	own.follow(s.files, false)
	c.Records = own.read
	messages := chain{path: filepath.Join(filepath.Dir(c.Path), s.run+messagesInfix+extension)}
	if own.exit != nil && own.exit.Messages != nil {
		messages.seen = []witness{{*own.exit.Messages, "when the run ended"}}
	}
	messages.follow(s.files, true)
	if own.exit != nil && own.exit.Event == (Exit{}).event() && own.exit.Messages == nil && messages.read > 0 {
		messages.fault("the record of the run's end knows of no messages")
	}
	c.Records = own.read + messages.read
	c.Faults = slices.Concat(own.faults, messages.faults)
	switch {
	case alive:
		c.State = Running
	case own.exit == nil && !own.witnessed:
		c.Faults = append(c.Faults, own.path+" has no record of the run's end: its mcpbox was killed, or the end is cut off")
	}
	if len(c.Faults) > 0 {
		c.State = Broken
		c.Faults = c.Faults[:min(len(c.Faults), mostFaults)]
	}
	return c
}
