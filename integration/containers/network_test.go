package containers

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// gate is a network whose only socket answers every connection to port 80.
func gate(t testing.TB, served chan<- string) *sandbox.Network {
	return &sandbox.Network{
		Address: netip.MustParseAddr("192.0.2.9"),
		Sockets: []sandbox.Socket{{Domain: unix.AF_INET, Type: unix.SOCK_STREAM}, {Domain: unix.AF_INET, Type: 0x7f, Optional: true}},
		Attach: func(files []*os.File) error {
			if files[1] != nil {
				return fmt.Errorf("a socket of a type that there is not")
			}
			if err := unix.Bind(int(files[0].Fd()), &unix.SockaddrInet4{Port: 80}); err != nil {
				return err
			}
			if err := unix.Listen(int(files[0].Fd()), 8); err != nil {
				return err
			}
			l, err := net.FileListener(files[0])
			files[0].Close()
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					served <- c.LocalAddr().String()
					io.WriteString(c, "from the launcher\n")
					c.Close()
				}
			}()
			return nil
		},
	}
}

// TestNetwork: a connection to any address arrives at the launcher; there is no
// other way, and the host's own loopback is not the box's.
func TestNetwork(t *testing.T) { each(t, testNetwork) }

func testNetwork(t *testing.T, m *machine) {
	served := make(chan string, 16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served <- "the host's loopback"
			c.Close()
		}
	}()
	// The control: here the host's loopback is within reach.
	if c, err := net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	} else {
		c.Close()
	}
	if got := <-served; got != "the host's loopback" {
		t.Fatal(got)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	box, err := m.backend(t).Start(t.Context(), m.specOf(t, "", "sh", "-c", `
nc -w 2 203.0.113.7 80 </dev/null || echo no answer
nc -w 2 203.0.113.7 81 </dev/null || echo refused
nc -w 2 127.0.0.1 `+port+` </dev/null || echo no loopback of the host
ip -o link | wc -l
ip link set lo down 2>/dev/null && echo the interface was changed
ip route del local default dev lo table local 2>/dev/null && echo the route was removed
ping -c 1 -W 1 203.0.113.7 >/dev/null 2>&1 && echo pong
echo end`), gate(t, served))
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	out, errs, _ := finish(t, box, "")
	if want := "from the launcher\nrefused\nno loopback of the host\n1\nend\n"; out != want {
		t.Errorf("stdout:\n%s\nwant:\n%s\nstderr:\n%s", out, want, errs)
	}
	if len(served) != 1 {
		t.Fatalf("%d connections were served", len(served))
	}
	if got := <-served; got != "203.0.113.7:80" {
		t.Errorf("served %s", got)
	}
}

// TestNetworkSettings: what a policy has the kernel keep to in the box's network
// namespace is set there, by the launcher, whose it is.
func TestNetworkSettings(t *testing.T) {
	m := start(t, busybox(t))
	const setting = "/proc/sys/net/ipv4/icmp_echo_ignore_all"
	if host, err := os.ReadFile(setting); err != nil || strings.TrimSpace(string(host)) != "0" {
		t.Skipf("%s of the host is %q, %v, and would prove nothing", setting, host, err)
	}
	spec := m.specOf(t, `network.allow = ["example.com:443"]`, "cat", setting)
	if spec.Linux.Sysctl["net.ipv4.icmp_echo_ignore_all"] != "1" {
		t.Fatalf("the policy sets %v", spec.Linux.Sysctl)
	}
	box, err := m.backend(t).Start(t.Context(), spec, gate(t, make(chan string, 16)))
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	if out, errs, _ := finish(t, box, ""); out != "1\n" {
		t.Errorf("%q, %q", out, errs)
	}
}

// TestNoNetwork: without one there is loopback, and no route.
func TestNoNetwork(t *testing.T) { each(t, testNoNetwork) }

func testNoNetwork(t *testing.T, m *machine) {
	out, errs, _ := m.outcome(t, "", "", "sh", "-c", `
nc -w 1 203.0.113.7 80 </dev/null 2>&1
ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1
cat /proc/net/dev | grep -c :`)
	if !strings.Contains(out, "unreachable") || !strings.HasSuffix(out, "\n1\n") {
		t.Errorf("%q, %q", out, errs)
	}
}

// TestNetworkIsAttachedFirst: an error of whoever is to listen abandons the box,
// before the program runs.
func TestNetworkIsAttachedFirst(t *testing.T) { each(t, testNetworkIsAttachedFirst) }

func testNetworkIsAttachedFirst(t *testing.T, m *machine) {
	n := gate(t, nil)
	refused := fmt.Errorf("no listener")
	n.Attach = func(files []*os.File) error {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
		return refused
	}
	if _, err := m.backend(t).Start(t.Context(), m.specOf(t, "", "true"), n); err == nil || !strings.Contains(err.Error(), "no listener") {
		t.Errorf("error %v", err)
	}
	if shims := m.Shims(); len(shims) > 0 {
		t.Errorf("shims are left: %v", shims)
	}
}
