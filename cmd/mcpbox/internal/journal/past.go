package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	lookedAt = 8   // runs that a run tells of
	mostRuns = 500 // of a server, whose journals are kept
)

// Position is how far the journal of a run is: after the record N, whose line has
// the digest SHA256.
type Position struct {
	Run    string `json:"run,omitempty"` // as its files are called: when it started, and its ID
	N      int64  `json:"n"`
	SHA256 string `json:"sha256"`
}

func (p Position) append(out []byte) []byte {
	return fmt.Appendf(out, `{"run":%q,"n":%d,"sha256":%q}`, p.Run, p.N, p.SHA256)
}

// past is what there is of the runs before one.
type past struct {
	dir       string
	looking   sync.WaitGroup // until the rest is there
	positions []Position     // of the latest
	surplus   []set          // what has to make room
	removing  sync.WaitGroup
}

// set is the files of one run.
type set struct {
	run   string // as they are called
	files []File
	bytes int64
}

// lookBack begins to look at the runs in dir before the run self, of which at
// most keep bytes stay. It goes on beside the start of the box.
func lookBack(dir, self string, keep int64) *past {
	p := &past{dir: dir}
	p.looking.Go(func() {
		sets, err := setsOf(dir)
		if err != nil {
			return // what cannot be read is nothing to tell of
		}
		sets = slices.DeleteFunc(sets, func(s set) bool { return s.run >= self })
		for _, s := range sets[max(0, len(sets)-lookedAt):] {
			if at, err := s.position(); err == nil {
				p.positions = append(p.positions, at)
			}
		}
		p.surplus = surplus(sets, keep)
	})
	return p
}

// setsOf lists the runs in the directory of a server, the oldest first.
func setsOf(dir string) ([]set, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var sets []set
	at := map[string]int{}
	for _, e := range entries { // by name, and so by time
		f, ok := parseName(dir, e.Name())
		if !ok {
			continue
		}
		i, ok := at[f.run]
		if !ok {
			i = len(sets)
			at[f.run] = i
			sets = append(sets, set{run: f.run})
		}
		sets[i].files = append(sets[i].files, f)
		if info, err := e.Info(); err == nil {
			sets[i].bytes += info.Size()
		}
	}
	return sets, nil
}

// surplus are the oldest runs that make the others too many.
func surplus(sets []set, keep int64) []set {
	var total int64
	for _, s := range sets {
		total += s.bytes
	}
	var list []set
	for i, s := range sets {
		if total <= keep && len(sets)-i < mostRuns {
			break
		}
		if !s.live() {
			list = append(list, s)
			total -= s.bytes
		}
	}
	return list
}

// live reports whether the run's launcher lives.
func (s set) live() bool {
	for _, f := range s.files {
		if f.Segment == 1 && !f.Messages {
			return live(f.Path)
		}
	}
	return false
}

func live(path string) bool {
	file, err := lockFile(path, unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		file.Close()
	}
	return errors.Is(err, unix.EWOULDBLOCK)
}

// last is the segment of the run's own stream that was begun last.
func (s set) last() (last File) {
	for _, f := range s.files {
		if !f.Messages && f.Segment > last.Segment {
			last = f
		}
	}
	return last
}

// position is how far the run's own stream is.
func (s set) position() (Position, error) {
	line, _, err := lastLine(s.last().Path)
	if err != nil {
		return Position{}, err
	}
	n, err := number(line)
	return Position{s.run, n, fmt.Sprintf("%x", sha256.Sum256(line))}, err
}

// number is the number of a record.
func number(line []byte) (int64, error) {
	var r struct{ N int64 }
	if err := json.Unmarshal(line, &r); err != nil {
		return 0, err
	}
	if r.N < 1 {
		return 0, errors.New("it has no number")
	}
	return r.N, nil
}

// errNoRecord is a file without a whole line.
var errNoRecord = errors.New("it has no record")

// lastLine is the last whole line of a file, with its line feed, and where it
// ends.
func lastLine(path string) (line []byte, end int64, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	for length := int64(8 << 10); ; length *= 16 {
		from := max(0, info.Size()-length)
		data, err := io.ReadAll(io.NewSectionReader(file, from, info.Size()-from))
		if err != nil {
			return nil, 0, err
		}
		data = data[:bytes.LastIndexByte(data, '\n')+1]
		if before := bytes.LastIndexByte(bytes.TrimSuffix(data, []byte("\n")), '\n'); before >= 0 || from == 0 && len(data) > 0 {
			return data[before+1:], from + int64(len(data)), nil
		}
		if from == 0 {
			return nil, 0, errNoRecord
		}
	}
}

// removal is what a record says before it is done.
func (p *past) removal() (r Removed, any bool) {
	for _, s := range p.surplus {
		r.Runs++
		r.Bytes += s.bytes
		r.Through = s.run
	}
	return r, r.Runs > 0
}

// remove makes room, beside what the caller does next.
func (p *past) remove() {
	p.removing.Go(func() {
		for _, s := range p.surplus {
			// The first file goes last: it says what has run.
			slices.SortFunc(s.files, func(a, b File) int { return strings.Compare(b.Path, a.Path) })
			for _, f := range s.files {
				os.Remove(f.Path)
			}
		}
	})
}
