package netfilter

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxProxyHead bounds all heads of a proxy's reply together.
const maxProxyHead = 8 << 10

// dialProxy asks the proxy for a tunnel to target, host and port, with CONNECT
// (RFC 9110, 9.3.6). The address returned is the proxy's. Errors never hold the
// credentials.
func (d *dialer) dialProxy(ctx context.Context, target string) (*net.TCPConn, netip.AddrPort, error) {
	if strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, netip.AddrPort{}, refuse("%q cannot be written in a request", short(target))
	}
	c, at, err := d.connectProxy(ctx)
	if err != nil {
		return nil, at, fmt.Errorf("proxy %s: %w", d.proxyAddr(), err)
	}
	if err := tunnel(ctx, c, d.connectHead(target)); err != nil {
		c.Close()
		return nil, at, fmt.Errorf("proxy %s does not connect to %s: %w", d.proxyAddr(), target, err)
	}
	return c, at, nil
}

// connectProxy connects to the proxy itself, which may be anywhere, also on this
// machine: it is the user's choice, not that of a name server.
func (d *dialer) connectProxy(ctx context.Context) (*net.TCPConn, netip.AddrPort, error) {
	list, err := d.lookup(ctx, d.proxy.Host, d.proxy.Port)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return connect(ctx, list[:min(len(list), maxAttempts)], func(netip.AddrPort) error { return nil })
}

func (d *dialer) proxyAddr() string {
	return net.JoinHostPort(d.proxy.Host, strconv.Itoa(int(d.proxy.Port)))
}

// connectHead is the request; credentials are those of RFC 7617.
func (d *dialer) connectHead(target string) string {
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if d.proxy.User != "" || d.proxy.Password != "" {
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(d.proxy.User+":"+d.proxy.Password)) + "\r\n"
	}
	return head + "\r\n"
}

// tunnel sends the request and reads the reply, but not one byte behind it.
func tunnel(ctx context.Context, c *net.TCPConn, request string) error {
	// An end of ctx ends the wait; the deadline is lifted when that is over.
	expired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		c.SetDeadline(time.Unix(1, 0))
		close(expired)
	})
	err := askProxy(c, request)
	if !stop() {
		<-expired
		return fmt.Errorf("no answer in time: %w", ctx.Err())
	}
	return err
}

func askProxy(c *net.TCPConn, request string) error {
	if _, err := c.Write([]byte(request)); err != nil {
		return err
	}
	for left := maxProxyHead; ; {
		head, err := readHead(c, left)
		if err != nil {
			return err
		}
		left -= len(head)
		code, _, _ := readStatus(head)
		switch {
		case code/100 == 2:
			return nil // and no body, whatever its fields say
		case code == 407:
			return errors.New("it wants a user and a password (407); write them into the policy: [network] proxy = \"http://USER:PASSWORD@HOST:PORT\"")
		case code/100 != 1 || code == 101:
			return fmt.Errorf("it answered %q", short(firstLine(head)))
		}
	}
}

func firstLine(head []byte) string {
	line, _, _ := strings.Cut(string(head), "\r\n")
	return line
}

// readHead reads up to the end of an HTTP head and no further: what follows is
// the first word of the other side, and belongs to who uses the connection.
func readHead(c *net.TCPConn, most int) ([]byte, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	head := make([]byte, 0, most)
	for len(head) < most {
		n, perr := 0, error(nil)
		err := raw.Read(func(fd uintptr) bool {
			n, perr = peek(int(fd), head[len(head):most])
			return perr != unix.EAGAIN
		})
		switch {
		case err != nil:
			return nil, err
		case perr != nil:
			return nil, perr
		case n == 0:
			return nil, errors.New("it closed the connection without an answer")
		}
		// All that was seen belongs to the head, or some of it ends it.
		seen := head[:len(head)+n]
		_, end, err := readStatus(seen)
		switch {
		case errors.Is(err, errShort):
			end = len(seen)
		case err != nil:
			// No refusal: this is no question of rules.
			return nil, errors.New(err.Error())
		}
		if _, err := io.ReadFull(c, seen[len(head):end]); err != nil {
			return nil, err
		}
		head = seen[:end]
		if err == nil {
			return head, nil
		}
	}
	return nil, fmt.Errorf("its answer does not end within %d bytes", maxProxyHead)
}

// peek looks at what has arrived, and leaves it there.
func peek(fd int, b []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK)
		if err != unix.EINTR {
			return n, err
		}
	}
}
