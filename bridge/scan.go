package bridge

import (
	"hash/maphash"
	"math"
	"strconv"
)

const (
	// maxDepth is how deep objects and arrays may be nested. Python's decoder
	// gives up below 1000, others at 10,000, others never.
	maxDepth = 128
	// maxKey is the longest name of a member, in bytes as written.
	maxKey = 4096
	// maxKeys bounds the names that have to be remembered at one time, which
	// are those of all objects that a point of the text lies in.
	maxKeys = 1 << 18
	// maxNumber is the longest number, in bytes.
	maxNumber = 256
	// maxElements is how many elements an array has at most whose elements are
	// judged one by one: where each of them is takes more room than a short one.
	maxElements = 16 << 10
)

// span is a range of a line.
type span struct{ start, end int }

func (s span) of(line []byte) []byte { return line[s.start:s.end] }

// member is one member of an object of a scanned line.
type member struct {
	name  span // between the quotes, as written
	how   script
	value span
}

// scanner reads one line after the other and accepts those that every JSON
// parser reads alike: RFC 8259 with the narrowest reading of each of its
// "SHOULD"s, and no line break or control character anywhere. What it accepts
// encoding/json, JSON.parse and Python's json accept too; fuzz tests compare it
// with jsontext.
//
// It looks at each byte once and copies none, apart from names: two members of
// one object must differ, and where the Model Context Protocol gives names a
// meaning they must differ also for a decoder that ignores case, as Go's does.
type scanner struct {
	line []byte
	// top are the members of the line's outermost object. inner are those of
	// the value of its last member params, result or error.
	top, inner []member

	depth int
	fault *fault
	odd   span // the first name that is nearly one of the protocol's

	spellings *spellings

	keys    []key // of the objects that are open, outermost first
	tables  [][]int32
	free    int // tables[free:] are not in use
	seed    maphash.Seed
	scratch [2][]byte
	child   *scanner
}

func newScanner() *scanner { return &scanner{seed: maphash.MakeSeed(), spellings: protocolSpellings()} }

// object scans a line that is one object.
func (s *scanner) object(line []byte) *fault {
	s.reset(line)
	i := s.space(0)
	if i == len(line) || line[i] != '{' {
		return s.notObject(i)
	}
	return s.finish(s.members(i+1, ownNames, &s.top))
}

// array scans a line that is one array. With record it returns where its elements
// are, of which there may be maxElements then.
func (s *scanner) array(line []byte, record bool) ([]span, *fault) {
	s.reset(line)
	i := s.space(0)
	if i == len(line) || line[i] != '[' {
		return nil, s.notObject(i)
	}
	if !record {
		return nil, s.finish(s.elements(i+1, ownNames, nil))
	}
	var elements []span
	f := s.finish(s.elements(i+1, ownNames, &elements))
	return elements, f
}

func (s *scanner) reset(line []byte) {
	const keep = 1 << 10 // entries; a rare giant leaves nothing behind
	if cap(s.keys) > keep {
		s.keys, s.tables = nil, nil
	}
	if cap(s.top)+cap(s.inner) > keep {
		s.top, s.inner = nil, nil
	}
	s.line, s.depth, s.fault, s.odd, s.free = line, 0, nil, span{}, 0
	s.top, s.inner, s.keys = s.top[:0], s.inner[:0], s.keys[:0]
}

// finish checks that nothing follows the value that ends before i.
func (s *scanner) finish(i int) *fault {
	if i >= 0 {
		if i = s.space(i); i < len(s.line) {
			s.unexpected(i, "the end")
		}
	}
	return s.fault
}

// notObject says why a line that does not begin with what it should is none.
func (s *scanner) notObject(i int) *fault {
	switch {
	case i == len(s.line):
		s.fail(ruleSyntax, i, "the line is empty")
	case len(s.line) >= 3 && string(s.line[:3]) == "\xef\xbb\xbf":
		s.fail(ruleSyntax, 0, "a byte order mark precedes the message")
	default:
		s.fail(ruleSyntax, i, "the line is no JSON-RPC message")
	}
	return s.fault
}

// fail records the first fault, and returns what stands for no position.
func (s *scanner) fail(rule string, at int, text string) int {
	if s.fault == nil {
		s.fault = &fault{rule: rule, at: at, text: text}
	}
	return -1
}

func (s *scanner) space(i int) int {
	for i < len(s.line) && (s.line[i] == ' ' || s.line[i] == '\t') {
		i++
	}
	return i
}

// enter counts a level, and reports whether there may be one more.
func (s *scanner) enter(i int) bool {
	if s.depth++; s.depth > maxDepth {
		s.fail(ruleDepth, i, "objects and arrays are nested more than "+strconv.Itoa(maxDepth)+" deep")
		return false
	}
	return true
}

