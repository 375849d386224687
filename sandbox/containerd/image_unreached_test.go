package containerd

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestCommandOfAnybody: no registry writes into a command that people are told to type,
// whatever it calls the host to which it sends them.
func TestCommandOfAnybody(t *testing.T) {
	var to string
	registry := listenAt(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	proxy := listenAt(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for _, x := range []struct {
		to     string
		proxy  string
		want   string
		curled bool
	}{
		// The control: ordinary hosts are named, also in the command.
		{"http://[::1]:1/x", "", "sends us to [::1]:1, which cannot be reached: nobody listens there (connection refused); to see what it answers, type: curl -I http://[::1]:1/v2/; then", true},
		{"https://cdn_1.example-2.com:8443/x", proxy, "sends us to cdn_1.example-2.com:8443, which cannot be reached", true},

		{"https://a;touch$IFS$9PWNED;.example.com/x", proxy, `sends us to "a;touch$IFS$9PWNED;.example.com", which cannot be reached`, false},
		{"https://a$(touch<PWNED).example.com/x", proxy, `sends us to "a$(touch<PWNED).example.com", which`, false},
		{"https://a&b.example.com/x", proxy, `sends us to "a&b.example.com", which`, false},
		{"https://%e2%80%ae.example.com/x", proxy, `sends us to "\u202e.example.com", which`, false},
		{"http://a;touch$IFS$9PWNED;.invalid/x", "", `"a;touch$IFS$9PWNED;.invalid"`, false},
		{"http://[::1%25a;touch%20PWNED;]:1/x", "", "is not asked: ", false},
		{"https://[2606:4700::1%25a;touch%20PWNED;]/x", proxy, "is not asked: ", false},
	} {
		r := newRegistry(registry, nil)
		if x.proxy != "" {
			r.hosts.other.Proxy = func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: x.proxy}, nil }
			r.hosts.proxies[x.proxy] = true
		}
		to = x.to
		resp, err := r.get(t.Context(), "/v2/")
		if err == nil {
			resp.Body.Close()
			t.Fatalf("%s: reached", x.to)
		}
		text := r.explain(t.Context(), registry+"/x:1", err).Error()
		t.Log(text)
		has(t, text, x.want)
		if got := strings.Contains(text, "curl -I"); got != x.curled {
			t.Errorf("%s: names a command: %t", x.to, got)
		}
		for _, command := range strings.Split(text, "type: ")[1:] {
			if strings.Contains(command, "PWNED") {
				t.Errorf("%s: to be typed: %s", x.to, command)
			}
		}
	}
}

// TestLook: what a host's name may have, so that it is in a command.
func TestLook(t *testing.T) {
	r := newRegistry("registry.example", nil)
	for host, named := range map[string]bool{
		"registry.example": true, "Registry.example:5000": true, "[2606:4700::1]:443": true, "a_b-c": true,
		"": false, "a;b": false, "a$(b)": false, "a`b`": false, "a&b": false, "a|b": false, "a<b": false, "a'b": false, `a"b`: false, "a b": false, "a\nb": false,
		"[fe80::1%eth0]": false, "é.example": false, "a/b": false, "a{b,c}": false, "a*": false, "a!b": false, `a\b`: false, "~a": false, "a#b": false,
	} {
		if got := r.look(host); strings.Contains(got, "type: ") != named || named != strings.Contains(got, "curl -I https://"+host+"/v2/") {
			t.Errorf("%q: %s", host, got)
		}
	}
}

// TestNamesInCertificate: what a registry writes into its certificate, of whatever
// authority, does not pass for words of ours.
func TestNamesInCertificate(t *testing.T) {
	const words = "nothing. To mend it, type: sudo PWNED"
	for _, x := range []struct{ name, want string }{
		{words, " has a certificate that does not hold: \"x509: certificate is valid for " + words + ", not localhost\"; look at the name"},
		{"localhost", " has a certificate of an authority that this machine does not know"}, // the control
	} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{x.name},
		}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
		s.StartTLS()
		defer s.Close()
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		r := newRegistry("localhost:"+port, nil)
		r.hosts.plain = false
		resp, err := r.get(t.Context(), "/v2/")
		if err == nil {
			resp.Body.Close()
			t.Fatal("reached")
		}
		has(t, r.explain(t.Context(), r.name+"/x:1", err).Error(), r.name+x.want)
	}
}
