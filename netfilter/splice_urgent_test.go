package netfilter

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sayUrgently sends text of which the last byte is urgent.
func sayUrgently(t *testing.T, c *net.TCPConn, text string) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Write(func(fd uintptr) bool {
		err = unix.Send(int(fd), []byte(text), unix.MSG_OOB)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An urgent byte stays where it is among the others, and stops nothing.
func TestSpliceUrgent(t *testing.T) {
	for name, pool := range pools() {
		s := newSpliced(t, pool, relayConfig{})
		for _, way := range []struct{ from, to *net.TCPConn }{{s.program, s.origin}, {s.origin, s.program}} {
			for _, pause := range []time.Duration{0, 5 * time.Millisecond} {
				want := ""
				for _, part := range []string{"!", "ab!", "!", strings.Repeat("x", 100_000) + "!", "c!"} {
					sayUrgently(t, way.from, part)
					time.Sleep(pause)
					if _, err := io.WriteString(way.from, "and on"); err != nil {
						t.Fatal(err)
					}
					want += part + "and on"
				}
				got := make([]byte, len(want))
				way.to.SetReadDeadline(time.Now().Add(10 * time.Second))
				if n, err := io.ReadFull(way.to, got); err != nil || string(got) != want {
					t.Fatalf("%s: %d of %d bytes, %v; the same: %v", name, n, len(want), err, string(got) == want)
				}
			}
		}
		// The last thing said may be urgent.
		sayUrgently(t, s.program, "end!")
		s.program.CloseWrite()
		s.origin.SetReadDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(s.origin); err != nil || string(got) != "end!" {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		s.origin.CloseWrite()
		if r := s.wait(t); r.err != nil {
			t.Errorf("%s: %v", name, r.err)
		}
	}
}
