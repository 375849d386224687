package bridge

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill writes lines to w until nobody takes them any more.
func fill(t *testing.T, w *os.File) (total int) {
	t.Helper()
	line := []byte(note(strings.Repeat("y", 950)))
	for {
		if err := w.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, err := w.Write(line)
		total += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
		if total > 64<<20 {
			t.Fatal("64 MiB were taken with nobody reading at the other end")
		}
	}
}

// T-R9, T-R10: a side that does not read holds the other side back after two
// pipes and one buffer, and does not keep the relay from ending.
func TestBackPressure(t *testing.T) {
	const bound = 64<<10 + 64<<10 + 2*baseBuffer
	for _, d := range []Direction{ToServer, ToHost} {
		e := start(t, nil)
		in := e.hostIn
		if d == ToHost {
			in = e.serverOut
		}
		if n := fill(t, in); n > bound {
			t.Errorf("%s: %d bytes were taken, want at most %d", d, n, bound)
		}
		e.relay.Stop()
		e.relay.Stop()
		if err := e.wait(t); !errors.Is(err, ErrStopped) {
			t.Errorf("%s: %v, want ErrStopped", d, err)
		}
	}
}

// A flood without a line feed costs no more than the limit, and ends the relay
// once it is plain that there will be none.
func TestFloodWithoutLineFeed(t *testing.T) {
	e := start(t, func(c *Config) { c.MaxLine = 1 << 20 })
	taken := make(chan int)
	go func() {
		total, block := 0, make([]byte, 64<<10)
		for {
			e.serverOut.SetWriteDeadline(time.Now().Add(10 * time.Second))
			n, err := e.serverOut.Write(block)
			total += n
			if err != nil || total > 64<<20 {
				taken <- total
				return
			}
		}
	}()
	var tooLong *LineTooLongError
	if err := e.wait(t); !errors.As(err, &tooLong) || tooLong.Direction != ToHost {
		t.Fatalf("error %v", err)
	}
	if got, err := io.ReadAll(e.hostOut); err != nil || len(got) > 0 {
		t.Errorf("the host got %d bytes of the line (%v)", len(got), err)
	}
	e.serverOut.Close()
	if n := <-taken; n > (endless+1)<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// The host ends: everything is delivered before the server's stdin ends, and
// what the server says afterwards still arrives.
func TestHostEnds(t *testing.T) {
	e := start(t, nil)
	e.hostIn.WriteString(note("request") + "half")
	e.hostIn.Close()
	got, err := io.ReadAll(e.serverIn)
	if err != nil || string(got) != note("request") {
		t.Fatalf("the server got %q, %v", got, err)
	}
	e.waitHostClosed(t)
	e.serverOut.WriteString(note("late answer"))
	e.serverOut.Close()
	if got, _ := io.ReadAll(e.hostOut); string(got) != note("late answer") {
		t.Errorf("the host got %q", got)
	}
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
}

// The server ends while the host sends and does not read: what the server had
// said is delivered first, and then the relay ends though the host goes on.
func TestServerDiesWhileHostIsBlocked(t *testing.T) {
	e := start(t, nil)
	said := bytes.Repeat([]byte(note("of the server")), 10<<10)
	go func() {
		e.serverOut.Write(said)
		e.serverOut.Close()
		e.serverIn.Close()
	}()
	go e.hostIn.Write(make([]byte, 1<<20)) // blocks until the pipe is closed
	got := make([]byte, len(said))
	if _, err := io.ReadFull(e.hostOut, got); err != nil || !bytes.Equal(got, said) {
		t.Fatalf("the host got something else, %v", err)
	}
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
}

// A server that closes its stdin and lives on: the host's messages are dropped
// and counted, its requests answered, and its end is still noticed.
func TestServerClosesStdin(t *testing.T) {
	e := start(t, nil)
	e.serverIn.Close()
	e.hostIn.WriteString(note("one") + request(1, "ping"))
	e.hostIn.WriteString(request(2, "ping"))
	e.hostIn.Close()
	e.waitHostClosed(t)
	e.serverOut.WriteString(note("still here"))
	e.serverOut.Close()
	got, _ := io.ReadAll(e.hostOut)
	want := []string{note("still here"), string(errShut.line("1")), string(errShut.line("2"))}
	lines := slices.Sorted(strings.Lines(string(got))) // in any order
	slices.Sort(want)
	if !slices.Equal(lines, want) {
		t.Errorf("the host got %q", got)
	}
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
	if s, _ := e.relay.Counts(); s.Lines != 0 || s.Bytes != 0 || s.Dropped == 0 {
		t.Errorf("counted as delivered: %+v", s)
	}
}

// The host is gone while the server takes nothing: its end of input is behind
// more than the pipes hold, and is announced all the same.
func TestHostGoneServerNotReading(t *testing.T) {
	gone := make(chan struct{})
	e := start(t, func(c *Config) { c.HostGone = gone })
	fill(t, e.hostIn)
	e.hostIn.Close()
	select {
	case <-e.relay.HostClosed():
		t.Fatal("announced before the host was known to be gone")
	default:
	}
	close(gone)
	e.waitHostClosed(t)
	e.serverOut.Close()
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
}

// A host that is gone cannot be written to.
func TestHostStopsListening(t *testing.T) {
	e := start(t, nil)
	e.hostOut.Close()
	e.serverOut.WriteString(note("hello"))
	if err := e.wait(t); !errors.Is(err, unix.EPIPE) {
		t.Errorf("error %v, want EPIPE", err)
	}
	if got, _ := io.ReadAll(e.serverIn); len(got) > 0 {
		t.Errorf("the server got %q", got)
	}
}

// Once Run has returned, what was blocked transfers nothing more.
func TestNothingAfterTheEnd(t *testing.T) {
	e := start(t, nil)
	e.serverOut.Close()
	if err := e.wait(t); err != nil {
		t.Fatal(err)
	}
	e.hostIn.WriteString(note("hi"))
	if got, _ := io.ReadAll(e.serverIn); len(got) > 0 {
		t.Errorf("the server got %q after the end", got)
	}
}

// Somebody else sets O_NONBLOCK on what we share with them, after we have
// opened it: the relay waits instead of failing.
func TestDescriptionMadeNonblocking(t *testing.T) {
	var in, out [2]int
	for _, fds := range []*[2]int{&in, &out} {
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil { // blocking, as a shell's are
			t.Fatal(err)
		}
	}
	hostIn, hostOut := os.NewFile(uintptr(in[0]), "stdin"), os.NewFile(uintptr(out[1]), "stdout")
	for _, fd := range []int{in[0], out[1]} {
		if err := unix.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
	}
	to, from := os.NewFile(uintptr(in[1]), "to"), os.NewFile(uintptr(out[0]), "from")
	for _, f := range []*os.File{hostIn, hostOut, to, from} {
		t.Cleanup(func() { f.Close() })
	}
	e := start(t, func(c *Config) { c.HostIn, c.HostOut = hostIn, hostOut })
	said := bytes.Repeat([]byte(note("more than a pipe holds")), 3<<10)
	go func() {
		e.serverOut.Write(said)
		e.serverOut.Close()
	}()
	time.Sleep(20 * time.Millisecond) // so that both sides have come to wait
	to.WriteString(note("hello"))
	got := make([]byte, len(note("hello")))
	if _, err := io.ReadFull(e.serverIn, got); err != nil || string(got) != note("hello") {
		t.Fatalf("the server got %q, %v", got, err)
	}
	answer := make([]byte, len(said))
	if _, err := io.ReadFull(from, answer); err != nil || !bytes.Equal(answer, said) {
		t.Errorf("the host got something else, %v", err)
	}
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
}

func TestHangup(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var fds [2]int // a blocking pipe, as a shell makes it
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		mine, other *os.File
	}{
		{"pipe", pr, pw},
		{"blocking pipe", os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")},
		{"socket", os.NewFile(uintptr(pair[0]), "a"), os.NewFile(uintptr(pair[1]), "b")},
	} {
		before := flags(t, c.mine)
		gone, stop, err := Hangup(c.mine)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		defer stop()
		c.other.WriteString("unread\n")
		select {
		case <-gone:
			t.Fatalf("%s: gone while it is open", c.name)
		case <-time.After(50 * time.Millisecond):
		}
		c.other.Close()
		select {
		case <-gone:
		case <-time.After(time.Minute):
			t.Fatalf("%s: the end was not noticed", c.name)
		}
		if after := flags(t, c.mine); after != before {
			t.Errorf("%s: flags changed from %#x to %#x", c.name, before, after)
		}
		got := make([]byte, 7)
		if _, err := io.ReadFull(c.mine, got); err != nil || string(got) != "unread\n" {
			t.Errorf("%s: read %q, %v", c.name, got, err)
		}
		c.mine.Close()
	}
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if gone, stop, err := Hangup(file); gone != nil || err != nil {
		t.Errorf("null device: %v, %v", gone, err)
	} else {
		stop()
	}
}

func flags(t *testing.T, f *os.File) (flags int) {
	t.Helper()
	err := onFD(f, func(fd int) (err error) {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return flags
}
