package escape

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// hearsay is what the host's listeners heard. From a box they hear nothing.
type hearsay struct {
	mu   sync.Mutex
	said []string
}

func (h *hearsay) heard(where string, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, fmt.Sprintf("%s: %q", where, b))
}

// all returns what was heard so far.
func (h *hearsay) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.said...)
}

// listen opens every kind of listener of the host, but those that come late.
func (w *world) listen() {
	for _, name := range []string{"project", "docs"} {
		w.stream("unix", w.In(name+"/host.sock"))
		w.packet("unixgram", w.In(name+"/host.dgram"))
		w.fifo(w.In(name + "/host.fifo"))
	}
	w.stream("unixpacket", w.In("project/host.seq"))
	w.Abstract, w.AbstractDgram = w.Token+"-stream", w.Token+"-dgram"
	w.stream("unix", "@"+w.Abstract)
	w.packet("unixgram", "@"+w.AbstractDgram)
	w.TCPLoopback = w.stream("tcp", "127.0.0.1:0")
	w.UDPLoopback = w.packet("udp", "127.0.0.1:0")
	if ip := lanAddress(false); ip != "" {
		w.TCPLAN = w.stream("tcp", net.JoinHostPort(ip, "0"))
		w.UDPLAN = w.packet("udp", net.JoinHostPort(ip, "0"))
	}
	if ip := lanAddress(true); ip != "" {
		w.TCPLAN6 = w.stream("tcp", net.JoinHostPort(ip, "0"))
	}
}

// listenLate opens the listeners that appear when the box already runs.
func (w *world) listenLate() {
	w.stream("unix", w.In("project/late.sock"))
	w.packet("unixgram", w.In("project/late.dgram"))
}

func (w *world) stream(network, address string) string {
	l, err := net.Listen(network, address)
	w.must(err)
	w.open(network, address)
	w.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.log.heard(network+" "+address, []byte("connected"))
			go func() {
				defer c.Close()
				b := make([]byte, 64)
				if n, _ := c.Read(b); n > 0 {
					w.log.heard(network+" "+address, b[:n])
				}
			}()
		}
	}()
	return l.Addr().String()
}

func (w *world) packet(network, address string) string {
	c, err := net.ListenPacket(network, address)
	w.must(err)
	w.open(network, address)
	w.t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			n, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			w.log.heard(network+" "+address, b[:n])
		}
	}()
	return c.LocalAddr().String()
}

// open lets everybody connect to a socket that has a path.
func (w *world) open(network, address string) {
	if strings.HasPrefix(network, "unix") && !strings.HasPrefix(address, "@") {
		w.must(os.Chmod(address, 0o666))
	}
}

// fifo makes a FIFO and reads it.
func (w *world) fifo(path string) {
	w.must(unix.Mkfifo(path, 0o600))
	w.must(os.Chown(path, w.uid, w.uid))
	f, err := os.OpenFile(path, os.O_RDWR, 0) // as a writer too, so that it stays open
	w.must(err)
	w.t.Cleanup(func() { _ = f.Close() })
	go func() {
		b := make([]byte, 64)
		for {
			n, err := f.Read(b)
			if err != nil {
				return
			}
			w.log.heard("fifo "+path, bytes.Clone(b[:n]))
		}
	}()
}

// lanAddress returns an address of a network interface that is not lo, or "".
func lanAddress(six bool) string {
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		ip, ok := a.(*net.IPNet)
		if ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() && (ip.IP.To4() == nil) == six {
			return ip.IP.String()
		}
	}
	return ""
}
