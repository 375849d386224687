package relay

import (
	"bytes"
	"io"
	"syscall"
	"testing"
	"time"
)

// wire is the host's end of a server's stdio, with a record of what went over
// it.
type wire struct {
	t    *testing.T
	run  *run
	in   *recorded
	out  *recorded
	hung *time.Timer
}

// recorded is one of its two directions. It is used by one goroutine at a time.
type recorded struct {
	io.WriteCloser
	io.Reader
	bytes bytes.Buffer
}

func (r *recorded) Write(b []byte) (int, error) {
	r.bytes.Write(b)
	return r.WriteCloser.Write(b)
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.bytes.Write(b[:n])
	return n, err
}

// Close closes what the server reads. What it writes is read to its end.
func (r *recorded) Close() error {
	if r.WriteCloser == nil {
		return nil
	}
	return r.WriteCloser.Close()
}

// dial starts a server.
func dial(t *testing.T, r *run) *wire {
	t.Helper()
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, run: r, in: &recorded{WriteCloser: in}, out: &recorded{Reader: out}}
	w.hung = time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
	return w
}

// end ends the server as hosts do, reads what it still says, and checks that
// nothing was changed on the way.
func (w *wire) end() {
	w.t.Helper()
	_ = w.in.Close() // again, where a client has
	term := time.AfterFunc(2*time.Second, func() { _ = w.run.cmd.Process.Signal(syscall.SIGTERM) })
	defer term.Stop()
	if _, err := io.Copy(io.Discard, w.out); err != nil {
		w.t.Errorf("%s: %v", w.run.way.name, err)
	}
	_ = w.run.cmd.Wait() // servers that ignore the end of their input die by the signal
	if !w.hung.Stop() {
		w.t.Errorf("%s: the server did not end\n%s", w.run.way.name, &w.run.stderr)
	}
	w.run.same(w.t, w.in.bytes.Bytes(), w.out.bytes.Bytes())
}
