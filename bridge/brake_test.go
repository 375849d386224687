package bridge

import (
	"bytes"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// flooded is a relay whose server writes one line again and again, and how many of
// them it has judged.
func flooded(t *testing.T, line string) (judged *atomic.Int64) {
	t.Helper()
	out, server, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	hostIn, host := io.Pipe()
	judged = &atomic.Int64{}
	r := New(Config{HostIn: hostIn, HostOut: io.Discard, ServerIn: &sink{}, ServerOut: out, Observe: func(*Event) { judged.Add(1) }})
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run()
		r.Finish(errGone, time.Second)
	}()
	go func() {
		for lines := bytes.Repeat([]byte(line), 1000); ; {
			if _, err := server.Write(lines); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		r.Stop()
		<-done
		host.Close()
		out.Close()
		server.Close()
	})
	return judged
}

func await(t *testing.T, judged *atomic.Int64, n int64) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); judged.Load() < n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d lines judged, want %d", judged.Load(), n)
		}
	}
}

// A server that writes for nobody does not keep mcpbox's processor busy.
func TestBrake(t *testing.T) {
	for name, line := range map[string]string{
		"noise": "x\n", "a progress of nothing": `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			judged := flooded(t, line)
			await(t, judged, brakeBurst+brakeRate/10)
			n, took := judged.Load(), time.Since(began)
			if most := brakeBurst + int64(1.5*brakeRate*took.Seconds()) + 100; n > most {
				t.Errorf("%d lines judged within %v, more than %d", n, took, most)
			}
		})
	}
}

// What passes does not count.
func TestNoBrake(t *testing.T) {
	j := conversation(t, "")
	for range 2 * brakeBurst {
		j.passes(&j.toHost, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`)
		j.toServer.pass([]byte("x"))
	}
	if j.toHost.pause != 0 || j.toHost.brake.lines != 0 || j.toServer.pause != 0 {
		t.Errorf("after %d messages, and as many lines of the host's that are none: pauses of %v and %v", 2*brakeBurst, j.toHost.pause, j.toServer.pause)
	}
	j.toHost.brake = brake{lines: 2 * brakeBurst, since: time.Now()}
	if j.toHost.pass([]byte("x")); j.toHost.pause == 0 {
		t.Error("the control: a line that is none does not count either")
	}
}

// A pause ends with the relay, and with the server, whose last words are no reason to
// wait.
func TestPauseEnds(t *testing.T) {
	for name, end := range map[string]func(*Relay){
		"drained": (*Relay).Drain, "stopped": (*Relay).Stop,
	} {
		r := New(Config{ServerIn: &sink{}, HostOut: &sink{}})
		r.toHost.pause = time.Hour
		rested := make(chan error)
		go func() { rested <- r.toHost.rest() }()
		end(r)
		select {
		case err := <-rested:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s: it waits on", name)
		}
	}
}

func TestBrakeWait(t *testing.T) {
	now := time.Now()
	var b brake
	for range brakeBurst {
		if d := b.wait(10, now); d != 0 {
			t.Fatalf("it waits for %v within the burst", d)
		}
	}
	if d := b.wait(10, now); d <= 0 || d > time.Millisecond {
		t.Errorf("one line more: %v", d)
	}
	if d := b.wait(16<<20, now); d < 300*time.Millisecond || d > brakeMost {
		t.Errorf("16 MiB more: %v", d)
	}
	if d := b.wait(1<<40, now); d != brakeMost {
		t.Errorf("much more: %v", d)
	}
	b = brake{lines: brakeBurst, since: now}
	if d := b.wait(10, now.Add(time.Second)); d != 0 {
		t.Errorf("a second later: %v", d)
	}
}
