package egress

import (
	"fmt"
	"os"
	"runtime"

	"github.com/mcpbox/mcpbox/integration/netns"
	"golang.org/x/sys/unix"
)

// Addresses of the host and of the machine that is the whole world to it.
const (
	hostLAN    = "192.168.77.2"
	hostPublic = "185.199.99.2" // a card with an address that everybody can reach
	hostV6     = "2a00:1450:4077::2"
	hostRouted = "185.199.98.7" // no card's, but the host's by a route
	gateway    = "192.168.77.1"
	gatewayV6  = "2a00:1450:4077::1"
	publicV6   = "2001:4860:4860::8888" // a name server that programs know by heart
)

// The host reaches everything by way of the world, and the world has every
// address: only the cable's own network is not local there. An IPv6 address that
// a socket is bound to has to be assigned, too.
const (
	hostSide = `link set lo up
addr add ` + hostLAN + `/24 dev h0
addr add ` + hostPublic + `/32 dev h0
addr add ` + hostV6 + `/64 dev h0 nodad
link set h0 up
route add local ` + hostRouted + `/32 dev lo
route add default via ` + gateway + `
route add default via ` + gatewayV6 + "\n"
	worldSide = `link set lo up
addr add ` + publicV6 + `/128 dev lo nodad
addr add ` + gateway + `/24 dev w0
addr add ` + gatewayV6 + `/64 dev w0 nodad
link set w0 up
route add local 0.0.0.0/0 dev lo table main
route add local ::/0 dev lo table main
`
)

// errand is something to do in the world's namespace.
type errand struct {
	do   func() error
	done chan error
}

// wire makes the world's network namespace and the cable to this one.
func (w *world) wire() error {
	w.errands = make(chan errand)
	thread := make(chan int)
	born := make(chan error, 1)
	go func() {
		// The thread is never unlocked, so that it goes with the namespace.
		runtime.LockOSThread()
		born <- unix.Unshare(unix.CLONE_NEWNET)
		thread <- unix.Gettid()
		for e := range w.errands {
			e.done <- e.do()
		}
	}()
	tid := <-thread
	if err := <-born; err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	cable := fmt.Sprintf("link add h0 type veth peer name w0\nlink set w0 netns /proc/%d/task/%d/ns/net\n", os.Getpid(), tid)
	if err := netns.IP(cable + hostSide); err != nil {
		return err
	}
	// Everybody may ping, for the control of those who must not.
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(pingers()), 0); err != nil {
		return err
	}
	return w.away(func() error { return netns.IP(worldSide) })
}

// pingers is a range of group ids that this user namespace knows.
func pingers() string {
	if os.Getuid() == 0 {
		return "0 2147483647"
	}
	return fmt.Sprintf("%d %d", os.Getgid(), os.Getgid())
}

// away does something in the world's network namespace. Sockets that it opens
// and processes that it starts stay there; goroutines do not.
func (w *world) away(do func() error) error {
	e := errand{do, make(chan error, 1)}
	w.errands <- e
	return <-e.done
}

// The files by which the host resolves names. Only they, and no cache or
// daemon of the real machine, may answer.
var resolution = map[string]string{
	"/etc/resolv.conf":   "nameserver " + nameServer + "\n",
	"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
	"/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n" + hostLAN + " thishost\n" +
		addressHosted + " hosted.example.org\n" + addressGood + " shadowed.example.com\n" +
		"127.0.0.1 blocked.example.com\n",
}

// furnish gives the host its files, in this mount namespace, which goes.
func (w *world) furnish() error {
	_, err := netns.Furnish(w.dir, resolution)
	return err
}
