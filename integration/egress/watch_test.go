package egress

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// watch is what the world, and the host's loopback, hear of a client.
type watch struct {
	mu    sync.Mutex
	marks map[string]bool // barriers that have passed
	count map[string]int  // what happened, and how often
	talks []*bytes.Buffer // what was said on each connection or in each datagram, its first part
	open  int             // connections that servers have open
}

// barrierPort is where packets go that only show how far the taps have read.
const barrierPort = 9

// most is how much of what is said on a connection the watch remembers.
const most = 1 << 20

func newWatch() *watch {
	return &watch{marks: map[string]bool{}, count: map[string]int{}}
}

func (w *watch) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count[what]++
}

// hear begins to write down what is said.
func (w *watch) hear() *bytes.Buffer {
	w.mu.Lock()
	defer w.mu.Unlock()
	talk := new(bytes.Buffer)
	w.talks = append(w.talks, talk)
	return talk
}

// said writes down more of it.
func (w *watch) said(talk *bytes.Buffer, b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	talk.Write(b[:min(len(b), max(0, most-talk.Len()))])
}

func (w *watch) passed(mark string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks[mark] = true
}

// report is what was heard of one run.
type report struct {
	events []string // each kind once, sorted
	count  map[string]int
	said   []byte
}

// forget begins a new report.
func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count = map[string]int{}
	w.talks = nil
}

// report waits until everything that was sent is heard and every connection is
// over, and says what there was.
func (w *watch) report() (report, error) {
	if err := w.barrier(); err != nil {
		return report{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for range 500 {
		if w.open == 0 {
			break
		}
		w.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		w.mu.Lock()
	}
	r := report{events: slices.Sorted(maps.Keys(w.count)), count: maps.Clone(w.count)}
	for _, talk := range w.talks {
		r.said = append(append(r.said, talk.Bytes()...), 0)
	}
	if w.open > 0 {
		return r, fmt.Errorf("%d connections are still open", w.open)
	}
	return r, nil
}

// barrier waits until the taps have read all that was sent before.
func (w *watch) barrier() error {
	for _, to := range []string{gateway, "127.0.0.1"} {
		mark := fmt.Sprintf("%s %d", to, time.Now().UnixNano())
		c, err := net.Dial("udp", net.JoinHostPort(to, strconv.Itoa(barrierPort)))
		if err != nil {
			return err
		}
		_, err = c.Write([]byte(mark))
		c.Close()
		if err != nil {
			return err
		}
		if !w.await(func() bool { return w.marks[mark] }) {
			return fmt.Errorf("the tap on the way to %s is deaf", to)
		}
	}
	return nil
}

// await waits until something holds, for five seconds at most.
func (w *watch) await(holds func() bool) bool {
	for range 5000 {
		w.mu.Lock()
		ok := holds()
		w.mu.Unlock()
		if ok {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// settle checks that the watch hears at all, once.
func (w *world) settle() error {
	w.watch.forget()
	if _, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second); err == nil {
		return fmt.Errorf("somebody listens on port 1")
	}
	c, err := net.DialTimeout("tcp", addressGood+":7", time.Second)
	if err != nil {
		return err
	}
	c.Close()
	r, err := w.watch.report()
	if want := []string{"tcp 127.0.0.1:1", "tcp good:7"}; err == nil && !slices.Equal(r.events, want) {
		err = fmt.Errorf("the watch heard %q, not %q", r.events, want)
	}
	return err
}
