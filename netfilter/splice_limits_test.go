package netfilter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSpliceIdle(t *testing.T) {
	const idle = 400 * time.Millisecond
	s := newSpliced(t, &vessels, relayConfig{idle: idle})
	began := time.Now()
	for range 6 {
		time.Sleep(idle / 2)
		say(t, s.origin, s.program, "still here")
	}
	if time.Since(began) < 2*idle {
		t.Fatal("this proves nothing")
	}
	s.running(t)
	last := time.Now()
	r := s.wait(t)
	if !errors.Is(r.err, errIdle) || time.Since(last) < idle-20*time.Millisecond || r.received != 60 {
		t.Errorf("%+v after %v", r, time.Since(last))
	}
	expectEnd(t, s.program, true)
	expectEnd(t, s.origin, true)

	// 0 is no limit.
	s = newSpliced(t, &vessels, relayConfig{})
	time.Sleep(50 * time.Millisecond)
	s.running(t)
}

// A slow reader is not an idle one, though the relay gets rid of its bytes by
// a good part of a queue at a time.
func TestSpliceSlow(t *testing.T) {
	const idle = 300 * time.Millisecond
	s := newSpliced(t, &vessels, relayConfig{idle: idle})
	go io.Copy(s.origin, zeros{})
	buf := make([]byte, 128<<10)
	for end := time.Now().Add(5 * idle); time.Now().Before(end); time.Sleep(idle / 20) {
		if _, err := s.program.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	s.running(t)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// The budget of a run is met to the byte, by all of its connections together.
func TestSpliceBudget(t *testing.T) {
	const budget = 1_000_003
	for name, pool := range pools() {
		m := newMeter(budget)
		var all sync.WaitGroup
		var total, ended [4]int64
		for i := range total {
			s := newSpliced(t, pool, relayConfig{meter: m})
			all.Go(func() { io.Copy(s.program, io.LimitReader(zeros{}, budget)) })
			all.Go(func() { io.Copy(s.origin, io.LimitReader(zeros{}, budget)) })
			all.Go(func() { io.Copy(io.Discard, s.program) })
			all.Go(func() { io.Copy(io.Discard, s.origin) })
			all.Go(func() {
				r := <-s.done
				bad := (*refusal)(nil)
				if errors.As(r.err, &bad) {
					ended[i] = 1
				}
				total[i] = r.sent + r.received
				// So that nobody waits for more.
				s.program.Close()
				s.origin.Close()
			})
		}
		all.Wait()
		if sum := total[0] + total[1] + total[2] + total[3]; sum > budget || m.used.Load() != budget {
			t.Errorf("%s: carried %d, counted %d of %d", name, sum, m.used.Load(), budget)
		}
		if ended != [4]int64{1, 1, 1, 1} {
			t.Errorf("%s: not all ended by the budget: %v", name, ended)
		}
	}
	// One that is exactly enough is enough.
	s := newSpliced(t, &vessels, relayConfig{meter: newMeter(10)})
	say(t, s.program, s.origin, "12345")
	say(t, s.origin, s.program, "67890")
	s.program.CloseWrite()
	s.origin.CloseWrite()
	if r := s.wait(t); r.err != nil {
		t.Error(r.err)
	}
	// The bytes before the last allowed one arrive, those behind do not.
	s = newSpliced(t, &vessels, relayConfig{meter: newMeter(10)})
	say(t, s.program, s.origin, "1234567890")
	io.WriteString(s.program, "x")
	if r := s.wait(t); r.err != error(errBudget) || r.sent != 10 {
		t.Errorf("%+v", r)
	}
}

func TestMeter(t *testing.T) {
	m := newMeter(100)
	for _, c := range []struct{ ask, get int64 }{{60, 60}, {0, 0}, {39, 39}, {2, 1}, {1, 0}, {1 << 62, 0}} {
		if got := m.take(c.ask); got != c.get {
			t.Errorf("take(%d) = %d, want %d", c.ask, got, c.get)
		}
	}
	if m.add(1) == nil || newMeter(5).add(5) != nil || newMeter(5).add(6) == nil {
		t.Error("add")
	}
	for _, m := range []*meter{nil, newMeter(0)} {
		if m.take(1<<62) != 1<<62 || m.add(1<<62) != nil {
			t.Error("no budget is a budget")
		}
	}
}

func TestSpliceStop(t *testing.T) {
	for _, how := range []string{"quiet", "stuck", "before"} {
		stop := make(chan struct{})
		if how == "before" {
			close(stop)
		}
		s := newSpliced(t, &vessels, relayConfig{idle: time.Minute, stop: stop})
		switch how {
		case "stuck":
			stuff(t, s.program)
		case "quiet":
			say(t, s.program, s.origin, "x")
		}
		if how != "before" {
			s.running(t)
			close(stop)
		}
		if r := s.wait(t); !errors.Is(r.err, errStopped) {
			t.Errorf("%s: %v", how, r.err)
		}
		expectEnd(t, s.program, true)
		expectEnd(t, s.origin, true)
	}
	// From elsewhere, as when a box is cut off.
	s := newSpliced(t, &vessels, relayConfig{})
	say(t, s.program, s.origin, "x")
	reset(s.box)
	if r := s.wait(t); !errors.Is(r.err, errStopped) {
		t.Error(r.err)
	}
	expectEnd(t, s.program, true)
	expectEnd(t, s.origin, true)
}

// Many at once: nothing is mixed up, and nothing stays behind.
func TestSpliceMany(t *testing.T) {
	const n, size = 256, 200_000
	tcpPair(t) // with what the first connection of a process opens besides
	goroutines, files := runtime.NumGoroutine(), countFiles(t)
	t.Run("all", func(t *testing.T) {
		pool := &vesselPool{size: pipeSize, most: maxPipes}
		most := 0
		var all sync.WaitGroup
		for i := range uint64(n) {
			s := newSpliced(t, pool, relayConfig{idle: time.Minute, meter: newMeter(0)})
			var up, down [2][32]byte
			var ends sync.WaitGroup
			ends.Go(func() { up[0] = speak(s.program, i, size) })
			ends.Go(func() { down[0] = speak(s.origin, i+1000, size) })
			ends.Go(func() { up[1] = hear(s.origin, i) })
			ends.Go(func() { down[1] = hear(s.program, i) })
			all.Go(func() {
				ends.Wait()
				if r := s.wait(t); r.err != nil || r.sent != size || r.received != size || up[0] != up[1] || down[0] != down[1] {
					t.Errorf("connection %d: %+v, alike: %v %v", i, r, up[0] == up[1], down[0] == down[1])
				}
				pool.mu.Lock()
				most = max(most, pool.pipes)
				pool.mu.Unlock()
			})
		}
		all.Wait()
		if most == 0 || most > maxPipes || pool.pipes > keptPipes || pool.pipes != len(pool.free) {
			t.Errorf("up to %d pipes, %d left, %d of them free", most, pool.pipes, len(pool.free))
		}
		for _, v := range pool.free {
			v.close()
		}
	})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if g, f := runtime.NumGoroutine(), countFiles(t); g <= goroutines && f <= files {
			break
		} else if time.Now().After(end) {
			t.Fatalf("%d goroutines of %d before, %d files of %d", g, goroutines, f, files)
		}
	}
}

func countFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// What one more connection costs the process of the relay: a quiet one has no
// pipe and no buffer.
func TestSpliceMemory(t *testing.T) {
	n, most := 256, 64<<10
	if underRace() {
		most *= 4 // it keeps a shadow of everything
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			// By a buffer: Go's own splice keeps a pipe of 1 MiB while it waits,
			// and a user may not have many.
			go io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
		}
	}()
	relay := startRole(t, "relay "+l.Addr().String())
	chat := func() {
		c, err := net.Dial("tcp", relay.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		text := strings.Repeat("x", 20_000)
		say(t, c.(*net.TCPConn), c.(*net.TCPConn), text)
	}
	for range 16 { // what there is only once
		chat()
	}
	memory, files := relay.memory(t), relay.files(t)
	for range n {
		chat()
	}
	perConn := (relay.memory(t) - memory) / n
	t.Logf("%d bytes per connection", perConn)
	if perConn > most || perConn < 100 {
		t.Errorf("%d bytes per connection, at most %d", perConn, most)
	}
	if more := relay.files(t) - files; more < 2*n || more > 2*n+2*keptPipes {
		t.Errorf("%d descriptors for %d connections", more, n)
	}
}

func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func (p *player) memory(t *testing.T) int {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if fields := strings.Fields(s.Text()); fields[0] == "VmRSS:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

func (p *player) files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
