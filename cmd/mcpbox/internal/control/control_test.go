package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be somebody else's process, see TestForeignUser.
func TestMain(m *testing.M) {
	if socket := os.Getenv("MCPBOX_TEST_ASK"); socket != "" {
		_, err := Ask(socket, Kill, time.Minute)
		fmt.Print(err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve starts a server in a directory of its own.
func serve(t *testing.T, h Handler) (socket string, s *Server) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "control")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	s = Serve(l, h)
	t.Cleanup(s.Close)
	return socket, s
}

func TestAsk(t *testing.T) {
	want := Status{Frozen: true, Processes: 3, CPU: time.Second, Memory: 1 << 40, Connections: 2, Denied: 5}
	var last atomic.Value
	socket, s := serve(t, func(v Verb, peer int) (*Status, error) {
		if peer != os.Getpid() {
			t.Errorf("peer %d, and this is %d", peer, os.Getpid())
		}
		last.Store(v)
		switch v {
		case Query:
			return &want, nil
		case Cut:
			return nil, errors.New(`no "way"` + "\n")
		}
		return nil, nil
	})
	if got, err := Ask(socket, Query, time.Minute); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, v := range []Verb{Freeze, Thaw, Restore, Kill} {
		if got, err := Ask(socket, v, time.Minute); err != nil || !reflect.DeepEqual(got, Status{}) || last.Load() != v {
			t.Errorf("%s: %+v, %v; the server did %v", v, got, err, last.Load())
		}
	}
	var refused *RefusedError
	if _, err := Ask(socket, Cut, time.Minute); !errors.As(err, &refused) || refused.Reason != `no "way"`+"\n" {
		t.Errorf("error %v", err)
	}
	if _, err := Ask(socket, "dance", time.Minute); !errors.As(err, &refused) || refused.Reason != errRequest.Error() {
		t.Errorf("error %v", err)
	}
	s.Close()
	if _, err := Ask(socket, Query, time.Minute); !errors.Is(err, ErrGone) {
		t.Errorf("error %v, want %v", err, ErrGone)
	}
	if _, err := Ask(filepath.Join(t.TempDir(), "control"), Query, time.Minute); !errors.Is(err, ErrGone) {
		t.Errorf("error %v, want %v", err, ErrGone)
	}
}

// One that has the socket and does not serve it is told from one that has gone.
func TestAskSilent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	began := time.Now()
	if _, err := Ask(socket, Query, 100*time.Millisecond); !errors.Is(err, ErrSilent) {
		t.Errorf("error %v, want %v", err, ErrSilent)
	}
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("it waited for %v", took)
	}
}

// A path of a socket has 107 bytes at most; one of a run may be longer.
func TestAskLongPath(t *testing.T) {
	socket, _ := serve(t, func(Verb, int) (*Status, error) { return nil, nil })
	deep := filepath.Join(t.TempDir(), strings.Repeat("d", 100))
	if err := os.Mkdir(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(deep, "control")
	if err := os.Rename(socket, long); err != nil {
		t.Fatal(err)
	}
	if _, err := Ask(long, Kill, time.Minute); err != nil {
		t.Error(err)
	}
}

// raw sends bytes and returns the answer.
func raw(t *testing.T, socket, text string) reply {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, text)
	c.(*net.UnixConn).CloseWrite()
	data, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	var r reply
	if len(data) > 0 {
		if err := json.Unmarshal(data, &r); err != nil || bytes.IndexByte(data, '\n') != len(data)-1 {
			t.Fatalf("%q: answer %q, %v", text, data, err)
		}
	}
	return r
}

var notRequests = []string{
	"\n", "{}\n", "null\n", "[]\n", "\"kill\"\n", "kill\n",
	`{"do":""}` + "\n", `{"do":"dance"}` + "\n", `{"do":1}` + "\n", `{"do":null}` + "\n", `{"do":["kill"]}` + "\n",
	`{"Do":"kill"}` + "\n", `{"DO":"kill"}` + "\n", `{"do":"KILL"}` + "\n", `{"do": "kill"}` + "\n", ` {"do":"kill"}` + "\n", `{"do":"kill"} ` + "\n",
	`{"do":"kill"}` + "\r\n", `{"do":"\u006bill"}` + "\n", `{"do":"status","do":"kill"}` + "\n", `{"do":"kill","do":"status"}` + "\n",
	`{"do":"kill","x":1}` + "\n", `{"do":"kill"}{}` + "\n", "\ufeff" + `{"do":"kill"}` + "\n", `{"do":"kill` + "\x00" + `"}` + "\n",
	strings.Repeat(" ", maxRequest) + `{"do":"kill"}` + "\n", strings.Repeat("x", maxRequest), strings.Repeat("x", 1<<20) + "\n",
}

