package netfilter

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"net"
	"testing"
)

// helloParts are what the tests build ClientHellos from.
type helloParts struct {
	kind         byte   // of the handshake message
	version      uint16 // legacy_version
	session      []byte
	suites       []byte
	compressions []byte
	noExtensions bool
	extensions   []byte
	after        []byte // in the message, behind the extensions
}

func goodParts(extensions ...[]byte) helloParts {
	return helloParts{
		kind: 1, version: 0x0303, session: make([]byte, 32), suites: []byte{0x13, 0x01, 0x13, 0x02},
		compressions: []byte{0}, extensions: bytes.Join(extensions, nil),
	}
}

// message is the handshake message.
func (p helloParts) message() []byte {
	b := binary.BigEndian.AppendUint16(nil, p.version)
	b = append(b, make([]byte, 32)...)
	b = append(b, vector(1, p.session)...)
	b = append(b, vector(2, p.suites)...)
	b = append(b, vector(1, p.compressions)...)
	if !p.noExtensions {
		b = append(b, vector(2, p.extensions)...)
	}
	b = append(b, p.after...)
	return append([]byte{p.kind}, vector(3, b)...)
}

// vector puts a length of some bytes before b.
func vector(size int, b []byte) []byte {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(b)))
	return append(bytes.Clone(length[8-size:]), b...)
}

func extension(kind uint16, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kind), vector(2, body)...)
}

// sni is a server_name extension with names of type host_name.
func sni(names ...string) []byte {
	var list []byte
	for _, n := range names {
		list = append(list, 0)
		list = append(list, vector(2, []byte(n))...)
	}
	return extension(0, vector(2, list))
}

// records cuts a handshake message into records of at most size bytes.
func records(size int, msg []byte) []byte {
	var b []byte
	for len(msg) > 0 {
		n := min(size, len(msg))
		b = append(b, 0x16, 3, 1)
		b = append(b, vector(2, msg[:n])...)
		msg = msg[n:]
	}
	return b
}

func record(msg []byte) []byte { return records(maxRecord, msg) }

// realHello is the ClientHello that crypto/tls sends.
func realHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		_ = tls.Client(client, config).Handshake()
		_ = client.Close()
	}()
	buf := make([]byte, maxHello)
	n, err := server.Read(buf) // crypto/tls writes a record at once
	if err != nil {
		t.Fatal(err)
	}
	_ = server.Close()
	return buf[:n]
}

// echConfigs is an ECHConfigList of RFC 9849 section 4 for public.test, with
// the base point of Curve25519 for a key.
func echConfigs() []byte {
	key := make([]byte, 32)
	key[0] = 9
	body := []byte{7, 0, 0x20}
	body = append(body, vector(2, key)...)
	body = append(body, vector(2, []byte{0, 1, 0, 1})...)
	body = append(body, 64)
	body = append(body, vector(1, []byte("public.test"))...)
	body = append(body, 0, 0)
	return vector(2, extension(0xfe0d, body))
}
