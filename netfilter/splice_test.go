package netfilter

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spliced is a relay between a program and an origin.
type spliced struct {
	program, origin *net.TCPConn
	box, world      *net.TCPConn // the relay's ends
	done            chan relayed
}

// pools are the ways in which a relay may have to carry bytes.
func pools() map[string]*vesselPool {
	none := &vesselPool{}
	one := &vesselPool{size: 4096, most: 1} // the other direction copies
	return map[string]*vesselPool{"pipes": {size: pipeSize, most: maxPipes}, "buffers": none, "one small pipe": one}
}

func newSpliced(t testing.TB, pool *vesselPool, c relayConfig) *spliced {
	t.Helper()
	s := &spliced{done: make(chan relayed, 1)}
	s.program, s.box = tcpPair(t)
	s.origin, s.world = tcpPair(t)
	for _, c := range []*net.TCPConn{s.box, s.world} {
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		raw.Control(func(fd uintptr) { inline(int(fd)) })
	}
	go func() { s.done <- spliceBy(pool, s.box, s.world, c) }()
	return s
}

// tcpPair is a TCP connection. Both ends are closed when the test ends.
func tcpPair(t testing.TB) (dialled, accepted *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); a.Close() })
	return d.(*net.TCPConn), a.(*net.TCPConn)
}

// wait returns what became of the relay.
func (s *spliced) wait(t testing.TB) relayed {
	t.Helper()
	select {
	case r := <-s.done:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("the relay does not end")
	}
	panic("unreachable")
}

// running fails the test if the relay has ended.
func (s *spliced) running(t testing.TB) {
	t.Helper()
	select {
	case r := <-s.done:
		t.Fatalf("the relay has ended: %+v", r)
	default:
	}
}

// say sends text from one end and expects it at the other.
func say(t testing.TB, from, to *net.TCPConn, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	to.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v, want %q", got, err, text)
	}
	to.SetReadDeadline(time.Time{})
}

// expectEnd reads c to its end, in peace or by a reset.
func expectEnd(t testing.TB, c *net.TCPConn, wantReset bool) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, syscall.ECONNRESET) != wantReset || !wantReset && err != nil {
		t.Fatalf("%v, want a reset: %v", err, wantReset)
	}
}

// Every byte arrives, in both directions at once, however it is cut.
func TestSpliceExact(t *testing.T) {
	for name, pool := range pools() {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(4) {
				s := newSpliced(t, pool, relayConfig{meter: newMeter(0)})
				size := int64(6<<20 + seed)
				var all sync.WaitGroup
				var up, down [2][32]byte
				all.Go(func() { up[0] = speak(s.program, seed, size) })
				all.Go(func() { down[0] = speak(s.origin, seed+100, size/2) })
				all.Go(func() { up[1] = hear(s.origin, seed+200) })
				all.Go(func() { down[1] = hear(s.program, seed+300) })
				all.Wait()
				r := s.wait(t)
				if r.err != nil || r.sent != size || r.received != size/2 {
					t.Errorf("seed %d: %+v, want %d and %d", seed, r, size, size/2)
				}
				if up[0] != up[1] || down[0] != down[1] {
					t.Errorf("seed %d: the bytes differ", seed)
				}
			}
			if pool.pipes != len(pool.free) || pool.pipes > pool.most {
				t.Errorf("%d pipes, %d of them free", pool.pipes, len(pool.free))
			}
		})
	}
}

