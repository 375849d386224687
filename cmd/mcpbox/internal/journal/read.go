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
	"strings"
	"syscall"
	"time"
)

// File is the journal of one run, seen by a reader.
type File struct {
	Path    string
	Name    string // the server's
	ID      string // the run's
	Started time.Time
}

const (
	stamp     = "20060102T150405.000000000Z"
	extension = ".jsonl"
)

// Files lists the journals below the state directory, in the order in which
// their runs started.
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
			at, id, _ := strings.Cut(strings.TrimSuffix(e.Name(), extension), "-")
			started, err := time.Parse(stamp, at)
			if err == nil && id != "" && filepath.Ext(e.Name()) == extension {
				list = append(list, File{filepath.Join(dir, e.Name()), name.Name(), id, started})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b File) int { return a.Started.Compare(b.Started) })
	return list, nil
}

// Entry is one record, as it was read.
type Entry struct {
	File
	Time    time.Time
	Event   string // which record it is: "start", "event", "connect", "exit", or what a newer mcpbox writes
	Verdict string // of a connection
	Line    []byte // the whole record, an object, without the line feed
}

// Denied reports whether it tells of something that the server was refused.
func (e Entry) Denied() bool { return e.Verdict == "refused" }

// Decode reads the record's own fields into what Event says it is: a [*Start],
// [*Event], [*Connection] or [*Exit].
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
		}
		if err := json.Unmarshal(line, &common); err != nil || common.Event == "" {
			bad = errors.New(f.Path + " has a line that is no record")
			continue
		}
		if e.Time, e.Event, e.Verdict = common.Time, common.Event, common.Verdict; !e.Time.Before(from) {
			list = append(list, e)
		}
	}
	return list, bad
}