// members scans an object from behind its brace to behind the closing one, and
// appends its members to record, if that is not nil.
func (s *scanner) members(i int, names naming, record *[]member) int {
	if !s.enter(i) {
		return -1
	}
	first := len(s.keys)
	table := noTable
	i = s.space(i)
	if i < len(s.line) && s.line[i] == '}' {
		s.depth--
		return i + 1
	}
	for {
		if i == len(s.line) || s.line[i] != '"' {
			return s.unexpected(i, "a name")
		}
		name := span{start: i + 1}
		var how script
		if name.end, how = s.text(i + 1); name.end < 0 {
			return -1
		}
		if !s.addKey(name, how, names, first, &table) {
			return -1
		}
		if i = s.space(name.end + 1); i == len(s.line) || s.line[i] != ':' {
			return s.unexpected(i, "a colon")
		}
		i = s.space(i + 1)
		start := i
		below := s.below(names, name, how, i)
		var inner *[]member
		if record == &s.top && s.isBody(name, how) && i < len(s.line) && s.line[i] == '{' {
			inner = &s.inner
		}
		if i = s.value(i, below, inner); i < 0 {
			return -1
		}
		if record != nil {
			*record = append(*record, member{name, how, span{start, i}})
		}
		i = s.space(i)
		if i < len(s.line) && s.line[i] == '}' {
			s.keys = s.keys[:first]
			s.dropTable(table)
			s.depth--
			return i + 1
		}
		if i == len(s.line) || s.line[i] != ',' {
			return s.unexpected(i, "a comma or a brace")
		}
		i = s.space(i + 1)
	}
}

// elements scans an array from behind its bracket to behind the closing one.
func (s *scanner) elements(i int, names naming, record *[]span) int {
	if !s.enter(i) {
		return -1
	}
	i = s.space(i)
	if i < len(s.line) && s.line[i] == ']' {
		s.depth--
		return i + 1
	}
	for {
		start := i
		if i = s.value(i, names, nil); i < 0 {
			return -1
		}
		if record != nil {
			if len(*record) == maxElements {
				return s.fail(ruleBatch, start, "more than "+strconv.Itoa(maxElements)+" messages in one line")
			}
			*record = append(*record, span{start, i})
		}
		i = s.space(i)
		if i < len(s.line) && s.line[i] == ']' {
			s.depth--
			return i + 1
		}
		if i == len(s.line) || s.line[i] != ',' {
			return s.unexpected(i, "a comma or a bracket")
		}
		i = s.space(i + 1)
	}
}

// value scans any value that begins at i, and returns where it ends.
func (s *scanner) value(i int, names naming, record *[]member) int {
	if i == len(s.line) {
		return s.unexpected(i, "a value")
	}
	switch c := s.line[i]; c {
	case '"':
		end, _ := s.text(i + 1)
		if end < 0 {
			return -1
		}
		return end + 1
	case '{':
		return s.members(i+1, names, record)
	case '[':
		return s.elements(i+1, names, nil)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return s.number(i)
		}
		return s.unexpected(i, "a value")
	}
}

func (s *scanner) literal(i int, word string) int {
	if len(s.line)-i < len(word) || string(s.line[i:i+len(word)]) != word {
		return s.unexpected(i, "a value")
	}
	return i + len(word)
}

// number accepts what RFC 8259 does, as far as a double precision number can
// hold its magnitude: above that some parsers read infinity and others fail.
func (s *scanner) number(i int) int {
	start, line := i, s.line
	digits := func() bool {
		from := i
		for i < len(line) && line[i] >= '0' && line[i] <= '9' {
			i++
		}
		return i > from
	}
	if line[i] == '-' {
		i++
	}
	if i < len(line) && line[i] == '0' {
		i++
	} else if !digits() {
		return s.fail(ruleSyntax, i, "a number has no digits")
	}
	if i < len(line) && line[i] == '.' {
		if i++; !digits() {
			return s.fail(ruleSyntax, i, "a number has no digits behind its point")
		}
	}
	exponent := i < len(line) && line[i]|0x20 == 'e'
	if exponent {
		if i++; i < len(line) && (line[i] == '+' || line[i] == '-') {
			i++
		}
		if !digits() {
			return s.fail(ruleSyntax, i, "a number has no digits in its exponent")
		}
	}
	if i-start > maxNumber {
		return s.fail(ruleNumber, start, "a number is longer than "+strconv.Itoa(maxNumber)+" bytes")
	}
	if exponent {
		if f, _ := strconv.ParseFloat(string(line[start:i]), 64); math.IsInf(f, 0) {
			return s.fail(ruleNumber, start, "a number is too large")
		}
	}
	return i
}

// unexpected says what is wrong at i, where something else should have been.
func (s *scanner) unexpected(i int, want string) int {
	switch {
	case i == len(s.line):
		return s.fail(ruleSyntax, i, "the message ends where "+want+" should be")
	case s.line[i] == '\r':
		return s.fail(ruleControl, i, "a carriage return within the message")
	case s.line[i] < ' ':
		return s.fail(ruleControl, i, "a control character within the message")
	}
	return s.fail(ruleSyntax, i, "something else stands where "+want+" should be")
}
