package main

import (
	"fmt"
	"io"
	"net"
	"os/exec"
)

// downloadBytes is the size of a download.
const downloadBytes = 3 << 30

// origin is the world that the boxes connect to: two services of this machine,
// in a process of their own.
type origin struct {
	process *exec.Cmd
	stdin   io.Closer

	sender, greeter int // ports of 127.0.0.1
}

func (b *bench) startOrigin() (*origin, error) {
	o := &origin{process: exec.Command(b.self, "-origin")}
	o.process.SysProcAttr = ownSession()
	var err error
	if o.stdin, err = o.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := o.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := o.process.Start(); err != nil {
		return nil, err
	}
	if _, err := fmt.Fscan(out, &o.sender, &o.greeter); err != nil {
		return nil, fmt.Errorf("the services to connect to: %w", err)
	}
	return o, nil
}

func (o *origin) close() error {
	if err := o.stdin.Close(); err != nil {
		return err
	}
	return done(o.process)
}

// serveOrigin is that process. It prints its ports, and ends with its input.
func serveOrigin(in io.Reader, out io.Writer) error {
	var ports []any
	for _, each := range []func(net.Conn){send, greet} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
		go serve(l, each)
	}
	if _, err := fmt.Fprintln(out, ports...); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
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
	block := make([]byte, blockSize)
	for range downloadBytes / len(block) {
		if _, err := c.Write(block); err != nil {
			return
		}
	}
}

// blockSize is how much sender and receiver ask for at once. Much more would not
// stay in a processor's cache, and all that is measured would wait for memory.
const blockSize = 256 << 10

// greet speaks first, one byte, and then repeats what it is told.
func greet(c net.Conn) {
	if _, err := c.Write([]byte{'.'}); err != nil {
		return
	}
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
