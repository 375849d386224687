package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"golang.org/x/sys/unix"
)

// Snapshots are evidence, so none is ever removed but by whoever says so: a person is
// told when there are many.

const (
	// snapshotTime is how the names of snapshots say when they were taken.
	snapshotTime = "20060102T150405Z"
	// manySnapshots is how many there are before somebody hears of it.
	manySnapshots = 20
	// snapshotWritten is how long one is taken to be still written that has no
	// manifest yet.
	snapshotWritten = time.Hour
)

func snapshotsDir(own dirs.Dirs) string { return filepath.Join(own.State, "snapshots") }

// keptSnapshot is one in mcpbox's own directory.
type keptSnapshot struct {
	Server string    `json:"server"`
	Run    string    `json:"run"`
	Taken  time.Time `json:"taken"`
	Whole  bool      `json:"whole"` // it has its manifest
	Bytes  int64     `json:"bytes"`
	Dir    string    `json:"dir"`
}

// keptSnapshots lists them, the oldest first: of one server, if name is not "".
func keptSnapshots(own dirs.Dirs, name string) ([]keptSnapshot, error) {
	entries, err := os.ReadDir(snapshotsDir(own))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list := []keptSnapshot{}
	for _, e := range entries {
		s, ok := parseSnapshotName(e.Name())
		if !ok || !e.IsDir() || name != "" && s.Server != name {
			continue
		}
		s.Dir = filepath.Join(snapshotsDir(own), e.Name())
		s.Whole = unix.Access(filepath.Join(s.Dir, "manifest.json"), unix.F_OK) == nil
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b keptSnapshot) int {
		if c := a.Taken.Compare(b.Taken); c != 0 {
			return c
		}
		return strings.Compare(a.Dir, b.Dir)
	})
	return list, nil
}

// parseSnapshotName takes NAME-TIME-ID apart.
func parseSnapshotName(text string) (s keptSnapshot, ok bool) {
	part := strings.Split(text, "-")
	if len(part) < 3 {
		return s, false
	}
	n := len(part) - 2
	var err error
	s.Server, s.Run = strings.Join(part[:n], "-"), part[n+1]
	s.Taken, err = time.Parse(snapshotTime, part[n])
	return s, err == nil && journal.CheckName(s.Server) == nil && s.Run != ""
}

// measure adds up what it takes on the disk.
func (s *keptSnapshot) measure() {
	filepath.WalkDir(s.Dir, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			s.Bytes += st.Blocks * 512
		}
		return nil
	})
}

func (t *taking) list(own dirs.Dirs, name string) error {
	list, err := keptSnapshots(own, name)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].measure()
	}
	if t.asJSON {
		return writeJSON(t.console, list)
	}
	w := tabwriter.NewWriter(t.console.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERVER\tRUN\tTAKEN\tSIZE\tDIRECTORY")
	for _, s := range list {
		dir := s.Dir
		if !s.Whole {
			dir += " (not complete)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Server, s.Run, s.Taken.Local().Format("2006-01-02 15:04:05"), size(s.Bytes), dir)
	}
	return w.Flush()
}

// outdated are those of list that are older than age, and not among the newest keep of
// their server. Of both, what is negative does not count. None that may still be
// written is among them.
func outdated(list []keptSnapshot, now time.Time, keep int, age time.Duration) (old []keptSnapshot) {
	newer := map[string]int{}
	for _, s := range slices.Backward(list) {
		newer[s.Server]++
		switch {
		case newer[s.Server] <= keep, now.Sub(s.Taken) < age, !s.Whole && now.Sub(s.Taken) < snapshotWritten:
		default:
			old = append(old, s)
		}
	}
	slices.Reverse(old)
	return old
}

// prune removes what is outdated, and says what it has removed.
func (t *taking) prune(own dirs.Dirs, name string) error {
	age := time.Duration(-1)
	if t.olderThan != "" {
		var err error
		if age, err = parseDays("--older-than", t.olderThan); err != nil {
			return err
		}
	}
	if t.keep < 0 && age < 0 {
		return errors.New("say which snapshots to remove: all but some of each server (--keep 5), the old ones (--older-than 30d), or both")
	}
	list, err := keptSnapshots(own, name)
	if err != nil {
		return err
	}
	var failed []error
	for _, s := range outdated(list, time.Now(), t.keep, age) {
		s.measure()
		if err := os.RemoveAll(s.Dir); err != nil {
			failed = append(failed, err)
			continue
		}
		fprint(t.console.out, fmt.Sprintf("removed %s, %s", s.Dir, size(s.Bytes)))
	}
	return errors.Join(failed...)
}

// tellMany says when there are many.
func (t *taking) tellMany(own dirs.Dirs) {
	list, err := keptSnapshots(own, "")
	if err != nil || len(list) < manySnapshots {
		return
	}
	var all int64
	for _, s := range list {
		s.measure()
		all += s.Bytes
	}
	t.console.say("there are %d snapshots, %s, the oldest of %s; to remove old ones, type: mcpbox snapshot --prune --older-than 30d",
		len(list), size(all), list[0].Taken.Local().Format("2006-01-02"))
}
