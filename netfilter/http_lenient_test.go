package netfilter

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// lenient is a server that forgives what some of this world do. Without knobs it
// is a plain, careless one.
type lenient struct {
	name         string
	ends         string // further bytes that end a line
	spaces       string // further bytes that are space around names and values
	lengthWins   bool   // over Transfer-Encoding
	lastWins     bool   // of fields given twice
	octal        bool   // numbers with a leading zero
	underscores  bool   // read as '-'
	anyChunked   bool   // "chunked" anywhere in Transfer-Encoding
	noGetBody    bool   // GET, HEAD and DELETE have none
	blankFirst   bool   // empty lines before a request are skipped
	narrow       bool   // numbers have 32 bits
	absoluteWins bool   // over Host
	unfold       bool
}

func lenients() []lenient {
	return []lenient{
		{name: "nothing"},
		{name: "CR alone", ends: "\r"},
		{name: "NUL", ends: "\x00"},
		{name: "lines of text", ends: "\r\v\f\x1c\x1d\x1e\x85"},
		{name: "space", spaces: "\t\v\f\x85\xa0"},
		{name: "length first", lengthWins: true},
		{name: "last field", lastWins: true},
		{name: "octal", octal: true},
		{name: "underscores", underscores: true},
		{name: "chunked anywhere", anyChunked: true},
		{name: "GET without body", noGetBody: true},
		{name: "blank lines", blankFirst: true},
		{name: "32 bits", narrow: true},
		{name: "absolute form", absoluteWins: true},
		{name: "folding", unfold: true},
	}
}

// read divides in into requests.
func (l lenient) read(in string) (all []seen, err error) {
	rest := in
	line := func() (string, bool) {
		i := strings.IndexAny(rest, "\n"+l.ends)
		for k := range len(rest) { // by bytes: IndexAny goes by runes
			if c := rest[k]; c == '\n' || strings.IndexByte(l.ends, c) >= 0 {
				i = k
				break
			}
		}
		if i < 0 {
			return "", false
		}
		text := strings.TrimSuffix(rest[:i], "\r")
		if rest[i] == '\r' && strings.HasPrefix(rest[i+1:], "\n") {
			i++
		}
		rest = rest[i+1:]
		return text, true
	}
	for rest != "" {
		start, ok := line()
		if l.blankFirst && start == "" && ok {
			continue
		}
		words := strings.Fields(start)
		if !ok || len(words) != 3 {
			return nil, errors.New("no request line: " + excerpt(start))
		}
		fields := map[string]string{}
		last := ""
		for {
			text, ok := line()
			if !ok {
				return nil, errors.New("no end of the head")
			}
			if text == "" {
				break
			}
			if l.unfold && strings.HasPrefix(text, " ") {
				fields[last] += text
				continue
			}
			name, value, _ := strings.Cut(text, ":")
			name = strings.ToLower(l.trim(name))
			if l.underscores {
				name = strings.ReplaceAll(name, "_", "-")
			}
			if _, twice := fields[name]; !twice || l.lastWins {
				fields[name] = l.trim(value)
			}
			last = name
		}
		host := fields["host"]
		if target, ok := strings.CutPrefix(strings.ToLower(words[1]), "http://"); ok && l.absoluteWins {
			host, _, _ = strings.Cut(target, "/")
		}
		host, _, _ = strings.Cut(strings.ToLower(host), ":")
		request := seen{host: strings.TrimSuffix(host, ".")}
		before := len(rest)
		if err := l.body(words[0], fields, &rest, line); err != nil {
			return nil, err
		}
		request.length = before - len(rest)
		all = append(all, request)
	}
	return all, nil
}

func (l lenient) trim(s string) string {
	b := bytes.TrimFunc([]byte(s), func(r rune) bool { return r == ' ' })
	for len(b) > 0 && (b[0] == ' ' || strings.IndexByte(l.spaces, b[0]) >= 0) {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || strings.IndexByte(l.spaces, b[len(b)-1]) >= 0) {
		b = b[:len(b)-1]
	}
	return string(b)
}

// body takes the body of a request off rest.
func (l lenient) body(method string, fields map[string]string, rest *string, line func() (string, bool)) error {
	take := func(n int64) error {
		if n < 0 || n > int64(len(*rest)) {
			return errors.New("the body is too short")
		}
		*rest = (*rest)[n:]
		return nil
	}
	coding, length := strings.ToLower(fields["transfer-encoding"]), fields["content-length"]
	isChunked := coding == "chunked" || l.anyChunked && strings.Contains(coding, "chunked")
	switch {
	case l.noGetBody && (method == "GET" || method == "HEAD" || method == "DELETE"):
		if slices.Contains(strings.Split(strings.ToLower(fields["connection"]), ", "), "close") {
			*rest = "" // nobody reads it
		}
		return nil
	case length != "" && (!isChunked || l.lengthWins):
		return take(l.number(length, 10))
	case !isChunked:
		return nil
	}
	for {
		text, ok := line()
		if !ok {
			return errors.New("no chunk")
		}
		size := l.number(text, 16)
		if err := take(size); err != nil {
			return err
		}
		for { // the end of the data, or the trailer
			text, ok := line()
			if !ok {
				return errors.New("no end of a chunk")
			}
			if size > 0 || text == "" {
				break
			}
		}
		if size == 0 {
			return nil
		}
	}
}

// number reads the digits that s begins with, like strtol.
func (l lenient) number(s string, base int64) int64 {
	s = strings.TrimPrefix(l.trim(s), "+")
	if l.octal && base == 10 && strings.HasPrefix(s, "0") {
		base = 8
	}
	var n int64
	for i := range len(s) {
		digit, ok := hexDigit(s[i])
		if !ok || int64(digit) >= base {
			break
		}
		n = n*base + int64(digit)
		if l.narrow {
			n = int64(uint32(n))
		}
	}
	return n
}

// Each knob of lenient turns what strict servers read alike into something else:
// else checkReadAlike would find nothing.
func TestLenientServersDiffer(t *testing.T) {
	evil := strings.ReplaceAll(get, "good", "evil")
	for knob, in := range map[string]string{
		"CR alone":         "GET / HTTP/1.1\r\nX: a\rHost: evil.test\r\nHost: good.test\r\n\r\n",
		"NUL":              with("X: a\x00\x00"),
		"lines of text":    with("X: a\x85\x85"),
		"space":            strings.Replace(with("Host\t: evil.test"), "Host: good.test\r\n", "", 1),
		"length first":     postWith("Content-Length: 1\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
		"last field":       with("Host: evil.test"),
		"octal":            postWith("Content-Length: 010") + "0123456789",
		"underscores":      postWith("Content_Length: 36") + evil,
		"chunked anywhere": postWith("Transfer-Encoding: xchunked") + get,
		"GET without body": strings.Replace(post(evil), "POST", "GET", 1),
		"blank lines":      "\r\n" + get,
		"absolute form":    "GET http://evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n",
		"folding":          "GET / HTTP/1.1\r\nHost: good.test\r\n .evil.test\r\n\r\n",
	} {
		plain, perr := lenient{}.read(in)
		found := false
		for _, l := range lenients() {
			if l.name != knob {
				continue
			}
			found = true
			got, err := l.read(in)
			if (err == nil) == (perr == nil) && len(got) == len(plain) && (len(got) == 0 || got[0] == plain[0]) {
				t.Errorf("%s reads %q like everybody: %+v, %v", knob, in, got, err)
			}
		}
		if !found {
			t.Errorf("no knob %q", knob)
		}
	}
}
