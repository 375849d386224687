package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// FuzzScan holds the scanner against two others: jsontext, which is as strict
// about RFC 8259 and RFC 7493, and encoding/json.
func FuzzScan(f *testing.F) {
	for _, h := range hostileLines(f) {
		f.Add([]byte(h.line))
	}
	f.Add([]byte(`{"a":{"b":[1,-0.5e+3,"\u00e9\ud83d\ude00\\",true,false,null,{}],"B":1},"é":"日本"}`))
	f.Add(manyNames(3*fewKeys, "k"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s := newScanner()
		fault := s.object(line)
		theirs := jsontext.Value(line).IsValid()
		if fault == nil {
			if !theirs || !json.Valid(line) {
				t.Fatalf("%q is taken", line)
			}
			var v map[string]json.RawMessage
			if err := json.Unmarshal(line, &v); err != nil || len(v) != len(s.top) {
				t.Fatalf("%q has %d members, want %d: %v", line, len(s.top), len(v), err)
			}
			for name, value := range v {
				if !bytes.Equal(s.at(name), value) {
					t.Fatalf("%q has at %q %q, want %q", line, name, s.at(name), value)
				}
			}
			return
		}
		if !theirs || bytes.TrimLeft(line, " \t\r\n")[0] != '{' {
			return
		}
		switch fault.rule { // what they do not mind
		case ruleFold, ruleDepth, ruleNumber, ruleKeyLength:
		case ruleControl:
			if !bytes.ContainsAny(line, "\r\n") {
				t.Fatalf("%q: %+v", line, fault)
			}
		default:
			t.Fatalf("%q is refused: %+v", line, fault)
		}
	})
}

// manyNames is an object with n members.
func manyNames(n int, name string) []byte {
	b := []byte("{")
	for i := range n {
		b = fmt.Appendf(b, `"%s%d":%d,`, name, i, i)
	}
	b[len(b)-1] = '}'
	return b
}

// Names are told apart in objects of any size, nested or not, by value and by
// case, and where that does not matter only by value.
func TestNames(t *testing.T) {
	last := func(object []byte, name string) string {
		return string(object[:len(object)-1]) + `,"` + name + `":0}`
	}
	for _, n := range []int{1, 2, fewKeys - 1, fewKeys, fewKeys + 1, smallTable, 5000} {
		object := manyNames(n, "name")
		for name, want := range map[string]string{
			"other": "", "name0": ruleDuplicate, `n\u0061me0`: ruleDuplicate, "NAME0": ruleFold, `name0\u0000`: ruleFold,
			fmt.Sprint("name", n-1): ruleDuplicate, fmt.Sprint("nAme", n-1): ruleFold, fmt.Sprint("name", n): "",
		} {
			line := last(object, name)
			inOpen := want
			if want == ruleFold {
				inOpen = ""
			}
			for text, want := range map[string]string{
				line: want,
				`{"a":` + line + `,"b":[` + string(object) + `,` + line + `]}`: want,
				last([]byte(line), "x"):               want,
				`{"structuredContent":` + line + `}`:  inOpen,
				`{"Structuredcontent":` + line + `}`:  want,
				`{"data":{"x":[` + line + `]},"a":1}`: inOpen,
			} {
				got := ""
				if f := newScanner().object([]byte(text)); f != nil {
					got = f.rule
				}
				if got != want {
					t.Errorf("%d names and %s in %.40s: %q, want %q", n, name, text, got, want)
				}
			}
		}
	}
}

