package main

import (
	"bytes"
	"encoding/binary"
	"net"
	"strings"
	"time"
)

// hello begins TLS 1.2 with a message made by hand and says what kind of record
// the server answers with. VARIANT is a name of the list below, and after a
// colon the server name; without one it is that of ADDRESS.
func hello(args []string) (string, error) {
	if len(args) != 2 {
		return "", errUsage
	}
	host, _, err := net.SplitHostPort(args[0])
	if err != nil {
		return "", err
	}
	variant, server, ok := strings.Cut(args[1], ":")
	if !ok {
		server = host
	}
	packets := variants(server)[variant]
	if packets == nil {
		return "", errUsage
	}
	c, err := connect("tcp", args[0])
	if err != nil {
		return name(err), nil
	}
	defer c.Close()
	for i, p := range packets {
		if i > 0 && len(packets) < 10 {
			time.Sleep(20 * time.Millisecond)
		}
		if _, err := c.Write(p); err != nil {
			return name(err), nil
		}
	}
	kind := make([]byte, 1)
	if _, err := c.Read(kind); err != nil {
		return name(err), nil
	}
	switch kind[0] {
	case 22:
		return "handshake", nil
	case 21:
		return "alert", nil
	}
	return "other", nil
}

// variants are packets to send, one after the other, by name.
func variants(server string) map[string][][]byte {
	one := func(extensions ...[]byte) [][]byte { return [][]byte{record(message(extensions...))} }
	usual := message(serverName(0, server))
	padding := func(n int) []byte { return extension(21, make([]byte, n)) }
	return map[string][][]byte{
		"plain":     one(serverName(0, server)),
		"none":      one(),
		"empty":     one(extension(0, nil)),
		"two":       one(extension(0, vector16(append(entry(0, server), entry(0, "good.example.com")...)))),
		"two-other": one(extension(0, vector16(append(entry(0, "good.example.com"), entry(0, server)...)))),
		"twice":     one(serverName(0, "good.example.com"), serverName(0, server)),
		"kind":      one(serverName(7, server)),
		"nul":       one(serverName(0, server+"\x00.evil.test")),
		"space":     one(serverName(0, server+" ")),
		"upper":     one(serverName(0, strings.ToUpper(server))),
		"dot":       one(serverName(0, server+".")),
		"ech":       one(serverName(0, server), extension(0xfe0d, append([]byte{0, 0, 1, 0, 1, 7}, append(vector16(make([]byte, 32)), vector16(make([]byte, 64))...)...))),
		"records":   {split(usual, 1)},
		"segments":  bytes.SplitAfter(record(usual), nil),
		"halves":    {record(usual)[:40], record(usual)[40:]},
		"late-name": {split(message(padding(9000), serverName(0, server)), 1000)},
		"huge":      {split(message(padding(17000), serverName(0, server)), 8000)},
		"garbage":   {[]byte("GARBAGE " + server + "\r\n\r\n"), []byte("\r\n")},
		"sslv2":     {append([]byte{0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10}, make([]byte, 0x25)...)},
		"alert":     {{21, 3, 1, 0, 2, 2, 40}},
		"ccs-first": {append([]byte{20, 3, 3, 0, 1, 1}, record(usual)...)},
		"zero":      {append([]byte{22, 3, 1, 0, 0}, record(usual)...)},
		"stall":     {record(usual)[:20]},
		"silent":    {{}},
	}
}

// message is a ClientHello of TLS 1.2 (RFC 5246, 7.4.1.2).
func message(extensions ...[]byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0)                                                         // no session
	body = append(body, 0, 8, 0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9, 0xcc, 0xa8)      // ECDHE with AES-GCM or ChaCha20
	body = append(body, 1, 0)                                                      // no compression
	extensions = append(extensions, extension(10, vector16([]byte{0, 29, 0, 23})), // X25519, P-256
		extension(11, []byte{1, 0}), extension(13, vector16([]byte{4, 3, 8, 4, 4, 1})))
	body = append(body, vector16(bytes.Join(extensions, nil))...)
	return append([]byte{1, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func extension(kind uint16, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, kind), vector16(b)...)
}

func vector16(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func entry(kind byte, name string) []byte { return append([]byte{kind}, vector16([]byte(name))...) }

func serverName(kind byte, name string) []byte { return extension(0, vector16(entry(kind, name))) }

func record(b []byte) []byte { return append([]byte{22, 3, 1}, vector16(b)...) }

// split puts a message into records of n bytes.
func split(b []byte, n int) (out []byte) {
	for len(b) > 0 {
		n := min(n, len(b))
		out, b = append(out, record(b[:n])...), b[n:]
	}
	return out
}
