package bridge

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// naming says when two names of one object are the same.
type naming uint8

const (
	// exactNames: when they decode to the same text. It holds below the members
	// that isOpen knows.
	exactNames naming = iota
	// foldNames: also when they differ in case only, or in NULs at the end.
	// Go's encoding/json fills the field of a structure from either, by simple
	// folding, for which U+017F is an s and U+212A a k; a decoder in C may stop
	// at the NUL.
	foldNames
	// ownNames: as foldNames, and a name that is one of the protocol's in other
	// letters is noted.
	ownNames
)

// below is how the names are that a member's value has.
func (s *scanner) below(names naming, name span, how script, value int) naming {
	switch {
	case value == len(s.line) || s.line[value] != '{' && s.line[value] != '[':
		return names // there are none
	case names == exactNames || s.isOpen(name, how):
		return exactNames
	case names == ownNames && s.isMap(name, how, value):
		return foldNames
	}
	return names
}

// isMap reports whether the names in a value are chosen by servers and users,
// and yet fill structures at times.
func (s *scanner) isMap(name span, how script, value int) bool {
	if how != plain {
		return s.is(name, how, "arguments") || s.is(name, how, "_meta")
	}
	switch string(name.of(s.line)) {
	case "arguments", "_meta", "inputRequests", "inputResponses":
		return true
	case "content": // what somebody has filled into a form; else it is a list
		return s.line[value] == '{'
	}
	return false
}

// isOpen reports whether the protocol gives a member's own members no names:
// they are chosen by users and schemas, and may well differ in case only.
func (s *scanner) isOpen(name span, how script) bool {
	n := name.end - name.start
	if n < 4 || n > 17 || how != plain {
		return false
	}
	switch string(name.of(s.line)) {
	case "structuredContent", "inputSchema", "outputSchema", "requestedSchema", // tools and elicitation
		"data",              // of an error, or of a log message
		"metadata", "input", // sampling
		"experimental", "extensions": // capabilities
		return true
	}
	return false
}

func (s *scanner) isBody(name span, how script) bool {
	return s.is(name, how, "params") || s.is(name, how, "result") || s.is(name, how, "error")
}

// is compares a scanned string with word.
func (s *scanner) is(raw span, how script, word string) bool {
	if how&escaped == 0 {
		return string(raw.of(s.line)) == word
	}
	if len(word)*6 < raw.end-raw.start { // the longest way to write it
		return false
	}
	s.scratch[0] = appendText(s.scratch[0][:0], raw.of(s.line))
	return string(s.scratch[0]) == word
}

// key is a name that has been seen in an object which is still open.
type key struct {
	hash  uint64 // where the object has a table
	start int32
	mark  uint32 // the same for names that are the same
	size  int16
	how   script
}

const (
	// fewKeys is up to how many names are compared one by one.
	fewKeys    = 12
	smallTable = 64 // slots
	noTable    = -1
)

// addKey notes a name, and reports whether it is the first of its kind in the
// object whose names begin at keys[first].
func (s *scanner) addKey(name span, how script, names naming, first int, table *int) bool {
	size := name.end - name.start
	switch {
	case size > maxKey:
		s.fail(ruleKeyLength, name.start, "a name is longer than "+strconv.Itoa(maxKey)+" bytes")
		return false
	case len(s.keys) >= maxKeys:
		s.fail(ruleKeyLength, name.start, "more than "+strconv.Itoa(maxKeys)+" names in one place")
		return false
	}
	k := key{start: int32(name.start), size: int16(size), how: how}
	k.mark = s.mark(k, names)
	s.keys = append(s.keys, k)
	twin := -1
	if own := s.keys[first:]; len(own) > fewKeys {
		twin = s.enterTable(table, first, names)
	} else {
		for i := range own[:len(own)-1] {
			if own[i].mark == k.mark && s.same(own[i], k, names) {
				twin = first + i
			}
		}
	}
	if twin < 0 {
		if names == ownNames && s.odd.end == 0 && s.misspelt(k) {
			s.odd = name
		}
		return true
	}
	if names == exactNames || s.same(s.keys[twin], k, exactNames) {
		s.fail(ruleDuplicate, name.start, "two members of an object have the same name")
	} else {
		s.fail(ruleFold, name.start, "two members of an object have names that some parsers take for the same")
	}
	return false
}

