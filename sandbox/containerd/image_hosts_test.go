package containerd

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// listenAt serves on an address of the loopback interface.
func listenAt(t *testing.T, address string, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(handler)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	return l.Addr().String()
}

// TestRegistrySendsElsewhere: a registry cannot have this machine ask hosts that are
// nearer to this machine than to itself, neither for a token nor for content.
func TestRegistrySendsElsewhere(t *testing.T) {
	var asked atomic.Int32
	inside := listenAt(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, `{"token": "a secret of this network"}`)
	})
	_, port, _ := net.SplitHostPort(inside)
	told := make(chan string, 100)
	for _, x := range []struct {
		name string
		send http.HandlerFunc
	}{
		{"for a token", func(w http.ResponseWriter, req *http.Request) {
			told <- req.Header.Get("Authorization")
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+inside+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}},
		{"for a token, by name", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://localhost:`+port+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}},
		{"for a manifest", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://"+inside+"/secret", http.StatusTemporaryRedirect)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			registry := listenAt(t, "127.0.0.2", x.send)
			for _, far := range []bool{true, false} {
				h := newHosts(registry)
				h.nearness = func(a netip.Addr) int {
					if far && a == netip.MustParseAddr("127.0.0.2") {
						return everybody
					}
					return network
				}
				asked.Store(0)
				resolver, _ := resolverOf(h, nil)
				_, _, err := resolve(t.Context(), resolver, registry+"/x:1", "")
				switch {
				case far && (err == nil || !strings.Contains(err.Error(), "nearer to this machine") || asked.Load() > 0):
					t.Errorf("asked %d times; %v", asked.Load(), err)
				case !far && asked.Load() == 0:
					t.Errorf("the control, where both are as near: %v", err)
				}
			}
		})
	}
	secret := false // the control has told the registry, or there was nothing to keep
	for close(told); ; {
		text, ok := <-told
		if !ok {
			break
		}
		secret = secret || strings.Contains(text, "a secret")
	}
	if !secret {
		t.Error("the control: a registry that is as near is not told the token")
	}
}

// TestRegistryInTwoPlaces: a registry that is far as well is far.
func TestRegistryInTwoPlaces(t *testing.T) {
	private := netip.MustParseAddr("10.1.2.3")
	h := newHosts("registry.example")
	for _, x := range []struct {
		at      string
		refused bool
	}{{"10.0.0.1", false}, {"93.184.216.34", true}, {"10.0.0.1", true}} {
		h.learn(netip.MustParseAddr(x.at))
		if err := h.check(private); (err != nil) != x.refused {
			t.Errorf("after %s: %v", x.at, err)
		}
	}
	if err := newHosts("registry.example").check(private); err == nil {
		t.Error("a registry of which nothing is known")
	}
}

// TestRegistryBehindProxy: a proxy of the user's, which may be near, is not asked for
// what is near either.
func TestRegistryBehindProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := listenAt(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for address, served := range map[string]bool{"10.1.2.3": false, "93.184.216.34": true} {
		h := newHosts("registry.example")
		h.plain, h.proxies[proxy] = true, true
		h.other.Proxy = func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: proxy}, nil }
		asked.Store(0)
		resp, err := (&http.Client{Transport: h}).Get("http://" + address + "/")
		if err == nil {
			resp.Body.Close()
		}
		if served != (err == nil) || served != (asked.Load() > 0) {
			t.Errorf("%s: %v, asked %d times", address, err, asked.Load())
		}
	}
}

