package egress

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
)

// recorder is a listener that writes down what its connections say.
type recorder struct {
	net.Listener
	watch *watch
}

func (l *recorder) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.watch.mu.Lock()
	l.watch.open++
	l.watch.mu.Unlock()
	return &recorded{Conn: c, watch: l.watch, talk: l.watch.hear()}, nil
}

// recorded hides what its connection can do besides reading, such as writing
// itself to a file, which nobody would see.
type recorded struct {
	net.Conn
	watch *watch
	talk  *bytes.Buffer
	once  sync.Once
	first sync.Once
}

func (c *recorded) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.first.Do(func() { c.watch.note("bytes " + c.here()) })
		c.watch.said(c.talk, b[:n])
	}
	return n, err
}

// here is the address that the client has called.
func (c *recorded) here() string {
	a := c.LocalAddr().(*net.TCPAddr).AddrPort()
	return called(a.Addr(), a.Port())
}

func (c *recorded) Close() error {
	c.once.Do(func() {
		c.watch.mu.Lock()
		c.watch.open--
		c.watch.mu.Unlock()
	})
	return c.Conn.Close()
}

func (c *recorded) CloseWrite() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// each serves connections one by one.
func each(serve func(*recorded)) func(net.Listener) {
	return func(l net.Listener) {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			go func() {
				defer c.Close()
				serve(c.(*recorded))
			}()
		}
	}
}

// echo says what it hears, and ends when that has ended.
func echo(l net.Listener) {
	each(func(c *recorded) {
		_, _ = io.Copy(struct{ io.Writer }{c}, c)
		_ = c.CloseWrite()
	})(l)
}

// banner speaks first, as SSH and SMTP do, and listens afterwards.
func banner(l net.Listener) {
	each(func(c *recorded) {
		_, _ = io.WriteString(c, "welcome\r\n")
		_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
	})(l)
}

// abort resets a connection as soon as it has said something.
func abort(l net.Listener) {
	each(func(c *recorded) {
		_, _ = c.Read(make([]byte, 1))
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
	})(l)
}

// udpEcho answers each datagram with itself. The taps write them down.
func udpEcho(addresses ...string) error {
	for _, a := range addresses {
		// One socket for each address that answers, so that answers come from
		// where the question went.
		for _, host := range []string{addressGood, addressEvil} {
			c, err := net.ListenPacket("udp", host+a)
			if err != nil {
				return err
			}
			go func() {
				for b := make([]byte, 2048); ; {
					n, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(b[:n], from)
				}
			}()
		}
	}
	return nil
}
