package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stamp         = "20060102T150405.000000000Z"
	extension     = ".jsonl"
	messagesInfix = ".messages"

	parts = 8 // segments of a stream, at most

	// reserve is what is kept free for the records of a gap and of the end, and
	// ahead how much more is allocated at once.
	reserve = 16 << 10
	ahead   = 32 << 10
)

// batch is the text of some records, each without its place in the chain and the
// end of its line. ends are where they end.
type batch struct {
	text []byte
	ends []int
}

// size is how long they are in a segment, at most.
func (b batch) size() int64 { return int64(len(b.text) + (len(b.ends)+1)*placeLength) }

// stream is one chain of records.
type stream struct {
	base    string // the path of its files, without number and extension
	most    int64  // bytes of all its segments
	reserve int64  // bytes that are kept free for the last records
	now     func() time.Time
	after   []Position // what its first record says of other runs

	file      *os.File
	segment   int   // its number, from 1; 0 before there is one
	size      int64 // of the segment: whole lines
	allocated int64 // up to here there is space, whoever fills the disk
	tight     bool  // there was no more when that was tried last
	torn      bool  // there may be more than size in the file
	n         int64 // the number of the last record
	head      [sha256.Size]byte

	full    []extent // the earlier segments
	began   int64    // the number of the last record before this one
	removed Segment  // what is removed of them, or about to be
	dropped int      // the last one whose file is
}

type extent struct{ size, records int64 }

func (s *stream) path(segment int) string { return segmentPath(s.base, segment) }

func segmentPath(base string, segment int) string {
	if segment == 1 {
		return base + extension
	}
	return base + "." + strconv.Itoa(segment) + extension
}