// speak sends bytes in pieces of any size, and says the end.
func speak(c *net.TCPConn, seed uint64, size int64) [32]byte {
	var key [32]byte
	key[0] = byte(seed)
	source, r, sum := rand.NewChaCha8(key), rand.New(rand.NewPCG(seed, 1)), sha256.New()
	buf := make([]byte, 300<<10)
	for size > 0 {
		n := min(size, 1+r.Int64N(1<<(1+r.IntN(18))))
		source.Read(buf[:n])
		sum.Write(buf[:n])
		if _, err := c.Write(buf[:n]); err != nil {
			return [32]byte{}
		}
		size -= n
		if r.IntN(50) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	c.CloseWrite()
	return [32]byte(sum.Sum(nil))
}

// hear receives in pieces of any size.
func hear(c *net.TCPConn, seed uint64) [32]byte {
	r, sum := rand.New(rand.NewPCG(seed, 2)), sha256.New()
	buf := make([]byte, 300<<10)
	for {
		n, err := c.Read(buf[:1+r.IntN(1<<(1+r.IntN(18)))])
		sum.Write(buf[:n])
		if err != nil {
			return [32]byte(sum.Sum(nil))
		}
		if r.IntN(100) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// The end of one direction leaves the other one open.
func TestSpliceHalfClose(t *testing.T) {
	for name, pool := range pools() {
		for _, programFirst := range []bool{true, false} {
			s := newSpliced(t, pool, relayConfig{idle: time.Minute})
			first, second := s.program, s.origin
			if !programFirst {
				first, second = second, first
			}
			say(t, first, second, "question")
			first.CloseWrite()
			expectEnd(t, second, false)
			time.Sleep(20 * time.Millisecond)
			s.running(t)
			for range 3 {
				say(t, second, first, "a late answer")
			}
			second.CloseWrite()
			expectEnd(t, first, false)
			if r := s.wait(t); r.err != nil || r.sent+r.received != 8+3*13 {
				t.Errorf("%s, program first %v: %+v", name, programFirst, r)
			}
		}
	}
}

// A reset of one side reaches the other: while all is quiet, after half of the
// connection has ended, while the relay is stuck, and with closed pipes.
func TestSpliceReset(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(t *testing.T, gone, left *net.TCPConn)
	}{
		{"quiet", func(t *testing.T, gone, left *net.TCPConn) { say(t, gone, left, "x") }},
		{"after its own end", func(t *testing.T, gone, left *net.TCPConn) {
			gone.CloseWrite()
			expectEnd(t, left, false)
		}},
		{"after the end of the other", func(t *testing.T, gone, left *net.TCPConn) {
			left.CloseWrite()
			expectEnd(t, gone, false)
		}},
		{"while nobody reads", func(t *testing.T, gone, left *net.TCPConn) { stuff(t, gone) }},
		{"while it does not read", func(t *testing.T, gone, left *net.TCPConn) { stuff(t, left) }},
	} {
		for _, programGoes := range []bool{true, false} {
			s := newSpliced(t, &vessels, relayConfig{idle: time.Minute})
			gone, left, who := s.program, s.origin, sideBox
			if !programGoes {
				gone, left, who = left, gone, sideWorld
			}
			c.before(t, gone, left)
			time.Sleep(20 * time.Millisecond)
			s.running(t)
			reset(gone)
			r := s.wait(t)
			if r.err == nil || !errors.Is(r.err, unix.ECONNRESET) && !errors.Is(r.err, unix.EPIPE) || !bytes.HasPrefix([]byte(r.err.Error()), []byte(who)) {
				t.Errorf("%s, program goes %v: %v", c.name, programGoes, r.err)
			}
			// It may have said its end before, which is read first.
			left.SetReadDeadline(time.Now().Add(10 * time.Second))
			io.Copy(io.Discard, left)
			if !wasKilled(left) {
				t.Errorf("%s, program goes %v: the other side does not learn it", c.name, programGoes)
			}
		}
	}
}

// wasKilled reports whether nothing can be sent on c any more, or soon.
func wasKilled(c *net.TCPConn) bool {
	for range 500 {
		if _, err := c.Write([]byte("x")); errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

// stuff writes until nothing moves any more.
func stuff(t *testing.T, c *net.TCPConn) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for {
		c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Write(buf)
		if err != nil && n == 0 {
			c.SetWriteDeadline(time.Time{})
			return
		}
	}
}

// A vessel whose pipe turns out to be of no use becomes a buffer, and loses
// nothing that is in it.
func TestVesselFallsBack(t *testing.T) {
	file, err := unix.MemfdCreate("x", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	text := bytes.Repeat([]byte("0123456789"), 1000)
	for _, when := range []string{"at once", "with bytes in it"} {
		pool := &vesselPool{size: pipeSize, most: 2}
		v := pool.get()
		if v.buf != nil {
			t.Fatal("no pipe")
		}
		a, b := tcpPair(t)
		c, d := tcpPair(t)
		if _, err := a.Write(text); err != nil {
			t.Fatal(err)
		}
		in, out := descriptor(t, b), descriptor(t, c)
		n, written := 0, make([]byte, len(text))
		if when == "at once" {
			// splice(2) wants a pipe at one end: EINVAL.
			if v.w, err = unix.Dup(file); err != nil {
				t.Fatal(err)
			}
		}
		if n, err = v.fill(in); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		if when != "at once" {
			if v.buf != nil {
				t.Fatal("not spliced")
			}
			// Nor does it append to a file: EINVAL.
			log, err := unix.Open("/proc/self/fd/"+fmt.Sprint(file), unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			m, err := v.drain(log, n)
			if err != nil || m != n {
				t.Fatal(m, err)
			}
			unix.Close(log)
			if _, err := unix.Pread(file, written[:n], 0); err != nil {
				t.Fatal(err)
			}
			n = 0
		}
		if v.buf == nil || !pool.noSplice.Load() || pool.pipes != 0 {
			t.Errorf("%s: still a pipe, of %d", when, pool.pipes)
		}
		for n > 0 {
			m, err := v.drain(out, n)
			if err != nil {
				t.Fatal(err)
			}
			n -= m
		}
		c.CloseWrite()
		got, _ := io.ReadAll(d)
		got = append(bytes.TrimRight(written, "\x00"), got...)
		if len(got) == 0 || !bytes.HasPrefix(text, got) {
			t.Errorf("%s: %d bytes, other ones", when, len(got))
		}
		pool.put(v)
		if v := pool.get(); v.buf == nil || len(v.buf) != copySize {
			t.Errorf("%s: the next one is a pipe again, or of %d bytes", when, len(v.buf))
		}
	}
}

func descriptor(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	raw.Control(func(fd uintptr) { n = int(fd) })
	return n
}
