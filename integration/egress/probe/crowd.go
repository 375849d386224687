package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// many holds connections and prints how many of them echo.
func many(args []string) (string, error) {
	if len(args) != 2 {
		return "", errUsage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return "", err
	}
	conns := make([]net.Conn, n)
	var all sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range conns {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			c, err := connect("tcp", args[0])
			if err != nil {
				return
			}
			if bounce(c) != nil {
				c.Close()
				return
			}
			conns[i] = c
		})
	}
	all.Wait()
	echoed := 0
	for _, c := range conns {
		if c != nil && bounce(c) == nil {
			echoed++
		}
	}
	for _, c := range conns {
		if c != nil {
			c.Close()
		}
	}
	time.Sleep(200 * time.Millisecond)
	after, _ := say([]string{"tcp", args[0], "after"})
	return fmt.Sprintf("%d %s", echoed, after), nil
}

// bounce says a byte and waits for it.
func bounce(c net.Conn) error {
	if _, err := c.Write([]byte{'x'}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// flood begins connections without waiting for any, 500 at a time, and then says
// whether an honest one still works.
func flood(args []string) (string, error) {
	if len(args) != 2 {
		return "", errUsage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return "", err
	}
	at, err := net.ResolveTCPAddr("tcp4", args[0])
	if err != nil {
		return name(err), nil
	}
	to := &unix.SockaddrInet4{Port: at.Port, Addr: at.AddrPort().Addr().Unmap().As4()}
	begun := 0
	ring := make([]int, 500)
	for i := range n {
		slot := &ring[i%len(ring)]
		if *slot > 0 {
			_ = unix.Close(*slot)
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return name(err), nil
		}
		*slot = fd
		if err := unix.Connect(fd, to); err == nil || err == unix.EINPROGRESS {
			begun++
		}
	}
	for _, fd := range ring {
		if fd > 0 {
			_ = unix.Close(fd)
		}
	}
	after := ""
	for range 20 { // the backlog empties
		time.Sleep(100 * time.Millisecond)
		if after, _ = say([]string{"tcp", args[0], "after"}); after == "after" {
			break
		}
	}
	return fmt.Sprintf("%d %s", begun, after), nil
}

// scan connects to N addresses, one after the other.
func scan(args []string) (string, error) {
	if len(args) != 1 {
		return "", errUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return "", err
	}
	refused := 0
	for i := range n {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return name(err), nil
		}
		to := &unix.SockaddrInet4{Port: 443, Addr: [4]byte{45, byte(i >> 16), byte(i >> 8), byte(i)}}
		if unix.Connect(fd, to) == unix.ECONNREFUSED {
			refused++
		}
		_ = unix.Close(fd)
	}
	return fmt.Sprintf("%d refused", refused), nil
}

// squat binds one port of 64 addresses from PREFIX on, which every process may
// where all addresses are local, and then looks up and connects to ADDRESS.
func squat(args []string) (string, error) {
	if len(args) != 2 {
		return "", errUsage
	}
	_, port, err := net.SplitHostPort(args[0])
	if err != nil {
		return "", err
	}
	a, err := netip.ParseAddr(args[1])
	if err != nil {
		return "", err
	}
	for range 64 {
		if l, err := net.Listen("tcp4", net.JoinHostPort(a.String(), port)); err == nil {
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					fmt.Fprintln(c, "squatter")
					c.Close()
				}
			}()
		}
		a = a.Next()
	}
	return say([]string{"tcp", args[0], "hello"})
}

// serve echoes until the standard input ends.
func serve(args []string) (string, error) {
	if len(args) != 1 {
		return "", errUsage
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return name(err), nil
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	_, port, _ := strings.Cut(l.Addr().String(), "]:")
	if port == "" {
		_, port, _ = strings.Cut(l.Addr().String(), ":")
	}
	if within, _ := say([]string{"tcp", "127.0.0.1:" + port, "within"}); within != "within" {
		return "not even from within: " + within, nil
	}
	fmt.Println(port)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return "ended", nil
}

// hold stays connected until the other side or the standard input ends.
func hold(args []string) (string, error) {
	if len(args) != 1 {
		return "", errUsage
	}
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return name(err), nil
	}
	if _, err := c.Write([]byte("held")); err != nil {
		return name(err), nil
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		return name(err), nil
	}
	fmt.Println("held")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		c.Close()
	}()
	_, err = c.Read(make([]byte, 1))
	return name(err), nil
}