// What is not exactly a request does nothing.
func TestNotRequests(t *testing.T) {
	var done atomic.Int64
	socket, _ := serve(t, func(Verb, int) (*Status, error) { done.Add(1); return nil, nil })
	for _, text := range notRequests {
		if r := raw(t, socket, text); r.Error != "" && r.Error != errRequest.Error() {
			t.Errorf("%.80q: answer %+v", text, r)
		}
	}
	for _, text := range []string{`{"do":"kill"}` + "\n" + `{"do":"kill"}` + "\n"} { // two are none
		if r := raw(t, socket, text); r.Error != errRequest.Error() {
			t.Errorf("%.80q: answer %+v", text, r)
		}
	}
	for _, text := range []string{"", `{"do":"kill"}`} { // it ends before its line does
		if r := raw(t, socket, text); r != (reply{}) {
			t.Errorf("%.80q: answer %+v", text, r)
		}
	}
	if done.Load() > 0 {
		t.Errorf("%d of them did something", done.Load())
	}
	if r := raw(t, socket, `{"do":"kill"}`+"\n"); r != (reply{}) || done.Load() != 1 {
		t.Errorf("the control: answer %+v", r)
	}
}

// Of all lines, exactly one for each verb is a request.
func FuzzDecode(f *testing.F) {
	for _, v := range verbs {
		f.Add(encode(request{v}))
	}
	for _, text := range notRequests {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		verb, err := decode(line)
		is := false
		for _, v := range verbs {
			is = is || string(line) == `{"do":"`+string(v)+`"}`+"\n"
		}
		if is != (err == nil) || is && !bytes.Contains(line, []byte(verb)) {
			t.Errorf("%q is %q, %v", line, verb, err)
		}
	})
}

// The bytes of many who are silent, slow or noisy hold up nobody.
func TestSilentPeers(t *testing.T) {
	socket, s := serve(t, func(Verb, int) (*Status, error) { return &Status{}, nil })
	for range 3 * maxPeers {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, `{"do":`)
	}
	began := time.Now()
	for range 50 {
		if _, err := Ask(socket, Query, time.Minute); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		if n := len(s.waiting); n > maxPeers { // those before it have been accepted
			t.Errorf("%d silent peers are waited for", n)
		}
		s.mu.Unlock()
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("50 requests took %v", took)
	}

	// One that stays silent is let go.
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if data, err := io.ReadAll(c); err != nil || len(data) > 0 {
		t.Errorf("a silent peer got %q, %v", data, err)
	}
}

// Close ends the silent at once, and lets those who were heard have their answer.
func TestClose(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	socket, s := serve(t, func(Verb, int) (*Status, error) {
		begun <- true
		<-finish
		return &Status{Processes: 7}, nil
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if got, err := Ask(socket, Query, time.Minute); err != nil || got.Processes != 7 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	<-begun
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wg.Go(s.Close)
	if data, err := io.ReadAll(c); len(data) > 0 {
		t.Errorf("%q, %v", data, err)
	}
	finish <- true
	wg.Wait()
}

// Another user who has got at the socket, which takes more than one mistake, is
// refused; root is not.
func TestForeignUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	var done atomic.Int64
	dir, err := os.MkdirTemp("/tmp", "mcpbox-control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "ask"), binary, 0o755)); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "control")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	s := Serve(l, func(Verb, int) (*Status, error) { done.Add(1); return nil, nil })
	defer s.Close()
	for uid, want := range map[uint32]string{12345: "this run belongs to user 0, and you are user 12345", 0: "<nil>"} {
		cmd := exec.Command(filepath.Join(dir, "ask"))
		cmd.Env = []string{"MCPBOX_TEST_ASK=" + socket}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("user %d: %s, %v; want %s", uid, out, err, want)
		}
	}
	if done.Load() != 1 {
		t.Errorf("%d requests were served, want that of root", done.Load())
	}
}

func TestPermitted(t *testing.T) {
	own := uint32(os.Geteuid())
	for uid, want := range map[uint32]bool{own: true, 0: true, own + 1: false, ^uint32(0): false} {
		if permitted(uid) != want {
			t.Errorf("user %d: permitted is %v", uid, !want)
		}
	}
}
