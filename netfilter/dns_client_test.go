package netfilter

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// The resolver of Go understands the replies at once, without asking again.
func TestAnswerToGoResolver(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	asked := make(chan string, 100)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			reply, ok := answer(buf[:n], func(name string, qtype dnsmessage.Type) (netip.Addr, dnsVerdict) {
				asked <- name + " " + qtype.String()
				if name == "good.test" {
					return virtual, dnsFound
				}
				return netip.Addr{}, dnsUnknown
			})
			if ok {
				_, _ = server.WriteTo(reply, from)
			}
		}
	}()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second) // less than a resolver waits for a reply
	defer cancel()

	addrs, err := r.LookupNetIP(ctx, "ip", "Good.test.")
	if err != nil || len(addrs) != 1 || addrs[0].Unmap() != virtual {
		t.Errorf("good.test: %v, %v", addrs, err)
	}
	for what, lookup := range map[string]func() error{
		"A of an unknown name":   func() error { _, err := r.LookupNetIP(ctx, "ip4", "evil.test."); return err },
		"AAAA of a known name":   func() error { _, err := r.LookupNetIP(ctx, "ip6", "good.test."); return err },
		"TXT of a known name":    func() error { _, err := r.LookupTXT(ctx, "good.test."); return err },
		"SRV of a known name":    func() error { _, _, err := r.LookupSRV(ctx, "", "", "good.test."); return err },
		"name of a real address": func() error { _, err := r.LookupAddr(ctx, "192.0.2.1"); return err },
	} {
		var d *net.DNSError
		if err := lookup(); !errors.As(err, &d) || !d.IsNotFound || d.IsTimeout {
			t.Errorf("%s: %v", what, err)
		}
	}
	// A and AAAA of the first, one each of the others.
	if len(asked) != 7 {
		t.Errorf("%d questions", len(asked))
	}
}