// TestRegistryInTheClear: whoever is reached with TLS sends nobody to where there is
// none.
func TestRegistryInTheClear(t *testing.T) {
	var asked atomic.Int32
	at := listenAt(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	for _, plain := range []bool{false, true} {
		h := newHosts("registry.example")
		h.plain, h.nearness = plain, func(netip.Addr) int { return everybody }
		resp, err := (&http.Client{Transport: h}).Get("http://" + at + "/token")
		if err == nil {
			resp.Body.Close()
		}
		if plain != (err == nil) || plain != (asked.Load() > 0) {
			t.Errorf("plain %t: %v, asked %d times", plain, err, asked.Load())
		}
	}
}

// TestRegistryInTheClearItself: a registry that is reached with TLS sends nobody to itself
// without, neither for a token, where the password would be told, nor for content.
func TestRegistryInTheClearItself(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, path := range []string{"/token", "/content"} {
			var asked, told atomic.Int32
			var at string
			at = listenAt(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
				switch {
				case req.URL.Path == path:
					asked.Add(1)
					if req.PostFormValue("password") == "s3cret" {
						told.Add(1)
					}
					fmt.Fprint(w, `{"access_token": "x"}`)
				case path == "/content":
					http.Redirect(w, req, "http://"+at+path, http.StatusTemporaryRedirect)
				case req.Header.Get("Authorization") == "":
					w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+at+`/token",service="x"`)
					w.WriteHeader(http.StatusUnauthorized)
				}
			})
			r := newRegistry(at, func(string) (string, string, error) { return "ann", "s3cret", nil })
			if r.hosts.plain = plain; !plain {
				// One port speaks either with TLS or without. Here it is without, also
				// where the registry is asked with.
				own := r.hosts.own.Clone()
				own.RegisterProtocol("https", clear{r.hosts.own})
				r.hosts.own = own
			}
			resp, err := r.get(t.Context(), "/v2/")
			if err == nil {
				resp.Body.Close()
			}
			if plain != (err == nil) || plain != (asked.Load() > 0) || (plain && path == "/token") != (told.Load() > 0) {
				t.Errorf("plain %t, %s: %v, asked %d times, told %d times", plain, path, err, asked.Load(), told.Load())
			}
			if err != nil {
				has(t, r.explain(t.Context(), at+"/x:1", err).Error(), at+" is not asked: the registry "+at+" sends us to "+at+", which is not asked without TLS")
			}
		}
	}
}

// clear asks in the clear for what is to be asked with TLS.
type clear struct{ http.RoundTripper }

func (c clear) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme = "http"
	return c.RoundTripper.RoundTrip(req)
}

// TestEndlessToken: what is to be a token is not read without an end.
func TestEndlessToken(t *testing.T) {
	var registry string
	var sent atomic.Int64
	registry = listenAt(t, "127.0.0.1", func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/token" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+registry+`/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"token": "`)
		for text := []byte(strings.Repeat("x", 1<<16)); sent.Load() < 256<<20; {
			n, err := w.Write(text)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
	})
	resolver, _ := resolverOf(newHosts(registry), nil)
	_, _, err := resolve(t.Context(), resolver, registry+"/x:1", "")
	if err == nil || !strings.Contains(err.Error(), "has no end") || sent.Load() >= 256<<20 {
		t.Errorf("after %d bytes: %v", sent.Load(), err)
	}
}

func TestNear(t *testing.T) {
	for text, want := range map[string]int{
		"93.184.216.34": everybody, "2606:2800:220:1::1": everybody, "10.1.2.3": network, "192.168.0.1": network, "100.64.0.1": network, "fd00:ec2::254": network,
		"127.0.0.1": thisMachine, "::1": thisMachine, "::ffff:127.0.0.1": thisMachine, "64:ff9b::7f00:1": thisMachine, "64:ff9b::5db8:d822": everybody,
		"169.254.169.254": special, "::ffff:169.254.169.254": special, "64:ff9b::a9fe:a9fe": special, "fe80::1": special, "0.0.0.0": special, "::": special,
		"224.0.0.1": special, "255.255.255.255": special, "240.0.0.1": special, "::ffff:240.0.0.1": special, "64:ff9b::7f00:1%x": thisMachine, "2002:7f00:1::": special, "168.63.129.16": special,
	} {
		if got := near(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %d, not %d", text, got, want)
		}
	}
}
