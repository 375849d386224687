package main

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// greeting is what the host's listeners say, and a refused server never hears.
const greeting = "the host's network is reachable"

// publicAddress is one that the internet's registries keep for documentation,
// so that even a box with a hole would disturb nobody.
const publicAddress = "203.0.113.1"

// network has evil.mjs connect to listeners of this program on every kind of
// address that the host has, and to an address of the internet. Outside the box
// the latter is left out: the demonstration sends nothing into the network, and
// an address of the host proves the same.
func (d *demo) network() error {
	var heard atomic.Int64
	targets, err := listen(&heard)
	if err != nil {
		return err
	}

	s, err := d.bare(d.node, d.evil)
	if err != nil {
		return err
	}
	for _, at := range targets {
		text, done := s.call("phone_home", at.arguments())
		d.check(done && text == greeting, "bare", fmt.Sprintf("connects to %s: %q", at, text))
	}
	s.close()
	d.check(heard.Load() == int64(len(targets)), "bare", fmt.Sprintf("the host's listeners heard %d connections", heard.Load()))

	s, err = d.boxed([]string{"--name", "evil", "--ro", filepath.Dir(d.evil)}, d.node, d.evil)
	if err != nil {
		return err
	}
	heard.Store(0)
	targets = append(targets, target{publicAddress, 443})
	for _, at := range targets {
		text, done := s.call("phone_home", at.arguments())
		// The server's own words: it tried.
		d.check(!done && strings.HasPrefix(text, "connect ECONNREFUSED"), "box", fmt.Sprintf("cannot connect to %s: %s", at, text))
	}
	d.check(heard.Load() == 0, "box", fmt.Sprintf("the host's listeners heard %d connections", heard.Load()))
	s.close()
	told := s.refusals()
	all := !slices.ContainsFunc(targets, func(at target) bool { return !strings.Contains(told, " --egress "+at.String()) })
	d.check(all, "box", "says so: "+told)
	return nil
}

type target struct {
	host string
	port int
}

func (t target) String() string { return net.JoinHostPort(t.host, fmt.Sprint(t.port)) }

func (t target) arguments() map[string]any { return map[string]any{"host": t.host, "port": t.port} }

// listen greets whoever connects to the host's loopback address, and to its
// first other address where it has one, and counts them.
func listen(heard *atomic.Int64) ([]target, error) {
	hosts := []string{"127.0.0.1"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			hosts = append(hosts, n.IP.String())
			break
		}
	}
	var targets []target
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				heard.Add(1)
				fmt.Fprintln(conn, greeting)
				conn.Close()
			}
		}()
		targets = append(targets, target{host, l.Addr().(*net.TCPAddr).Port})
	}
	return targets, nil
}
