package bridge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
)

// The benchmarks compare, in one run, a server that the host started itself
// with the same server behind a relay in a process of its own, as in use. Both
// are this test binary: BRIDGE_ROLE says what it is.
func TestMain(m *testing.M) {
	switch os.Getenv("BRIDGE_ROLE") {
	case "":
		os.Exit(m.Run())
	case "echo":
		role(io.Copy(struct{ io.Writer }{os.Stdout}, struct{ io.Reader }{os.Stdin}))
	case "relay":
		server := exec.Command("/proc/self/exe")
		server.Env = []string{"BRIDGE_ROLE=echo"}
		in, err1 := server.StdinPipe()
		out, err2 := server.StdoutPipe()
		if err1 != nil || err2 != nil || server.Start() != nil {
			os.Exit(1)
		}
		err := New(Config{HostIn: os.Stdin, HostOut: os.Stdout, ServerIn: in, ServerOut: out}).Run()
		server.Wait()
		role(0, err)
	}
}

func role(_ int64, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func peer(b *testing.B, role string) (io.WriteCloser, *bufio.Reader) {
	b.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env, cmd.Stderr = []string{"BRIDGE_ROLE=" + role}, os.Stderr
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
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	return in, bufio.NewReaderSize(out, 64<<10)
}

// BenchmarkPing is one small request and its answer.
func BenchmarkPing(b *testing.B) {
	ping := []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n")
	for name, role := range map[string]string{"bare": "echo", "relay": "relay"} {
		b.Run(name, func(b *testing.B) {
			in, out := peer(b, role)
			for b.Loop() {
				if _, err := in.Write(ping); err != nil {
					b.Fatal(err)
				}
				if got, err := out.ReadSlice('\n'); err != nil || !bytes.Equal(got, ping) {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkThroughput is a stream of lines, there and back.
func BenchmarkThroughput(b *testing.B) {
	for _, size := range []int{100, 100 << 10, 4 << 20} {
		line := append(bytes.Repeat([]byte("x"), size-1), '\n')
		for name, role := range map[string]string{"bare": "echo", "relay": "relay"} {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				in, out := peer(b, role)
				b.SetBytes(int64(size))
				go func() {
					w := bufio.NewWriterSize(in, 64<<10)
					for range b.N {
						w.Write(line)
					}
					w.Flush()
				}()
				b.ResetTimer()
				if _, err := io.CopyN(io.Discard, out, int64(b.N)*int64(size)); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
