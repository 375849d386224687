package escape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal and what came out of it.
type terminal struct {
	slave *os.File
	mu    sync.Mutex
	text  bytes.Buffer
}

// newTerminal makes a terminal that belongs to the world's user.
func (w *world) newTerminal() *terminal {
	w.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	w.must(err)
	w.must(unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	w.must(err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	w.must(err)
	w.must(os.Chown(slave.Name(), w.uid, -1))
	term := &terminal{slave: slave}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			term.mu.Lock()
			term.text.Write(b[:n])
			term.mu.Unlock()
		}
	}()
	w.t.Cleanup(func() {
		_ = slave.Close()
		_ = master.Close()
	})
	return term
}

// printed waits until the terminal shows the word, and returns all it shows.
func (term *terminal) printed(t *testing.T, word string) string {
	t.Helper()
	for range 500 {
		term.mu.Lock()
		text := term.text.String()
		term.mu.Unlock()
		if strings.Contains(text, word) {
			return text
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q did not come out of the terminal: %q", word, term.text.String())
	return ""
}

// control makes the terminal the one that cmd is controlled by.
func (term *terminal) control(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr.Setctty = true
}

// TestX1Terminal starts the launcher from a terminal. The server has none, and
// types into none.
func TestX1Terminal(t *testing.T) {
	w := newWorld(t, false)
	scenario := w.scenario(1)
	try := func(cmd *exec.Cmd) Result {
		term := w.newTerminal()
		term.control(cmd)
		w.run(cmd)
		text := term.printed(t, "\n")
		var r Result
		w.must(json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &r))
		return r
	}
	for id, want := range map[string]string{"X-1/tty": "ENOENT", "X-1/tiocsti": "EPERM", "X-1/tiocsti-high-bits": "EPERM"} {
		if r := try(w.command(w.probe(), "attack", scenario, id)); !r.Succeeded {
			t.Errorf("%s: the control failed: %s", id, r.Error)
		}
		if r := try(w.box(w.probe(), "attack", scenario, id)); r.Succeeded || r.Error != want {
			t.Errorf("%s: %s (%s), want %s", id, r.Error, r.Detail, want)
		}
	}
}

// TestX2EscapeSequences lets a server print what terminals obey: paste to the
// clipboard, set the title, ask for an answer that is then typed.
func TestX2EscapeSequences(t *testing.T) {
	w := newWorld(t, false)
	const sequences = `"\x1b]52;c;cm0gLXJmIH4=\x07\x1b]0;title\x07\x1b[c\x1bP$q\"p\x1b\\\u009b6n\x08\x7f\r last\n"`
	show := func(cmd *exec.Cmd) string {
		term := w.newTerminal()
		cmd.Stderr = term.slave
		w.run(cmd)
		return term.printed(t, "last")
	}
	dangerous := func(text string) bool {
		text = strings.ReplaceAll(text, "\r\n", "\n") // the terminal's own doing
		return strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && r != '\t' && (r < 0x20 || r >= 0x7f && r < 0xa0) })
	}
	if text := show(w.command(w.probe(), "act", "print", sequences)); !dangerous(text) {
		t.Errorf("the control printed %q", text)
	}
	if text := show(w.box(w.probe(), "act", "print", sequences)); dangerous(text) {
		t.Errorf("the terminal got %q", text)
	}
}