func TestScanLimits(t *testing.T) {
	nested := func(n int, open, inner, close string) string {
		return `{"a":` + strings.Repeat(open, n-1) + inner + strings.Repeat(close, n-1) + `}`
	}
	for _, c := range []struct{ name, line, want string }{
		{"deep arrays", nested(maxDepth, "[", "1", "]"), ""},
		{"deeper arrays", nested(maxDepth+1, "[", "1", "]"), ruleDepth},
		{"deep objects", nested(maxDepth, `{"a":`, "1", "}"), ""},
		{"deeper objects", nested(maxDepth+1, `{"a":`, "1", "}"), ruleDepth},
		{"depth of what is beside", `{"a":[` + strings.Repeat("[],{},", 2*maxDepth) + `1]}`, ""},
		{"bottomless", strings.Repeat(`{"a":[`, 1<<20), ruleDepth},
		{"long name", `{"` + strings.Repeat("n", maxKey) + `":1}`, ""},
		{"longer name", `{"` + strings.Repeat("n", maxKey+1) + `":1}`, ruleKeyLength},
		{"long number", `{"a":` + strings.Repeat("1", maxNumber) + `}`, ""},
		{"longer number", `{"a":` + strings.Repeat("1", maxNumber+1) + `}`, ruleNumber},
		{"largest number", `{"a":1.7976931348623157e308}`, ""},
		{"infinity", `{"a":1.7976931348623159e308}`, ruleNumber},
		{"names", string(manyNames(maxKeys, "")), ""},
		{"more names", string(manyNames(maxKeys+1, "")), ruleKeyLength},
	} {
		got := ""
		if f := newScanner().object([]byte(c.line)); f != nil {
			got = f.rule
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// What is slow for a scanner costs no more than a few times what is fast.
func TestScanIsLinear(t *testing.T) {
	size := 4 << 20
	text := []byte(`{"a":"` + strings.Repeat("x", size) + `"}`)
	variants := []byte("{") // one name in all of its cases: equal when folded, and allowed here
	for i := range 1 << 15 {
		name := []byte("abcdefghijklmno")
		for bit := range name {
			if i>>bit&1 == 1 {
				name[bit] -= 'a' - 'A'
			}
		}
		variants = fmt.Appendf(variants, `"%s":1,`, name)
	}
	variants[len(variants)-1] = '}'
	time := func(line string) time.Duration {
		s := newScanner()
		best := time.Hour
		for range 3 {
			began := time.Now()
			if f := s.object([]byte(line)); f != nil {
				t.Fatalf("%.40s: %+v", line, f)
			}
			best = min(best, time.Since(began))
		}
		return best
	}
	plain := time(string(text))
	for name, line := range map[string]string{
		"names that differ in case": `{"data":` + string(variants) + `}`,
		"many objects":              `{"a":[` + strings.Repeat(`{"a":1},`, size/8) + `1]}`,
		"escapes":                   `{"a":"` + strings.Repeat(`\u00e9`, size/6) + `"}`,
	} {
		if took := time(line); took > 100*plain {
			t.Errorf("%s: %v, a plain text %v", name, took, plain)
		}
	}
}

// benchLines are messages of about a mebibyte of each kind of content.
func benchLines() map[string][]byte {
	var files []string
	for i := range 10000 {
		files = append(files, fmt.Sprintf(`{"name":"file%d.txt","size":%d,"dir":false,"mtime":"2026-01-01T00:00:00Z"}`, i, i*17))
	}
	text := quote(strings.Repeat("The quick brown fox \"jumps\" over\nthe lazy dog. é ", 20000))
	result := func(s string) []byte { return []byte(`{"jsonrpc":"2.0","id":1,"result":` + s + `}`) }
	return map[string][]byte{
		"text":       result(`{"content":[{"type":"text","text":` + string(text) + `}]}`),
		"base64":     result(`{"content":[{"type":"image","data":"` + strings.Repeat("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo0", 1<<20/36) + `"}]}`),
		"japanese":   result(`{"content":[{"type":"text","text":"` + strings.Repeat("いろはにほへと散りぬるを", 1<<20/36) + `"}]}`),
		"structured": result(`{"structuredContent":{"files":[` + strings.Join(files, ",") + `]}}`),
		"ping":       []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`),
	}
}

// BenchmarkScan compares with jsontext, which looks at fewer things.
func BenchmarkScan(b *testing.B) {
	for name, line := range benchLines() {
		s := newScanner()
		for way, valid := range map[string]func() bool{
			"scanner":  func() bool { return s.object(line) == nil },
			"jsontext": func() bool { return jsontext.Value(line).IsValid() },
		} {
			b.Run(name+"/"+way, func(b *testing.B) {
				b.SetBytes(int64(len(line)))
				for b.Loop() {
					if !valid() {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}
