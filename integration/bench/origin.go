package main

import "net"

// downloadBytes is the size of a download.
const downloadBytes = 3 << 30

// origin is the world that the boxes connect to: two services of this machine.
type origin struct {
	sender, greeter net.Listener
}

// startOrigin listens on loopback.
func startOrigin() (*origin, error) {
	var o origin
	var err error
	if o.sender, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	if o.greeter, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		o.sender.Close()
		return nil, err
	}
	go serve(o.sender, send)
	go serve(o.greeter, greet)
	return &o, nil
}

func (o *origin) close() {
	o.sender.Close()
	o.greeter.Close()
}

func serve(l net.Listener, each func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil { // closed
			return
		}
		go func() {
			defer c.Close()
			each(c)
		}()
	}
}

// send sends a download. Who gets less of it than all says so.
func send(c net.Conn) {
	block := make([]byte, 1<<20)
	for range downloadBytes / len(block) {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// greet speaks first, one byte, and then repeats what it is told.
func greet(c net.Conn) {
	if _, err := c.Write([]byte{'.'}); err != nil {
		return
	}
	// A plain buffer: io.Copy between two sockets would splice.
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func port(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
