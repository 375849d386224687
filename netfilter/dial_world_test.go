package netfilter

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/netns"
)

// world is a network namespace in which every address there is answers, on one
// port, and knows to which of them each connection went. Only there can it be
// seen that an address was not dialled, rather than that nobody was there.
type world struct {
	*nameServer
	port uint16

	mu    sync.Mutex
	heard []netip.Addr
}

// inWorld runs the calling test again in such a namespace, and returns true
// there.
func inWorld(t *testing.T) bool {
	t.Helper()
	if os.Getenv("NETFILTER_WORLD") != "" {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "NETFILTER_WORLD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()+" ") {
		t.Fatalf("in its network: %v\n%s", err, out)
	}
	return false
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if err := netns.IP("link set lo up\nroute add local 0.0.0.0/0 dev lo\nroute add local ::/0 dev lo\n" +
		"route add unreachable 198.51.100.66/32 table local\n"); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &world{nameServer: newNameServer(t), port: uint16(l.Addr().(*net.TCPAddr).Port)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.mu.Lock()
			w.heard = append(w.heard, c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap())
			w.mu.Unlock()
			c.Close()
		}
	}()
	return w
}

// dialer is one with the addresses of the namespace and rules for some more.
func (w *world) dialer(named ...string) *dialer {
	return &dialer{
		resolver: w.resolver(), own: interfaceAddrs, timeout: 10 * time.Second,
		route: func(netip.AddrPort) (string, error) { return "", nil }, // by which all of it is this machine
		permits: func(a netip.Addr, port uint16) bool {
			return port == w.port && slices.Contains(named, a.String())
		},
	}
}

// since lists, once it is certain that nothing more is under way, to which
// addresses connections went since the last call. A connection to a marker goes
// through the same listener, after all others.
func (w *world) since(t *testing.T) []netip.Addr {
	t.Helper()
	marker := netip.MustParseAddr("127.3.2.1")
	c, err := net.Dial("tcp", netip.AddrPortFrom(marker, w.port).String())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		if i := slices.Index(w.heard, marker); i >= 0 {
			heard := slices.Clone(w.heard[:i])
			w.heard = nil
			w.mu.Unlock()
			return heard
		}
		w.mu.Unlock()
	}
	t.Fatal("the world does not hear its marker")
	return nil
}

// dial connects to a name, and closes the connection.
func (w *world) dial(t *testing.T, d *dialer, name string) (netip.AddrPort, error) {
	t.Helper()
	c, at, err := d.dialName(context.Background(), name, w.port)
	if err == nil {
		if to := c.RemoteAddr().(*net.TCPAddr).AddrPort(); netip.AddrPortFrom(to.Addr().Unmap(), to.Port()) != at {
			t.Errorf("%s: connected to %s, says %s", name, to, at)
		}
		c.Close()
	}
	return at, err
}

