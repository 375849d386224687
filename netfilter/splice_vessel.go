package netfilter

import (
	"os"

	"golang.org/x/sys/unix"
)

// vessel holds the bytes of one direction between two descriptors: a pipe, which
// takes references to the pages that TCP holds (splice(2)), or, if there is none
// to be had, a buffer.
type vessel struct {
	pool *vesselPool
	r, w int    // ends of a pipe
	buf  []byte // not nil: a buffer instead
	at   int    // so much of it has been drained
}

// fill takes what a socket has received: how many bytes, 0 at its end, or an
// errno. The vessel has to be empty.
func (v *vessel) fill(fd int) (int, error) {
	if v.buf == nil {
		n, err := ignoringEINTR(func() (int, error) { return spliceTo(v.w, fd, spliceMax) })
		if (err == unix.EAGAIN || err == nil && n == 0) && isUrgent(fd) {
			return v.fillUrgent(fd)
		}
		if !cannotSplice(err) {
			return n, err
		}
		v.toBuffer(copySize)
	}
	v.at = 0
	return ignoringEINTR(func() (int, error) { return unix.Read(fd, v.buf) })
}

// isUrgent reports whether the next byte of a socket is an urgent one
// (sockatmark(3)), before which splice(2) stops as if there were nothing more, or nothing to come.
func isUrgent(fd int) bool {
	at, err := unix.IoctlGetInt(fd, unix.SIOCATMARK)
	return err == nil && at != 0
}

// fillUrgent takes some bytes by hand, of which the first is urgent. It is one
// like the others then, see [inline].
func (v *vessel) fillUrgent(fd int) (int, error) {
	buf := make([]byte, 4<<10) // which an empty pipe takes whole
	n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, buf) })
	if err != nil || n == 0 {
		return n, err
	}
	return ignoringEINTR(func() (int, error) { return unix.Write(v.w, buf[:n]) })
}

// drain passes up to n of the bytes on.
func (v *vessel) drain(fd, n int) (int, error) {
	if v.buf == nil {
		m, err := ignoringEINTR(func() (int, error) { return spliceTo(fd, v.r, n) })
		if !cannotSplice(err) {
			return m, err
		}
		if err := v.save(n); err != nil {
			return 0, err
		}
	}
	m, err := ignoringEINTR(func() (int, error) { return unix.Write(fd, v.buf[v.at:v.at+n]) })
	v.at += max(m, 0)
	return max(m, 0), err
}

func spliceTo(dst, src, n int) (int, error) {
	m, err := unix.Splice(src, nil, dst, nil, n, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
	return int(m), err
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// cannotSplice reports whether it is splice itself that is not to be had: for
// these sockets, in this kernel, or by its filter of system calls.
func cannotSplice(err error) bool {
	return err == unix.EINVAL || err == unix.ENOSYS || err == unix.EPERM || err == unix.EOPNOTSUPP
}

// toBuffer gives the pipe up, for all connections to come too.
func (v *vessel) toBuffer(size int) {
	v.pool.noSplice.Store(true)
	v.close()
	v.buf, v.at = make([]byte, size), 0
}

// save moves the n bytes of a pipe into a buffer.
func (v *vessel) save(n int) error {
	r := v.r
	saved := make([]byte, n)
	for at := 0; at < n; {
		m, err := ignoringEINTR(func() (int, error) { return unix.Read(r, saved[at:]) })
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		at += m
	}
	v.toBuffer(0)
	v.buf = saved
	return nil
}

// close gives up a vessel, with what it holds.
func (v *vessel) close() {
	if v.buf == nil {
		unix.Close(v.r)
		unix.Close(v.w)
		v.pool.closed()
	}
}
