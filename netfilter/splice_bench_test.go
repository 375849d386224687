package netfilter

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// The processes of a benchmark are this test binary, which NETFILTER_ROLE makes
// play one of them. As in use, the two programs and the relay are three.
func TestRole(t *testing.T) {
	var err error
	switch role, arg, _ := strings.Cut(os.Getenv("NETFILTER_ROLE"), " "); role {
	case "":
		t.Skip("a part for benchmarks")
	case "source": // sends zeros to who connects
		err = serveAll(func(c *net.TCPConn) error {
			b := make([]byte, 256<<10)
			for {
				if _, err := c.Write(b); err != nil {
					return nil
				}
			}
		})
	case "echo":
		err = serveAll(func(c *net.TCPConn) error {
			_, err := io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			return err
		})
	case "relay":
		err = serveAll(func(c *net.TCPConn) error {
			world, err := net.Dial("tcp", arg)
			if err != nil {
				return err
			}
			splice(c, world.(*net.TCPConn), relayConfig{idle: time.Hour, meter: newMeter(0)})
			world.Close()
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serveAll prints an address and serves connections there, until stdin ends.
func serveAll(serve func(*net.TCPConn) error) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := serve(c.(*net.TCPConn)); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
	}
}

// player is a process that plays a role.
type player struct {
	addr string // where it serves
	pid  int
}

func startRole(t testing.TB, role string) player {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestRole$")
	cmd.Env, cmd.Stderr = append(os.Environ(), "NETFILTER_ROLE="+role), os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err1 != nil || err2 != nil || cmd.Start() != nil {
		t.Fatal("the benchmark's process does not start")
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return player{strings.TrimSpace(line), cmd.Process.Pid}
}

// The throughput of a relay between two programs, as a share of that of one
// connection. Both are measured in turns, since machines change their speed.
func BenchmarkSplice(b *testing.B) {
	bare := startRole(b, "source")
	relayed := startRole(b, "relay "+bare.addr)
	const amount = 1 << 30
	var direct, spliced []float64
	for b.Loop() {
		direct = append(direct, download(b, bare.addr, amount))
		spliced = append(spliced, download(b, relayed.addr, amount))
	}
	slices.Sort(direct)
	slices.Sort(spliced)
	d, s := direct[len(direct)/2], spliced[len(spliced)/2]
	b.ReportMetric(d, "bare-GB/s")
	b.ReportMetric(s, "relay-GB/s")
	b.ReportMetric(s/d, "ratio")
	b.ReportMetric(0, "ns/op")
}

// download reads that many bytes, and returns GB/s.
func download(t testing.TB, addr string, amount int64) float64 {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 256<<10)
	began := time.Now()
	for left := amount; left > 0; {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		left -= int64(n)
	}
	return float64(amount) / 1e9 / time.Since(began).Seconds()
}

// The delay that a relay adds to a small message and its answer.
func BenchmarkRoundTrip(b *testing.B) {
	bare := startRole(b, "echo")
	for _, c := range []struct{ name, addr string }{{"bare", bare.addr}, {"relay", startRole(b, "relay "+bare.addr).addr}} {
		b.Run(c.name, func(b *testing.B) {
			conn, err := net.Dial("tcp", c.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			buf := make([]byte, 100)
			for b.Loop() {
				if _, err := conn.Write(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
