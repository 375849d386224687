package bridge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The benchmarks compare, in one run, a server that the host started itself
// with the same server behind a relay in a process of its own, as in use: one
// that judges, and one that only copies. All are this test binary: BRIDGE_ROLE
// says what it is, and BRIDGE_SIZE how large the server's results are.
func TestMain(m *testing.M) {
	switch os.Getenv("BRIDGE_ROLE") {
	case "":
		os.Exit(m.Run())
	case "server":
		role(serve(os.Stdin, os.Stdout))
	case "relay", "raw":
		server := exec.Command("/proc/self/exe")
		server.Env = []string{"BRIDGE_ROLE=server", "BRIDGE_SIZE=" + os.Getenv("BRIDGE_SIZE")}
		in, err1 := server.StdinPipe()
		out, err2 := server.StdoutPipe()
		if err1 != nil || err2 != nil || server.Start() != nil {
			os.Exit(1)
		}
		r := New(Config{HostIn: os.Stdin, HostOut: os.Stdout, ServerIn: in, ServerOut: out,
			Raw: os.Getenv("BRIDGE_ROLE") == "raw", Observe: func(*Event) {}})
		err := r.Run()
		r.Finish(errGone, time.Second)
		server.Wait()
		fmt.Fprintln(os.Stderr, cpu().Nanoseconds())
		role(err)
	}
}

func role(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serve answers every request with a result of a text.
func serve(in io.Reader, out io.Writer) error {
	size, _ := strconv.Atoi(os.Getenv("BRIDGE_SIZE"))
	text := quote(strings.Repeat("The quick brown fox jumps over the lazy dog,\n", size/45+1)[:size])
	lines := bufio.NewReaderSize(in, 64<<10)
	var answer []byte
	for {
		line, err := lines.ReadSlice('\n')
		if err == io.EOF {
			return nil
		}
		_, rest, ok := bytes.Cut(line, []byte(`"id":`))
		if err != nil || !ok {
			return fmt.Errorf("%q: %w", line, err)
		}
		id, _, _ := bytes.Cut(rest, []byte(","))
		answer = fmt.Appendf(answer[:0], `{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":%s}]}}`+"\n", id, text)
		if _, err := out.Write(answer); err != nil {
			return err
		}
	}
}

// host is the host's end of a server.
type host struct {
	in  io.WriteCloser
	out *bufio.Reader
	id  int
}

// converse runs f with a server of role, and reports what processor time the
// relay took for each operation.
func converse(b *testing.B, role string, size int, f func(*host)) {
	cmd := exec.Command("/proc/self/exe")
	var stderr bytes.Buffer
	cmd.Env, cmd.Stderr = []string{"BRIDGE_ROLE=" + role, "BRIDGE_SIZE=" + strconv.Itoa(size)}, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	h := &host{in: in, out: bufio.NewReaderSize(out, 64<<10)}
	h.ask() // so that all are there
	h.hear(b)
	b.ResetTimer()
	f(h)
	in.Close()
	if err := cmd.Wait(); err != nil {
		b.Errorf("%v: %s", err, &stderr)
	}
	if role != "server" {
		took, err := strconv.Atoi(strings.TrimSpace(stderr.String()))
		if err != nil {
			b.Error(err)
		}
		b.ReportMetric(float64(took)/float64(b.N), "relay-cpu-ns/op")
		if size > 1<<16 {
			b.ReportMetric(float64(size)*float64(b.N)/float64(took)*1e9/(1<<20), "relay-cpu-MiB/s")
		}
	}
}

func (h *host) ask() {
	h.id++
	fmt.Fprintf(h.in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"read","arguments":{}}}`+"\n", h.id)
}

func (h *host) hear(b *testing.B) {
	for {
		_, err := h.out.ReadSlice('\n')
		if err == nil {
			return
		}
		if err != bufio.ErrBufferFull {
			b.Fatal(err)
		}
	}
}

var benchRoles = []struct{ name, role string }{{"bare", "server"}, {"copied", "raw"}, {"judged", "relay"}}

// BenchmarkCall is one call and its answer, one after the other.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{20, 1 << 20, 15 << 20} {
		for _, r := range benchRoles {
			b.Run(fmt.Sprintf("%d/%s", size, r.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				converse(b, r.role, size, func(h *host) {
					for b.Loop() {
						h.ask()
						h.hear(b)
					}
				})
			})
		}
	}
}

// BenchmarkCalls is a stream of them, a hundred under way at a time.
func BenchmarkCalls(b *testing.B) {
	for _, r := range benchRoles {
		b.Run(r.name, func(b *testing.B) {
			converse(b, r.role, 100, func(h *host) {
				ready := make(chan struct{}, 100)
				go func() {
					for range b.N {
						ready <- struct{}{}
						h.ask()
					}
				}()
				for range b.N {
					h.hear(b)
					<-ready
				}
			})
		})
	}
}
