package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
)

// hosts asks a registry, and whoever that sends us to: with redirects for content, and
// for tokens with the realm of a challenge (RFC 6750). A registry may be anybody's. It
// must not have this machine ask for it what only this machine can reach, nor send a
// password in the clear. It is an [http.RoundTripper].
type hosts struct {
	registry   string // its host and port
	plain      bool   // without TLS, as it is this machine's
	own, other *http.Transport
	nearness   func(netip.Addr) int // is near

	mu      sync.Mutex
	level   int             // how near the registry is, as far as is known
	proxies map[string]bool // the user's, by host and port
}

// How near a host is.
const (
	unknown     = -1 // what a proxy asks for us
	everybody   = iota - 1
	network     // this machine's network
	thisMachine // its loopback interface
	special     // what is of use to this machine alone, such as metadata of a cloud
)

func newHosts(registry string) *hosts {
	h := &hosts{registry: registry, nearness: near, level: unknown, proxies: map[string]bool{}}
	h.plain, _ = docker.MatchLocalhost(registry)
	transport := func(control func(netip.Addr) error) *http.Transport {
		t := &http.Transport{ForceAttemptHTTP2: true, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second, Proxy: h.proxy}
		t.DialContext = func(ctx context.Context, kind, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: 30 * time.Second}
			if !h.isProxy(address) {
				// The address that it comes to, whatever its name was before.
				d.Control = func(_, at string, _ syscall.RawConn) error {
					a, err := netip.ParseAddrPort(at)
					if err != nil {
						return err
					}
					return control(a.Addr())
				}
			}
			return d.DialContext(ctx, kind, address)
		}
		return t
	}
	h.own, h.other = transport(h.learn), transport(h.check)
	return h
}

// RoundTrip implements [http.RoundTripper].
func (h *hosts) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := h.refuse(req.URL); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	if req.URL.Host == h.registry {
		return h.own.RoundTrip(req)
	}
	return h.other.RoundTrip(req)
}

// refuse says what is not asked, as far as the address shows it.
func (h *hosts) refuse(u *url.URL) error {
	host := u.Hostname()
	switch a, err := netip.ParseAddr(host); {
	case u.Scheme != "https" && !h.plain: // the registry itself neither
		return notAskedError(fmt.Sprintf("the registry %s sends us to %s, which is not asked without TLS", h.registry, shownHost(u.Host)))
	case strings.Contains(host, "%"):
		return notAskedError(fmt.Sprintf("the registry %s sends us to %s, which has a zone, as addresses have that are this machine's alone", h.registry, shownHost(u.Host)))
	case err == nil && u.Host != h.registry:
		return h.check(a) // also where a proxy asks for us
	}
	return nil
}

// learn takes note of where the registry is. Where it is in several places, it is as
// far as the farthest.
func (h *hosts) learn(a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.nearness(a); h.level == unknown || n < h.level {
		h.level = n
	}
	return nil
}

// check refuses what is nearer than the registry.
func (h *hosts) check(a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nearness(a) > max(h.level, everybody) {
		return notAskedError(fmt.Sprintf("the registry %s sends us to %s, which is nearer to this machine than itself, and not asked", h.registry, a))
	}
	return nil
}

// proxy is the user's, for a request, if there is one.
func (h *hosts) proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if u == nil || err != nil {
		return u, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.proxies[net.JoinHostPort(u.Hostname(), port)] = true
	return u, nil
}

func (h *hosts) isProxy(address string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.proxies[address]
}

// near says how near an address is.
func near(a netip.Addr) int {
	a = a.Unmap().WithZone("") // no prefix has a zone in it
	// NAT64: whom this stands for is who counts (RFC 6052).
	if b := a.As16(); a.Is6() && netip.MustParsePrefix("64:ff9b::/96").Contains(a) {
		return near(netip.AddrFrom4([4]byte(b[12:])))
	}
	for _, p := range []string{"0.0.0.0/8", "192.0.0.0/24", "168.63.129.16/32", "240.0.0.0/4", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10"} {
		if netip.MustParsePrefix(p).Contains(a) {
			return special
		}
	}
	switch {
	case a.IsLoopback():
		return thisMachine
	case a.IsPrivate(), netip.MustParsePrefix("100.64.0.0/10").Contains(a):
		return network
	case a.IsGlobalUnicast():
		return everybody
	}
	return special
}

// maxToken is more than tokens have.
const maxToken = 1 << 20

// tokens asks for tokens, and bounds the answers, which are read into memory.
type tokens struct{ http.RoundTripper }

func (t tokens) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, maxToken}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer for a token has no end")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