// mark tells most names apart.
func (s *scanner) mark(k key, names naming) uint32 {
	raw := s.line[k.start : int(k.start)+int(k.size)]
	if k.how&escaped != 0 || names != exactNames && k.how != plain {
		raw = s.canonical(k, names, 0)
	}
	n := len(raw)
	if n == 0 {
		return 0
	}
	m := uint32(n)<<24 | uint32(raw[0])<<16 | uint32(raw[n/2])<<8 | uint32(raw[n-1])
	if names != exactNames {
		m &^= 0x202020 // what upper and lower case differ in
	}
	return m
}

func (s *scanner) same(a, b key, names naming) bool {
	return bytes.Equal(s.canonical(a, names, 0), s.canonical(b, names, 1))
}

// canonical is what two names have in common that are the same. It is valid
// until the next call with this buffer, which is 0 or 1.
func (s *scanner) canonical(k key, names naming, buffer int) []byte {
	raw := s.line[k.start : int(k.start)+int(k.size)]
	if names == exactNames && k.how&escaped == 0 {
		return raw
	}
	out := appendText(s.scratch[buffer][:0], raw)
	switch {
	case names == exactNames:
	case k.how == plain:
		for i, c := range out {
			if c >= 'a' && c <= 'z' {
				out[i] = c - ('a' - 'A')
			}
		}
	default:
		text := string(bytes.TrimRight(out, "\x00"))
		out = out[:0]
		for _, r := range text {
			out = utf8.AppendRune(out, foldRune(r))
		}
	}
	s.scratch[buffer] = out
	return out
}

// foldRune is the smallest of the characters that r is equal to under simple
// folding.
func foldRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

// enterTable puts the last key into the table of its object, which it makes at
// the first time, and returns the index of an equal one, or -1. Tables are open
// addressed and at most half full; an entry is the index of a key plus one.
func (s *scanner) enterTable(table *int, first int, names naming) (twin int) {
	last := len(s.keys) - 1
	if fresh := *table == noTable; fresh || (last-first)*2 >= len(s.tables[*table]) {
		if fresh {
			if s.free == len(s.tables) {
				s.tables = append(s.tables, nil)
			}
			*table = s.free
			s.free++
		}
		s.tables[*table] = emptied(s.tables[*table], max(smallTable, 4*(last-first)))
		for i := first; i < last; i++ {
			if fresh {
				s.hash(i, names)
			}
			s.place(s.tables[*table], i)
		}
	}
	s.hash(last, names)
	slots, k := s.tables[*table], s.keys[last]
	mask := uint64(len(slots) - 1)
	for at := k.hash & mask; slots[at] != 0; at = (at + 1) & mask {
		other := s.keys[slots[at]-1]
		if other.hash == k.hash && s.same(other, k, names) {
			return int(slots[at] - 1)
		}
	}
	s.place(slots, last)
	return -1
}

func (s *scanner) hash(i int, names naming) {
	s.keys[i].hash = maphash.Bytes(s.seed, s.canonical(s.keys[i], names, 0))
}

// place enters keys[i], which is not there yet.
func (s *scanner) place(slots []int32, i int) {
	mask := uint64(len(slots) - 1)
	at := s.keys[i].hash & mask
	for slots[at] != 0 {
		at = (at + 1) & mask
	}
	slots[at] = int32(i + 1)
}

// dropTable gives a table back. The last one made is the first to go.
func (s *scanner) dropTable(table int) {
	if table != noTable {
		s.free = table
	}
}

// emptied is a table with the next power of two of at least size slots, made of
// old where that is large enough.
func emptied(old []int32, size int) []int32 {
	size = 1 << bits.Len(uint(size-1))
	if size > cap(old) {
		return make([]int32, size)
	}
	old = old[:size]
	clear(old)
	return old
}
