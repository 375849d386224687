package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var kinds = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "TXT": dnsmessage.TypeTXT, "MX": dnsmessage.TypeMX,
	"SRV": dnsmessage.TypeSRV, "NS": dnsmessage.TypeNS, "CNAME": dnsmessage.TypeCNAME, "ANY": dnsmessage.TypeALL,
	"NULL": 10, "PTR": dnsmessage.TypePTR, "HTTPS": 65, "SVCB": 64, "AXFR": dnsmessage.TypeAXFR,
}

// ask prints the answer to each name, or the error.
func ask(args []string) (string, error) {
	if len(args) < 4 {
		return "", errUsage
	}
	var words []string
	for _, arg := range args[3:] {
		q, err := question(args[2], arg)
		if err != nil {
			return "", err
		}
		words = append(words, timed2(func() (string, error) { return asked(args[0], args[1], q) }))
	}
	return strings.Join(words, " "), nil
}

// question is a message that asks for a name, with a cookie (RFC 7873) in its
// EDNS record: something that must not go on to anybody.
func question(kind, host string) ([]byte, error) {
	n, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		return nil, err
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 0x2b1d, RecursionDesired: true})
	_ = b.StartQuestions()
	if err := b.Question(dnsmessage.Question{Name: n, Type: kinds[kind], Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	_ = b.StartAdditionals()
	var h dnsmessage.ResourceHeader
	_ = h.SetEDNS0(1232, dnsmessage.RCodeSuccess, false)
	if err := b.OPTResource(h, dnsmessage.OPTResource{Options: []dnsmessage.Option{{Code: 10, Data: []byte("12345678")}}}); err != nil {
		return nil, err
	}
	return b.Finish()
}

func asked(network, server string, q []byte) (string, error) {
	c, err := connect(network, server)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(1500 * time.Millisecond))
	if network != "udp" {
		q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	}
	if _, err := c.Write(q); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n := 0
	if network == "udp" {
		n, err = c.Read(b)
	} else if _, err = io.ReadFull(c, b[:2]); err == nil {
		n, err = io.ReadFull(c, b[:binary.BigEndian.Uint16(b)])
	}
	if err != nil {
		return "", err
	}
	return answered(b[:n])
}

// answered is what a reply says in short. What address it is does not matter
// for one that stands for a name only inside a box.
func answered(b []byte) (string, error) {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return "", err
	}
	switch {
	case m.ID != 0x2b1d:
		return "another's", nil
	case m.RCode != dnsmessage.RCodeSuccess:
		return map[dnsmessage.RCode]string{dnsmessage.RCodeNameError: "NXDOMAIN", dnsmessage.RCodeServerFailure: "SERVFAIL",
			dnsmessage.RCodeRefused: "REFUSED", dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeFormatError: "FORMERR"}[m.RCode], nil
	case len(m.Answers) == 0:
		return "NODATA", nil
	}
	switch a := m.Answers[0].Body.(type) {
	case *dnsmessage.AResource:
		if address := netip.AddrFrom4(a.A); virtual(address) {
			return "virtual", nil
		} else {
			return address.String(), nil
		}
	case *dnsmessage.TXTResource:
		return strings.Join(a.TXT, ""), nil
	}
	return "other", nil
}

// virtual reports whether a stands for a name inside a box.
func virtual(a netip.Addr) bool { return netip.MustParsePrefix("29.77.0.0/16").Contains(a) }

// burst prints how often each answer came.
func burst(args []string) (string, error) {
	if len(args) != 4 {
		return "", errUsage
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return "", err
	}
	count := map[string]int{}
	for i := range n {
		q, err := question("A", fmt.Sprintf("n%d.%s", i, args[3]))
		if err != nil {
			return "", err
		}
		word, err := asked(args[0], args[1], q)
		if err != nil {
			word = name(err)
		}
		count[word]++
	}
	return strings.Trim(fmt.Sprint(count), "map[]"), nil
}

// wander prints how many of the names lead to an echo server.
func wander(args []string) (string, error) {
	if len(args) != 3 {
		return "", errUsage
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return "", err
	}
	reached := 0
	for i := range n {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		c, err := new(net.Dialer).DialContext(ctx, "tcp4", net.JoinHostPort(fmt.Sprintf("w%d.%s", i, args[2]), args[1]))
		cancel()
		if err == nil {
			if bounce(c) == nil {
				reached++
			}
			c.Close()
		}
	}
	return strconv.Itoa(reached), nil
}
