package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/mcpbox/mcpbox/integration/ctr"
)

// world is everything around the host, and what is heard of it.
type world struct {
	dir     string // programs and certificates; everybody may read it
	errands chan errand
	watch   *watch
	ca      *authority
	zone    *zone
	keeper  account         // who runs the databases: they refuse root
	started map[string]bool // databases
	// containerd is there once a test has asked for a container, with an image of the
	// clients.
	containerd *ctr.Daemon
	image      string
	closing    []func() error
}

// Addresses in the world that have a name in the reports. All others answer too.
const (
	addressGood   = "93.184.215.14"
	addressOther  = "93.184.215.15"
	addressCDN    = "151.101.1.6"
	addressDB     = "93.184.215.20"
	addressHosted = "93.184.215.30"
	addressEvil   = "66.66.66.66"
	addressSix    = "2606:2800:220:1::6"
	addressProxy  = "10.99.0.1"
	nameServer    = "9.9.9.9"
)

var book = map[netip.Addr]string{
	netip.MustParseAddr(addressGood):   "good",
	netip.MustParseAddr(addressOther):  "other",
	netip.MustParseAddr(addressCDN):    "cdn",
	netip.MustParseAddr(addressDB):     "db",
	netip.MustParseAddr(addressHosted): "hosted",
	netip.MustParseAddr(addressEvil):   "evil",
	netip.MustParseAddr(addressSix):    "six",
	netip.MustParseAddr(addressProxy):  "proxy",
	netip.MustParseAddr(hostLAN):       "lan",
	netip.MustParseAddr(hostPublic):    "card",
	netip.MustParseAddr(hostV6):        "card6",
}

// called is how reports call an address.
func called(a netip.Addr, port uint16) string {
	a = a.Unmap()
	if name := book[a]; name != "" {
		return fmt.Sprintf("%s:%d", name, port)
	}
	return netip.AddrPortFrom(a, port).String()
}

// newWorld makes the world around this process, whose namespaces are fresh.
// There is something to close also when it fails.
func newWorld(dir string) (*world, error) {
	w := &world{dir: dir, watch: newWatch(), zone: newZone(), keeper: keeper(), started: map[string]bool{}}
	for _, step := range []func() error{w.furnish, w.wire, w.listenIn, w.certify, w.repository, w.populate, w.settle} {
		if err := step(); err != nil {
			return w, err
		}
	}
	return w, nil
}

// close ends what the world started.
func (w *world) close() error {
	var errs []error
	for _, c := range w.closing {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// listenIn begins to watch the cable and the host's loopback.
func (w *world) listenIn() error {
	if err := w.watch.tap("lo"); err != nil {
		return err
	}
	return w.away(func() error { return w.watch.tap("w0") })
}

// populate opens the services of the world, and those of the host that a box
// must not find.
func (w *world) populate() error {
	services := []service{
		{":80", w.serveHTTP}, {":8080", w.serveHTTP}, {":443", w.serveTLS}, {":8443", w.serveTLS}, {":853", echo}, {":22", banner},
		{":25", banner}, {":7", echo}, {":7000", echo}, {":7002", abort},
		{addressGood + ":7777", echo}, {addressEvil + ":53", echo}, {"10.20.30.40:7001", echo}, {addressProxy + ":3128", w.serveProxy},
	}
	if err := w.away(func() error { return w.open(services) }); err != nil {
		return err
	}
	if err := w.away(w.serveNames); err != nil {
		return err
	}
	if err := w.away(func() error { return udpEcho(":443", ":123", ":5353", ":7", ":53") }); err != nil {
		return err
	}
	// One that only the host itself should reach, one for its network, one for
	// everybody.
	return w.open([]service{
		{"127.0.0.1:8001", echo}, {"[::1]:8001", echo}, {"127.0.0.1:80", w.serveHTTP},
		{hostLAN + ":8002", echo}, {":8003", echo},
		{hostLAN + ":80", w.serveHTTP}, {hostPublic + ":80", w.serveHTTP}, {hostRouted + ":80", w.serveHTTP}, {"[" + hostV6 + "]:80", w.serveHTTP}, {"[::1]:80", w.serveHTTP},
	})
}

// service is a listener and what happens to its connections.
type service struct {
	address string
	serve   func(net.Listener)
}

// open starts services in the calling thread's network namespace.
func (w *world) open(list []service) error {
	for _, s := range list {
		l, err := net.Listen("tcp", s.address)
		if err != nil {
			return err
		}
		go s.serve(&recorder{l, w.watch})
	}
	return nil
}

// file is the path of a file that clients may read.
func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// write makes a file that clients may read.
func (w *world) write(name string, b []byte) error {
	return os.WriteFile(w.file(name), b, 0o644)
}

// own makes a directory of the keeper's.
func (w *world) own(name string) string {
	dir := w.file(name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		panic(err)
	}
	if w.keeper.uid >= 0 {
		if err := os.Chown(dir, w.keeper.uid, w.keeper.uid); err != nil {
			panic(err)
		}
	}
	return dir
}
