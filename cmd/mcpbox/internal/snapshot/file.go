package snapshot

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// mostExtents bounds the parts of a file with holes.
const mostExtents = 4096

// file copies a regular file. What is not allocated is not copied, so that a file
// takes no more than it takes in the box.
func (t *tree) file(fd, dst int, name, at string, st *unix.Stat_t) error {
	item := t.item(at, st, "file")
	id := inode{st.Dev, st.Ino}
	if other, ok := t.known[id]; ok {
		item.SameAs = other
		return t.write(item)
	}
	if st.Nlink > 1 {
		t.known[id] = item.Path
	}
	in, closing, err := t.open(fd, st, 0o400)
	if err != nil {
		item.Note = err.Error()
		t.s.LeaveOut("/%s: %v", at, err)
		return t.write(item)
	}
	defer closing()
	out, err := t.s.create(dst, safe(name), t.copy+at[len(t.at):])
	if err != nil {
		return err
	}
	before := out.n
	err = t.contents(out, in, st.Size, &item)
	t.left.Bytes -= out.n - before
	item.Copy, item.SHA256 = out.path, out.digest()
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if item.Note != "" {
		t.s.LeaveOut("/%s: %s", at, item.Note)
	}
	return t.write(item)
}

// contents copies the parts of a file that are there. An error is one of writing;
// what cannot be read is a note.
func (t *tree) contents(out *writer, in *os.File, size int64, item *Item) error {
	whole := false
	for from := int64(0); from < size; {
		data, err := unix.Seek(int(in.Fd()), from, unix.SEEK_DATA)
		if err == unix.ENXIO { // only a hole is left
			break
		}
		if err != nil {
			data = from
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil || hole > size {
			hole = size
		}
		if whole = data == 0 && hole == size; !whole {
			if len(item.Extents) == mostExtents {
				item.Note = "it has more parts than are copied"
				return nil
			}
			item.Extents = append(item.Extents, [2]int64{data, hole - data})
		}
		if room := t.left.Bytes - out.n; hole-data > room {
			item.Note = "it is more than is copied"
			hole = data + max(0, room)
			if !whole {
				item.Extents[len(item.Extents)-1][1] = hole - data
			}
		}
		n, err := io.CopyBuffer(out, interruptible{io.NewSectionReader(in, data, hole-data), t.done}, t.buf)
		if err != nil {
			return err
		}
		if n < hole-data {
			item.Note = "it could not be read to its end"
		}
		if item.Note != "" {
			return nil
		}
		from = hole
	}
	if size > 0 && !whole && item.Extents == nil {
		item.Extents = [][2]int64{} // nothing but a hole
	}
	return nil
}

// interruptible reads until done is closed.
type interruptible struct {
	io.Reader
	done <-chan struct{}
}

func (r interruptible) Read(p []byte) (int, error) {
	select {
	case <-r.done:
		return 0, errInterrupted
	default:
	}
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF { // of the box's file: told by its length
		err = io.EOF
	}
	return n, err
}
