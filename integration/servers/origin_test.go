package servers

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/netns"
	"github.com/mcpbox/mcpbox/integration/setup"
)

// origin is the whole internet, for as long as a test lasts: each address is
// local, and each of its names has one. It writes down who was called.
type origin struct {
	pem []byte // the certificate, for those who shall trust it

	names map[string]string // by address

	mu     sync.Mutex
	opened map[string]int  // connections to "name:port", or "address:port"
	spoken map[string]bool // the same, by the name that the caller said
}

// newOrigin opens one with these names.
func newOrigin(t *testing.T, names []string) *origin {
	t.Helper()
	o := &origin{names: map[string]string{}}
	o.forget()
	hosts := "127.0.0.1 localhost\n"
	for i, name := range names {
		address := fmt.Sprintf("93.184.215.%d", 10+i)
		o.names[address] = name
		hosts += fmt.Sprintf("%s %s %s.\n", address, name, name) // glibc looks for what was asked, dot and all
	}
	dir := setup.Scratch(t, "mcpbox-servers-")
	undo, err := netns.Furnish(dir, map[string]string{
		"/etc/hosts":         hosts,
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"/etc/resolv.conf":   "nameserver 127.0.0.1\n",
	})
	t.Cleanup(func() {
		if err := undo(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	const route = "route %s local 0.0.0.0/0 dev lo table main\n"
	if err := netns.IP(fmt.Sprintf(route, "add")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.IP(fmt.Sprintf(route, "del")); err != nil {
			t.Error(err)
		}
	})

	secure := &tls.Config{Certificates: []tls.Certificate{o.certificate(t, names)}, NextProtos: []string{"h2", "http/1.1"}}
	secure.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		o.said(hello.Conn.LocalAddr(), hello.ServerName)
		return nil, nil
	}
	web := &http.Server{Handler: o.web(), TLSConfig: secure, ErrorLog: log.New(io.Discard, "", 0)}
	t.Cleanup(func() { web.Close() })
	o.listen(t, ":443", func(l net.Listener) { _ = web.ServeTLS(l, "", "") })
	for _, port := range []string{":80", ":4318"} {
		o.listen(t, port, func(l net.Listener) { _ = web.Serve(l) })
	}
	o.listen(t, ":6379", o.redis)
	return o
}

// certificate is one for every name, which signs itself.
func (o *origin) certificate(t *testing.T, names []string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	o.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// addresses are rules for the addresses that destinations lead to. A name alone
// leads nowhere here: to mcpbox, all that is local is this machine's own.
func (o *origin) addresses(destinations []string) (rules []string) {
	for address, name := range o.names {
		for _, at := range destinations {
			if host, port := apart(at); host == name {
				rules = append(rules, fmt.Sprintf("%s:%d", address, port))
			}
		}
	}
	slices.Sort(rules)
	return rules
}

// listen has serve serve a port of every address.
func (o *origin) listen(t *testing.T, port string, serve func(net.Listener)) {
	t.Helper()
	l, err := net.Listen("tcp4", port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go serve(counting{l, o})
}

type counting struct {
	net.Listener
	o *origin
}

func (l counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.o.mu.Lock()
		defer l.o.mu.Unlock()
		l.o.opened[l.o.called(c.LocalAddr(), "")]++
	}
	return c, err
}

// called is what a connection's address stands for; name is what the caller
// said, if anything.
func (o *origin) called(at net.Addr, name string) string {
	host, port, _ := net.SplitHostPort(at.String())
	known := host
	if o.names[host] != "" {
		known = o.names[host]
	}
	if name = strings.TrimSuffix(name, "."); name != "" && name != known && name != "localhost" {
		known = name + " at " + known
	}
	return known + ":" + port
}

func (o *origin) said(at net.Addr, name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spoken[o.called(at, name)] = true
}

func (o *origin) forget() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opened, o.spoken = map[string]int{}, map[string]bool{}
}

// heard is who was called since forget: by a connection, and by its first bytes.
func (o *origin) heard() (opened, spoken []string, connections int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range o.opened {
		connections += n
	}
	return slices.Sorted(maps.Keys(o.opened)), slices.Sorted(maps.Keys(o.spoken)), connections
}

// redis answers the few commands of a client that connects and sets a value.
func (o *origin) redis(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for in := bufio.NewScanner(c); in.Scan(); {
				o.said(c.LocalAddr(), "")
				// RESP: an array's length, then length and text of each word.
				count, words := 0, []string{}
				fmt.Sscanf(in.Text(), "*%d", &count)
				for range count {
					in.Scan()
					in.Scan()
					words = append(words, strings.ToUpper(in.Text()))
				}
				answer := "+OK\r\n"
				if len(words) > 0 && words[0] == "GET" {
					answer = fmt.Sprintf("$%d\r\n%s\r\n", len(greeting), greeting)
				}
				if _, err := io.WriteString(c, answer); err != nil {
					return
				}
			}
		}()
	}
}
