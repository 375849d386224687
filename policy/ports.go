package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

func (p PortRange) String() string {
	s := strconv.Itoa(int(p.First))
	if p.Last != p.First {
		s += "-" + strconv.Itoa(int(p.Last))
	}
	return s
}

// dnsPort is where every box finds mcpbox's own resolver, whatever address it
// asks.
const dnsPort = 53

// parsePorts reads ports and ranges of them with commas between.
func parsePorts(s string) ([]PortRange, error) {
	var list []PortRange
	for word := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(word, "-")
		var p PortRange
		var err error
		const want = "numbers from 1 to 65535, such as 443 or 8000-8010,9000"
		if p.First, err = parsePort(first, want); err == nil {
			p.Last = p.First
			if isRange {
				p.Last, err = parsePort(last, want)
			}
		}
		switch {
		case err != nil:
			return nil, err
		case p.Last < p.First:
			return nil, fmt.Errorf("the range %s ends before it begins", word)
		case p.First <= dnsPort && dnsPort <= p.Last:
			return nil, errors.New("port 53 is answered by mcpbox itself, whatever address is asked; another name server would carry data out in its questions. Leave 53 out: names that a rule allows are found without it")
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	merged := list[:1]
	for _, p := range list[1:] {
		last := &merged[len(merged)-1]
		if int(p.First) > int(last.Last)+1 {
			merged = append(merged, p)
		} else {
			last.Last = max(last.Last, p.Last)
		}
	}
	return merged, nil
}

// parsePort reads one port in plain decimal. want says in its errors what to
// write.
func parsePort(s, want string) (uint16, error) {
	want = "write " + want
	switch {
	case s == "":
		return 0, errors.New("a port is missing; " + want)
	case s == "*":
		return 0, errors.New("the ports have to be named; " + want)
	case strings.Trim(s, "0123456789") != "":
		return 0, fmt.Errorf("%q is no port; %s", s, want)
	case s[0] == '0':
		return 0, fmt.Errorf("%q is no port: it starts with 0; %s", s, want)
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("there is no port %s; %s", s, want)
	}
	return uint16(n), nil
}
