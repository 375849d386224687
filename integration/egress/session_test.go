package egress

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// session is a command that is looked at while it runs.
type session struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	mu    sync.Mutex
	said  strings.Builder // on stderr
}

// start starts a command, which ends with the test.
func start(t *testing.T, cmd *exec.Cmd) *session {
	t.Helper()
	s := &session{t: t, cmd: cmd, lines: make(chan string, 100)}
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = s
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			s.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return s
}

// Write keeps what is said on stderr.
func (s *session) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.Write(b)
}

func (s *session) stderr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// line is the next that the command prints.
func (s *session) line() string {
	s.t.Helper()
	select {
	case line, ok := <-s.lines:
		if !ok {
			s.t.Fatalf("%q ended: %s", s.cmd.Args, s.stderr())
		}
		return line
	case <-time.After(patience):
		s.t.Fatalf("%q says nothing: %s", s.cmd.Args, s.stderr())
	}
	return ""
}

// tell gives the command a line.
func (s *session) tell(line string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		s.t.Fatal(err)
	}
}

// end closes the command's input and waits for it.
func (s *session) end() {
	s.t.Helper()
	_ = s.in.Close()
	for range s.lines {
	}
	hung := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	if !hung.Stop() {
		s.t.Errorf("%q hung: %s", s.cmd.Args, s.stderr())
	}
}

// memory is a line of the command's status in the process table, in bytes.
func (s *session) memory(field string) int64 {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// eachBox runs a test as each account, and with each kind of container.
func eachBox(t *testing.T, f func(t *testing.T, w *world, a account)) {
	eachAccount(t, f)
	w := needWorld(t)
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) {
			a := w.container(t, runtime)
			w.rewind()
			f(t, w, a)
		})
	}
}

// eachAccount runs a test as each account.
func eachAccount(t *testing.T, f func(t *testing.T, w *world, a account)) {
	w := needWorld(t)
	for _, a := range accounts(t) {
		t.Run(a.name, func(t *testing.T) {
			w.rewind()
			f(t, w, a)
		})
	}
}
