package netfilter

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
)

// serverReads is the name that crypto/tls believes; ok is false if it refuses.
func serverReads(data []byte) (name string, ok bool) {
	stop := errors.New("enough")
	server := tls.Server(&scripted{in: bytes.NewReader(data)}, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			name, ok = h.ServerName, true
			return nil, stop
		},
	})
	_ = server.HandshakeContext(context.Background())
	return name, ok
}

// scripted is a connection that says what is in in, and hears nothing.
type scripted struct {
	net.Conn
	in io.Reader
}

func (s *scripted) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *scripted) Write(b []byte) (int, error) { return len(b), nil }
func (s *scripted) Close() error                { return nil }

func FuzzHello(f *testing.F) {
	f.Add(realHello(f, &tls.Config{ServerName: "good.test"}))
	f.Add(realHello(f, &tls.Config{ServerName: "good.test", MaxVersion: tls.VersionTLS12}))
	f.Add(realHello(f, &tls.Config{InsecureSkipVerify: true}))
	f.Add(realHello(f, &tls.Config{ServerName: "secret.test", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigs()}))
	f.Add(records(7, goodParts(sni("good.test")).message()))
	f.Add(record(goodParts(sni("good.test", "evil.test")).message()))
	f.Add(record(goodParts(sni("GOOD.test."), extension(0xfe0d, nil)).message()))
	f.Add([]byte{0x80, 0x2e, 1, 3, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseHello(data)
		checkFuzzed(t, err, len(data) >= maxHello)
		if (got.name != "") != (err == nil) {
			t.Fatalf("%+v with error %v", got, err)
		}
		if err == nil {
			if again, ok := wireName(got.name); !ok || again != got.name {
				t.Fatalf("the name %q is not canonical", got.name)
			}
			if name, ok := serverReads(data); ok && lowerASCII(name) != got.name {
				t.Fatalf("crypto/tls reads %q, we read %q", name, got.name)
			}
		}
		// What a beginning of the data decides, the whole does not change.
		if half, err2 := parseHello(data[:len(data)/2]); err2 != errShort && (half != got || (err == nil) != (err2 == nil)) {
			t.Fatalf("half of the data: %+v, %v; all of it: %+v, %v", half, err2, got, err)
		}
	})
}

// checkFuzzed fails unless err is nil, a refusal or, where more bytes may help,
// errShort.
func checkFuzzed(t *testing.T, err error, final bool) {
	t.Helper()
	if err == nil {
		return
	}
	if r, ok := err.(*refusal); ok {
		checkRefusal(t, r, r.reason)
	} else if err != errShort || final {
		t.Fatalf("error %v", err)
	}
}

// The differential part of FuzzHello compares something.
func TestServerReads(t *testing.T) {
	for _, data := range [][]byte{
		realHello(t, &tls.Config{ServerName: "good.test"}),
		records(5, realHello(t, &tls.Config{ServerName: "good.test", MaxVersion: tls.VersionTLS12})[recordHeader:]),
	} {
		name, ok := serverReads(data)
		got, err := parseHello(data)
		if !ok || name != "good.test" || err != nil || got.name != name {
			t.Errorf("crypto/tls reads %q (%v), we read %+v, %v", name, ok, got, err)
		}
	}
}
