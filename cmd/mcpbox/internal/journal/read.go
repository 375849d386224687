package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// File is one file of the journal of a run, seen by a reader.
type File struct {
	Path     string
	Name     string // the server's
	ID       string // the run's
	Started  time.Time
	Messages bool // it holds the run's messages
	Segment  int  // from 1

	run string // what the files of the run are called, without what tells them apart
}

// parseName says what a file in the directory of a server is by its name.
func parseName(dir, name string) (File, bool) {
	f := File{Path: dir + "/" + name, Name: filepath.Base(dir), Segment: 1}
	if len(name) <= len(stamp) || name[len(stamp)] != '-' || !strings.HasSuffix(name, extension) {
		return f, false
	}
	id, number, _ := strings.Cut(strings.TrimSuffix(name[len(stamp)+1:], extension), ".")
	f.ID, f.run = id, name[:len(stamp)+1+len(id)]
	base := dir + "/" + f.run
	if infix, n, _ := strings.Cut(number, "."); "."+infix == messagesInfix {
		f.Messages, number = true, n
		base += messagesInfix
	}
	if number != "" {
		f.Segment, _ = strconv.Atoi(number)
	}
	started, err := time.Parse(stamp, name[:len(stamp)])
	f.Started = started
	return f, err == nil && id != "" && f.Segment > 0 && segmentPath(base, f.Segment) == f.Path
}

// Files lists the journals below the state directory, in the order in which
// their runs started, and of one run in the order in which they were begun.
func Files(state string) ([]File, error) {
	root := filepath.Join(state, "journal")
	names, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []File
	for _, name := range names {
		if CheckName(name.Name()) != nil {
			continue
		}
		dir := filepath.Join(root, name.Name())
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return nil, err
		}
		for _, e := range entries {
			if f, ok := parseName(dir, e.Name()); ok {
				list = append(list, f)
			}
		}
	}
	sortFiles(list)
	return list, nil
}

func sortFiles(list []File) { slices.SortStableFunc(list, compareFiles) }

func compareFiles(a, b File) int {
	switch {
	case !a.Started.Equal(b.Started):
		return a.Started.Compare(b.Started)
	case a.ID != b.ID:
		return strings.Compare(a.ID, b.ID)
	case a.Messages != b.Messages && b.Messages:
		return -1
	case a.Messages != b.Messages:
		return 1
	}
	return a.Segment - b.Segment
}

// Entry is one record, as it was read.
type Entry struct {
	File
	Time    time.Time
	Event   string  // which record it is: "start", "connect" and so on, or what a newer mcpbox writes
	Verdict string  // of a connection
	Outcome Outcome // of a message
	Line    []byte  // the whole record, an object, without the line feed
}

// Denied reports whether it tells of something that the server was refused.
func (e Entry) Denied() bool { return e.Verdict == "refused" || e.Outcome == Denied }

// Decode reads the record's own fields into what Event says it is: a [*Start],
// [*Event], [*Connection], [*Message], [*Gap], [*Segment], [*Removed] or [*Exit].
func (e Entry) Decode(record any) error { return json.Unmarshal(e.Line, record) }

// Follower reads a journal that is still being written.
type Follower struct {
	File
	offset int64
}

// Next returns the records that have come since, without those from before from.
// A journal that is not there any more has none. A line that is no record is left
// out, and told in the error.
func (f *Follower) Next(from time.Time) ([]Entry, error) {
	info, err := os.Lstat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() <= f.offset || info.ModTime().Before(from) {
		return nil, nil
	}
	file, err := os.OpenFile(f.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.NewSectionReader(file, f.offset, info.Size()-f.offset))
	if err != nil {
		return nil, err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1 // the rest is being written
	f.offset += int64(whole)
	var list []Entry
	var bad error
	for line := range bytes.Lines(data[:whole]) {
		e := Entry{File: f.File, Line: bytes.TrimSpace(line)}
		var common struct {
			Time           time.Time
			Event, Verdict string
			Outcome        Outcome
		}
		if err := json.Unmarshal(line, &common); err != nil || common.Event == "" {
			bad = errors.New(f.Path + " has a line that is no record")
			continue
		}
		if e.Time, e.Event, e.Verdict, e.Outcome = common.Time, common.Event, common.Verdict, common.Outcome; !e.Time.Before(from) {
			list = append(list, e)
		}
	}
	return list, bad
}