func (s *stream) open(segment int) error {
	file, err := os.OpenFile(s.path(segment), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	s.file, s.segment, s.size, s.allocated, s.tight, s.torn = file, segment, 0, 0, false, false
	return nil
}

// reopen goes on where somebody else has stopped. What is no whole line at the end
// is taken back.
func (s *stream) reopen(f File) error {
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.file, s.segment, s.torn = file, f.Segment, true
	line, end, err := lastLine(f.Path)
	if errors.Is(err, errNoRecord) {
		return nil
	}
	s.size, s.head = end, sha256.Sum256(line)
	s.n, _ = number(line) // 0 in one that is broken already
	return err
}

// write appends records and returns how many of them are written. Only the last
// ones of a run may use the reserve.
func (s *stream) write(b batch, last bool) (done int, err error) {
	if s.file == nil {
		if err := s.open(1); err != nil {
			return 0, err
		}
	}
	if s.size > 0 && s.size+b.size() > s.most/parts {
		if err := s.roll(); err != nil && !last {
			return 0, err
		}
	}
	done, err = s.try(b, last)
	// The file cannot grow (setrlimit(2), RLIMIT_FSIZE), but another one may.
	for errors.Is(err, unix.EFBIG) && s.size > 0 && s.roll() == nil {
		var more int
		more, err = s.try(b.from(done), last)
		done += more
	}
	return done, err
}

// from is what is left when the first n are written.
func (b batch) from(n int) batch {
	if n == 0 {
		return b
	}
	cut := b.ends[n-1]
	rest := batch{text: b.text[cut:]}
	for _, end := range b.ends[n:] {
		rest.ends = append(rest.ends, end-cut)
	}
	return rest
}

// try appends records to the segment with one write. If that fails, the whole
// lines of it stay, and nothing else.
func (s *stream) try(b batch, last bool) (done int, err error) {
	if s.torn {
		if err := s.file.Truncate(s.size); err != nil {
			return 0, err
		}
		s.torn = false
	}
	out := make([]byte, 0, len(b.text)+(len(b.ends)+1)*placeLength)
	type mark struct { // the state of the chain after a line
		end  int
		head [sha256.Size]byte
	}
	marks := make([]mark, 0, len(b.ends)+1)
	n, head := s.n, s.head
	add := func(text []byte) {
		from := len(out)
		out = append(out, text...)
		n++
		out = s.place(out, n, head)
		head = sha256.Sum256(out[from:])
		marks = append(marks, mark{len(out), head})
	}
	opening := 0
	if s.size == 0 && s.segment > 1 {
		r := s.removed
		r.Number = s.segment
		text, err := encode(r, s.now())
		if err != nil {
			return 0, err
		}
		add(text)
		opening = 1
	}
	from := 0
	for _, end := range b.ends {
		add(b.text[from:end])
		from = end
	}
	if err := s.allocate(int64(len(out)), last); err != nil {
		return 0, err
	}
	wrote, err := s.file.Write(out)
	s.torn = wrote > 0 && err != nil
	whole := 0
	for whole < len(marks) && marks[whole].end <= wrote {
		whole++
	}
	if whole > 0 {
		s.n += int64(whole)
		s.head = marks[whole-1].head
		s.size += int64(marks[whole-1].end)
	}
	if s.torn && s.file.Truncate(s.size) == nil {
		s.torn = false
	}
	if opening == 1 && whole > 0 {
		s.drop()
	}
	return max(0, whole-opening), err
}

// placeLength is what place adds to a record but the first, at most.
const placeLength = 128

// place ends the line of record n, which follows a line with the digest head.
func (s *stream) place(out []byte, n int64, head [sha256.Size]byte) []byte {
	out = append(out, `,"n":`...)
	out = strconv.AppendInt(out, n, 10)
	switch {
	case n > 1:
		out = append(out, `,"prev":"`...)
		out = hex.AppendEncode(out, head[:])
		out = append(out, '"')
	case len(s.after) > 0:
		out = append(out, `,"after":[`...)
		for i, p := range s.after {
			if i > 0 {
				out = append(out, ',')
			}
			out = p.append(out)
		}
		out = append(out, ']')
	}
	return append(out, "}\n"...)
}

// allocate sees to it that n more bytes can be written, and the reserve after
// them. On a file system that allocates nothing ahead, writing shows it.
func (s *stream) allocate(n int64, last bool) error {
	if s.reserve == 0 || last || s.size+n+s.reserve <= s.allocated && !s.tight {
		return nil
	}
	upTo := s.size + n + s.reserve + ahead
	err := unix.Fallocate(int(s.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, s.size, upTo-s.size)
	switch err {
	case nil:
		s.allocated, s.tight = upTo, false
		return nil
	case unix.EOPNOTSUPP, unix.ENOSYS, unix.EFBIG:
		return nil
	}
	s.tight = true
	return os.NewSyscallError("fallocate", err)
}

// roll goes on in a new segment, and decides which of the earlier ones has to
// make room for it.
func (s *stream) roll() error {
	old := *s
	if err := s.open(s.segment + 1); err != nil {
		return err
	}
	if err := s.allocate(0, false); err != nil {
		s.file.Close()
		os.Remove(s.path(s.segment))
		*s = old
		return err
	}
	old.close()
	s.full = append(s.full, extent{old.size, s.n - s.began})
	s.began = s.n
	total := s.most / parts // for the new one
	for _, e := range s.full {
		total += e.size
	}
	for i := range s.full {
		// The first one is kept: it says what has run.
		if i == 0 || s.full[i].size == 0 {
			continue
		}
		if total <= s.most {
			break
		}
		total -= s.full[i].size
		s.removed.Through = i + 1
		s.removed.Records += s.full[i].records
		s.removed.Bytes += s.full[i].size
		s.full[i].size = 0
	}
	return nil
}

// drop removes what the record of a new segment says is removed.
func (s *stream) drop() {
	for i := max(2, s.dropped+1); i <= s.removed.Through; i++ {
		os.Remove(s.path(i))
		s.dropped = i
	}
}

// close ends the segment, and gives back what is allocated beyond its end.
func (s *stream) close() error {
	if s.file == nil {
		return nil
	}
	var err error
	if s.allocated > s.size || s.torn {
		err = s.file.Truncate(s.size)
	}
	err = errors.Join(err, s.file.Close())
	s.file = nil
	return err
}
