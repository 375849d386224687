package limits

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// longestBeat is how long the host may take to start a program while somebody does
// his worst, on a machine that has other things to do as well.
func longestBeat(t *testing.T) time.Duration {
	text := os.Getenv("MCPBOX_LIMITS_BEAT")
	if text == "" {
		return 5 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// heartbeat starts a program of the host's over and over until the test ends, and
// fails it if that takes too long.
func heartbeat(t *testing.T) {
	longest := longestBeat(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var worst time.Duration
		beats := 0
		for {
			began := time.Now()
			if err := exec.Command("true").Run(); err != nil {
				t.Errorf("the host could not start a program: %v", err)
			}
			worst = max(worst, time.Since(began))
			beats++
			select {
			case <-stop:
				t.Logf("heartbeat: %d programs of the host's started meanwhile, the slowest in %v", beats, worst.Round(time.Millisecond))
				if worst > longest {
					t.Errorf("the host took %v to start a program", worst)
				}
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
}
