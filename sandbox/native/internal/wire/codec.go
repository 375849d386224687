package wire

import (
	"encoding/binary"
	"errors"
	"io"
)

// codec writes or reads a message, field after field, without reflection: one
// list of fields serves both ways, and the stages need neither encoding/json nor
// package reflect, whose start-up each box would pay for twice.
type codec struct {
	buf     []byte
	reading bool
	failed  bool
}

// message is what travels between launcher and stages.
type message interface{ fields(*codec) }

// errMalformed is a message that was not written by this package.
var errMalformed = errors.New("malformed message")

// Marshal writes m.
func Marshal(m message) []byte {
	c := &codec{buf: make([]byte, 0, 512)}
	m.fields(c)
	return c.buf
}

// Unmarshal reads m, which must fill data exactly.
func Unmarshal(data []byte, m message) error {
	c := &codec{buf: data, reading: true}
	m.fields(c)
	if c.failed || len(c.buf) != 0 {
		return errMalformed
	}
	return nil
}

func (c *codec) uint64(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	x, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.failed, c.buf = true, nil
		return
	}
	*v, c.buf = x, c.buf[n:]
}

// integer passes any whole number through the 64 bits of its two's complement.
func integer[T ~int | ~uint32 | ~uintptr](c *codec, v *T) {
	x := uint64(*v)
	c.uint64(&x)
	*v = T(x)
}

func (c *codec) bool(v *bool) {
	var x uint64
	if *v {
		x = 1
	}
	c.uint64(&x)
	*v = x != 0
}

func text[T ~string | ~[]byte](c *codec, v *T) {
	n := uint64(len(*v))
	c.uint64(&n)
	if !c.reading {
		c.buf = append(c.buf, *v...)
		return
	}
	if n > uint64(len(c.buf)) {
		c.failed, c.buf = true, nil
		return
	}
	*v, c.buf = T(c.buf[:n]), c.buf[n:]
}

func list[T any](c *codec, v *[]T, item func(*codec, *T)) {
	n := uint64(len(*v))
	c.uint64(&n)
	if c.reading {
		// Each item takes a byte at least.
		if n > uint64(len(c.buf)) {
			c.failed, c.buf = true, nil
			return
		}
		*v = make([]T, n)
	}
	for i := range *v {
		item(c, &(*v)[i])
	}
}

func (p *Plan) fields(c *codec) {
	text(c, &p.Hostname)
	list(c, &p.Mounts, func(c *codec, m *Mount) { m.fields(c) })
	text(c, &p.Address)
	list(c, &p.Sockets, func(c *codec, s *Socket) {
		integer(c, &s.Domain)
		integer(c, &s.Type)
		integer(c, &s.Protocol)
		c.bool(&s.Optional)
	})
	list(c, &p.Masked, text[string])
	list(c, &p.ReadOnly, text[string])
	list(c, &p.Sysctls, func(c *codec, s *Sysctl) { text(c, &s.Path); text(c, &s.Value); c.bool(&s.Required) })
	integer(c, &p.UID)
	integer(c, &p.GID)
	list(c, &p.Args, text[string])
	list(c, &p.Env, text[string])
	text(c, &p.Cwd)
	list(c, &p.Rlimits, func(c *codec, l *Rlimit) { integer(c, &l.Resource); c.uint64(&l.Soft); c.uint64(&l.Hard) })
	integer(c, &p.OOMScore)
	integer(c, &p.Nice)
	list(c, &p.Landlock.Rules, func(c *codec, r *PathRule) { text(c, &r.Path); text(c, &r.Access) })
	c.bool(&p.Landlock.UnixSockets)
	text(c, &p.Filter)
	text(c, &p.Init)
	integer(c, &p.Umask)
	list(c, &p.LayersOff, text[string])
}

func (m *Mount) fields(c *codec) {
	text(c, &m.Kind)
	text(c, &m.Target)
	text(c, &m.Source)
	c.uint64(&m.Dev)
	c.uint64(&m.Ino)
	integer(c, &m.Type)
	integer(c, &m.Tree)
	c.bool(&m.Recursive)
	c.bool(&m.NoFollow)
	c.bool(&m.Elsewhere)
	c.uint64(&m.Attr)
	list(c, &m.Options, text[string])
}

func (f *Failure) fields(c *codec) {
	text(c, &f.Step)
	text(c, &f.Path)
	integer(c, &f.Errno)
	text(c, &f.Msg)
	c.bool(&f.Exec)
}

func (s *Started) fields(c *codec) {
	integer(c, &s.LandlockABI)
	list(c, &s.SysctlRefused, text[string])
}

func (s *Sockets) fields(c *codec) { list(c, &s.FDs, integer[int]) }
func (s *Staged) fields(c *codec)  { list(c, &s.FDs, integer[int]) }
func (Nothing) fields(*codec)      {}

func (x *Exited) fields(c *codec) { integer(c, &x.Status) }
func (s *Signal) fields(c *codec) { integer(c, &s.Number) }

// maxPacket bounds a control message. All of them are a few hundred bytes.
const maxPacket = 16 << 10

// Send writes one message of type t. w is a packet socket.
func Send(w io.Writer, t byte, m message) error {
	_, err := w.Write(append([]byte{t}, Marshal(m)...))
	return err
}

// Receive reads one message from the packet socket r. It returns io.EOF when
// the peer has closed its end.
func Receive(r io.Reader) (t byte, body []byte, err error) {
	buf := make([]byte, maxPacket)
	n, err := r.Read(buf)
	switch {
	case err != nil:
		return 0, nil, err
	case n == 0:
		return 0, nil, io.EOF
	case n == len(buf):
		return 0, nil, errMalformed
	}
	return buf[0], buf[1:n], nil
}
