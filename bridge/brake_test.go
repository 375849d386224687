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
func flooded(t *testing.T, line string) (r *Relay, judged *atomic.Int64) {
	t.Helper()
	out, server, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	hostIn, host := io.Pipe()
	judged = &atomic.Int64{}
	r = New(Config{HostIn: hostIn, HostOut: io.Discard, ServerIn: &sink{}, ServerOut: out, Observe: func(*Event) { judged.Add(1) }})
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
	return r, judged
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
			r, judged := flooded(t, line)
			await(t, judged, brakeBurst+brakeRate/10)
			n, took := judged.Load(), time.Since(began)
			if most := brakeBurst + int64(1.5*brakeRate*took.Seconds()) + 100; n > most {
				t.Errorf("%d lines judged within %v, more than %d", n, took, most)
			}
			// Once the server is gone, what it has left is no reason to wait.
			r.Drain()
			began = time.Now()
			n = judged.Load()
			await(t, judged, n+brakeRate)
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("%d lines took %v after the server's end", brakeRate, took)
			}
		})
	}
}

// What passes is as quick as whoever reads it.
func TestNoBrake(t *testing.T) {
	_, judged := flooded(t, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}`+"\n")
	began := time.Now()
	await(t, judged, 10*brakeBurst)
	if took, braked := time.Since(began), 9*brakeBurst/brakeRate*time.Second; took > braked/2 {
		t.Errorf("%d messages took %v; with a brake it were %v", 10*brakeBurst, took, braked)
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
