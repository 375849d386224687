package journal

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// chain is the checking of one stream.
type chain struct {
	seen []witness // where others found it

	path      string // of the file that is read
	line      int
	n         int64
	head      string   // digest of the record n
	read      int64    // records
	exit      *chained // the record of the end
	witnessed bool     // the last record is where somebody found it
	rest      bool     // there is text after the last line
	faults    []string
}

func (c *chain) fault(format string, args ...any) {
	c.faults = append(c.faults, c.path+": "+fmt.Sprintf(format, args...))
}

// follow reads the segments of the stream that are among files.
func (c *chain) follow(files []File, messages bool) {
	var segments []File
	for _, f := range files {
		if f.Messages == messages {
			segments = append(segments, f)
		}
	}
	if len(segments) == 0 {
		c.unwitnessed()
		return
	}
	sortFiles(segments)
	last := segments[len(segments)-1]
	removed := opening(last.Path)
	next := 1
	for _, f := range segments {
		c.path, c.line = f.Path, 0
		gap := next < f.Segment
		switch before := f.Segment - 1; {
		case !gap:
		case next == 1: // which is never removed
			c.fault("segment 1, which comes before it, is missing")
		case before > removed.Removed:
			c.fault("segment %d, which comes before it, is missing", before)
		}
		next = f.Segment + 1
		if gap && c.n > 0 {
			c.skip(f, segments[1], removed)
		}
		c.segment(f, gap)
		if f != last && c.rest {
			c.fault("the last line is cut off")
		}
	}
	if c.exit != nil && c.rest {
		c.fault("there is more after the record of the end")
	}
	c.unwitnessed()
}

// skip goes over records that were removed, before the segment f. How many there
// were is known, unless mcpbox was killed just when it removed some.
func (c *chain) skip(f, second File, removed chained) {
	if second.Segment == removed.Removed+1 {
		c.n += removed.Records
	} else {
		c.n = max(c.n, opening(f.Path).N-1)
	}
}

// opening is what the first record of a segment says.
func opening(path string) (r chained) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return r
	}
	defer file.Close()
	line, err := bufio.NewReader(file).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &r) != nil || r.Event != (Segment{}).event() {
		return chained{}
	}
	return r
}

// segment reads a file. After a gap its first record follows from nothing that is
// there.
func (c *chain) segment(f File, gap bool) {
	file, err := os.OpenFile(f.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		c.fault("cannot be read: %v", err)
		return
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			c.rest = len(line) > 0
			return
		}
		c.line++
		c.record(line, f, gap && c.line == 1)
	}
}

// record checks that a line follows from the one before it, and goes on from
// there in any case, to find what else there is.
func (c *chain) record(line []byte, f File, gap bool) {
	var r chained
	err := json.Unmarshal(line, &r)
	c.read++
	switch {
	case err != nil || r.N < 1:
		c.fault("line %d is no record of the chain", c.line)
		r.N = c.n + 1
	case r.N != c.n+1:
		c.fault("line %d is record %d, where %d should be", c.line, r.N, c.n+1)
	case r.N > 1 && !gap && r.Prev != c.head:
		c.fault("record %d (line %d) does not follow from record %d: one of them was changed", r.N, c.line, c.n)
	case c.line == 1 && f.Segment > 1 && (r.Event != (Segment{}).event() || r.Segment != f.Segment):
		c.fault("does not begin as segment %d", f.Segment)
	}
	c.n, c.head, c.exit = r.N, fmt.Sprintf("%x", sha256.Sum256(line)), nil
	if r.ends() {
		c.exit = &r
	}
	c.witnessed = false
	for _, w := range c.seen {
		switch {
		case w.N != c.n:
		case w.SHA256 == c.head:
			c.witnessed = true
		default:
			c.fault("record %d (line %d) is not the one that was there %s", c.n, c.line, w.by)
		}
	}
}

// unwitnessed tells of what others found and is not there any more.
func (c *chain) unwitnessed() {
	for _, w := range c.seen {
		if w.N > c.n {
			c.fault("ends with record %d; there were %d %s", c.n, w.N, w.by)
			return
		}
	}
}