// Of each class, an allowed name leads to it: nothing is dialled. With a rule
// for the address it is reached, so the world would have heard.
func TestDialForbidden(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	const nobody = "nobody can be connected to there"
	for _, c := range []struct{ addr, why, unnamed string }{
		{"0.0.0.0", "this host", nobody},
		{"0.1.2.3", "this host", ""},
		{"10.1.2.3", "private", ""},
		{"100.64.0.9", "provider", ""},
		{"127.0.0.1", "machine", ""},
		{"127.9.9.9", "loopback", ""},
		{"169.254.7.7", "link-local", ""},
		{"169.254.169.254", "metadata", ""},
		{"169.254.170.2", "metadata", ""},
		{"100.100.100.200", "metadata", ""},
		{"168.63.129.16", "metadata", ""},
		{"172.16.1.1", "private", ""},
		{"172.31.255.254", "private", ""},
		{"192.0.0.192", "protocols", ""},
		{"192.168.1.1", "private", ""},
		{"198.18.0.1", "benchmarks", ""},
		{"198.19.255.254", "benchmarks", ""},
		{"224.0.0.1", "multicast", nobody},
		{"240.0.0.1", "reserved", ""},
		{"255.255.255.255", "broadcast", nobody},
		{"::", "this host", nobody},
		{"::1", "machine", ""},
		{"::ffff:10.1.2.3", "private", ""},
		{"::ffff:127.0.0.1", "machine", ""},
		{"::ffff:0.0.0.0", "this host", nobody},
		{"::10.1.2.3", "Internet", ""},
		{"64:ff9b::10.1.2.3", "IPv6 for 10.1.2.3", ""},
		{"64:ff9b::a9fe:a9fe", "IPv6 for 169.254.169.254", ""},
		{"64:ff9b::127.0.0.1", "IPv6 for 127.0.0.1", ""},
		{"64:ff9b:1::808:808", "translator", ""},
		{"2002:a01:203::1", "IPv6 for 10.1.2.3", ""},
		{"2001:0:a01:203::1", "IPv6 for 10.1.2.3", ""},
		{"2001:0:808:808::f5fe:fdfc", "IPv6 for 10.1.2.3", ""},
		{"fc00::1", "private", ""},
		{"fd00:ec2::254", "metadata", ""},
		{"fe80::1", "link-local", "it takes a zone"},
		{"fec0::1", "private", ""},
		{"ff0e::1", "multicast", nobody},
		{"4000::1", "Internet", ""},
	} {
		w.set("name.test", c.addr)
		at, err := w.dial(t, w.dialer(), "name.test")
		bad := (*refusal)(nil)
		if !errors.As(err, &bad) || at.IsValid() {
			t.Errorf("%s: %v, %v, want a refusal", c.addr, at, err)
			continue
		}
		plain := netip.MustParseAddr(c.addr).Unmap()
		if !strings.Contains(bad.reason, plain.String()) || !strings.Contains(bad.reason, c.why) {
			t.Errorf("%s: %q does not say so, nor %q", c.addr, bad.reason, c.why)
		}
		if want := netip.AddrPortFrom(plain, w.port).String(); bad.allow != "" && bad.allow != want || bad.allow != "" && !strings.Contains(bad.reason, want) {
			t.Errorf("%s: %q is to allow it, want %q", c.addr, bad.allow, want)
		}
		if heard := w.since(t); len(heard) > 0 {
			t.Errorf("%s: %v heard of a refused dial", c.addr, heard)
		}
		if w.questions("name.test") != 1 {
			t.Errorf("%s: %d questions", c.addr, w.questions("name.test"))
		}

		at, err = w.dial(t, w.dialer(plain.String()), "name.test")
		heard := w.since(t)
		switch {
		case c.unnamed != "" && len(heard) > 0:
			t.Errorf("%s: heard, though %s", c.addr, c.unnamed)
		case c.unnamed == "" && (err != nil || at.Addr() != plain || !slices.Equal(heard, []netip.Addr{plain})):
			t.Errorf("%s, named by a rule: %v, %v; heard by %v", c.addr, at, err, heard)
		}
	}
}

// A name's answer changes, or is mixed: what is dialled is what was judged.
func TestDialRebinding(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	const good, good6, dead = "203.0.113.5", "2606:4700::5", "198.51.100.66"
	for _, c := range []struct {
		name    string
		answers []string
		named   []string
		want    []string // of each dial: the address, or ! and a part of the error
	}{
		{"rebinding", []string{good, "127.0.0.1"}, nil, []string{good, "!127.0.0.1, an address of this machine", "!127.0.0.1"}},
		{"rebinding to metadata and back", []string{good, "169.254.169.254", good}, nil, []string{good, "!metadata", good}},
		{"mixed", []string{"127.0.0.1 10.0.0.1 " + good + " 192.168.0.1"}, nil, []string{good, good}},
		{"mixed families", []string{"127.0.0.1 ::1 fd00::1 " + good6}, nil, []string{good6}},
		{"IPv6 for loopback, IPv4 public", []string{"::ffff:127.0.0.1 " + good}, nil, []string{good}},
		{"alias", []string{"inside.test>10.0.0.1"}, nil, []string{"!10.0.0.1, a private address"}},
		{"alias to both", []string{"inside.test>10.0.0.1 inside.test>" + good}, nil, []string{good}},
		{"no last resort", []string{dead + " 127.0.0.1 10.0.0.1"}, nil, []string{"!no route to host"}},
		{"twice", []string{good + " " + good}, nil, []string{good}},
		{"one is named", []string{"10.0.0.1 10.0.0.2"}, []string{"10.0.0.2"}, []string{"10.0.0.2"}},
		{"next one", []string{dead + " " + good}, nil, []string{good}},
		{"unknown", nil, nil, []string{"!no such host"}},
		{"IPv6 only", []string{good6}, nil, []string{good6}},
		{"NAT64", []string{"64:ff9b::203.0.113.5"}, nil, []string{"64:ff9b::cb00:7105"}},
	} {
		w.set("name.test", c.answers...)
		for i, want := range c.want {
			at, err := w.dial(t, w.dialer(c.named...), "name.test")
			heard := w.since(t)
			ok := false
			if text, fails := strings.CutPrefix(want, "!"); fails {
				ok = err != nil && strings.Contains(err.Error(), text) && len(heard) == 0
			} else {
				a := netip.MustParseAddr(want)
				ok = err == nil && at.Addr() == a && slices.Equal(heard, []netip.Addr{a})
			}
			if !ok {
				t.Errorf("%s, dial %d: %v, %v; heard by %v; want %s", c.name, i, at, err, heard, want)
			}
		}
	}
	// This machine has a public address, as servers do.
	d := w.dialer()
	d.own = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr(good)}, nil }
	w.set("name.test", good)
	if _, err := w.dial(t, d, "name.test"); err == nil || !strings.Contains(err.Error(), "of this machine") {
		t.Errorf("own public address: %v", err)
	}
	d.own = func() ([]netip.Addr, error) { return nil, errors.New("no netlink") }
	if _, err := w.dial(t, d, "name.test"); err == nil || !strings.Contains(err.Error(), "no netlink") {
		t.Errorf("unknown own addresses: %v", err)
	}
	if heard := w.since(t); len(heard) > 0 {
		t.Errorf("%v heard", heard)
	}
}

// The last check is on what the kernel is given.
func TestConnectJudgesAgain(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	at := netip.AddrPortFrom(netip.MustParseAddr("203.0.113.5"), w.port)
	var judged []netip.AddrPort
	verdict := error(&refusal{reason: "changed"})
	judge := func(a netip.AddrPort) error {
		judged = append(judged, a)
		return verdict
	}
	if _, err := connectTo(context.Background(), at, judge); !errors.Is(err, verdict) {
		t.Errorf("%v, want the refusal", err)
	}
	if heard := w.since(t); len(heard) > 0 {
		t.Errorf("%v heard", heard)
	}
	verdict = nil
	c, err := connectTo(context.Background(), at, judge)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if heard := w.since(t); len(heard) != 1 || !slices.Equal(judged, []netip.AddrPort{at, at}) {
		t.Errorf("%v heard, %v judged", heard, judged)
	}
}

// One address of a name is silent: the next one is tried soon.
func TestDialSilent(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	silent, port := listenSilently(t, "198.51.100.77")
	l, err := net.Listen("tcp4", net.JoinHostPort("198.51.100.78", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := w.dialer()
	w.set("both.test", silent+" 198.51.100.78")
	began := time.Now()
	c, at, err := d.dialName(context.Background(), "both.test", uint16(port))
	if err != nil || at.Addr().String() != "198.51.100.78" {
		t.Fatalf("%v, %v", at, err)
	}
	c.Close()
	if took := time.Since(began); took < stagger/2 || took > 5*time.Second {
		t.Errorf("took %v: the first address was not tried, or for too long", took)
	}

	// One that refuses is not waited for.
	w.set("closed.test", "198.51.100.1 198.51.100.2 198.51.100.3 198.51.100.4 198.51.100.5 198.51.100.6 198.51.100.7 198.51.100.8")
	began = time.Now()
	if _, _, err := d.dialName(context.Background(), "closed.test", uint16(port)); !errors.Is(err, syscall.ECONNREFUSED) || time.Since(began) > 5*stagger {
		t.Errorf("%v after %v", err, time.Since(began))
	}

	w.set("silent.test", silent)
	d.timeout = 300 * time.Millisecond
	began = time.Now()
	if _, _, err := d.dialName(context.Background(), "silent.test", uint16(port)); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if _, err := d.dialAddr(context.Background(), netip.MustParseAddrPort(silent+":"+strconv.Itoa(port))); err == nil {
		t.Error("connected")
	}
	d.timeout = time.Minute
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	began = time.Now()
	if _, _, err := d.dialName(ctx, "silent.test", uint16(port)); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v, though no longer wanted", err, time.Since(began))
	}
	d.timeout = 300 * time.Millisecond
	w.hush()
	began = time.Now()
	if _, _, err := d.dialName(context.Background(), "both.test", uint16(port)); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("silent name server: %v after %v", err, time.Since(began))
	}
}

// listenSilently makes an address whose queue of connections is full, so that the
// kernel drops more of them.
func listenSilently(t *testing.T, addr string) (string, int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: netip.MustParseAddr(addr).As4()}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	sa, _ := syscall.Getsockname(fd)
	port := sa.(*syscall.SockaddrInet4).Port
	for range 8 {
		c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, strconv.Itoa(port)), 200*time.Millisecond)
		if err != nil {
			return addr, port
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue does not fill")
	return "", 0
}
