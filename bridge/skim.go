package bridge

// glimpse is what can be made out of one message in a line that may not pass.
type glimpse struct {
	id      []byte // as written; nil if there is none, or none that may be
	method  string // the beginning of it
	request bool   // it has a method
	answer  bool   // it has a result or an error
	rpc     bool   // it has a member jsonrpc
}

const (
	skimName   = 16   // longer than the names that matter
	skimValue  = 2048 // longer than any id may be
	skimMethod = 64
	skimMost   = 1024 // messages of one line
)

// skim looks for the ids of a line that no scanner accepts, or that is too long
// to be held: whoever waits for them has to be told. It takes the line in
// pieces, keeps nothing of it, and bears with anything: what it finds is
// believed only as far as that somebody gets an error instead of an answer.
type skim struct {
	depth, base     int // base is the depth of messages: 1, or 2 in an array
	started         bool
	text, backslash bool // in a string, behind a backslash of it
	named           bool // the string at base was a name, and its value follows
	name, value     []byte
	naming, valuing bool
	now             glimpse
	found           []glimpse
	twoIDs          bool
}

func (k *skim) feed(b []byte) {
	for _, c := range b {
		k.one(c)
	}
}

func (k *skim) one(c byte) {
	if k.text {
		k.keep(c)
		switch {
		case k.backslash:
			k.backslash = false
		case c == '\\':
			k.backslash = true
		case c == '"':
			k.text, k.naming = false, false
		}
		return
	}
	switch c {
	case '{', '[':
		if !k.started {
			k.started = true
			if k.base = 1; c == '[' {
				k.base = 2
			}
		}
		if k.depth++; k.depth == k.base {
			k.now, k.named, k.twoIDs = glimpse{}, false, false
		}
		k.valuing = false
	case '}', ']':
		if k.depth == k.base {
			k.ended()
			k.flush()
		}
		k.depth--
	case ',':
		if k.depth == k.base {
			k.ended()
		}
	case ':':
		if k.depth == k.base && !k.named {
			k.named, k.value = true, k.value[:0]
			switch string(k.name) {
			case "id", "method":
				k.valuing = true
			case "result", "error":
				k.now.answer = true
			case "jsonrpc":
				k.now.rpc = true
			}
			if string(k.name) == "method" {
				k.now.request = true
			}
		}
	case '"':
		k.text = true
		if k.depth == k.base && !k.named {
			k.naming, k.name = true, k.name[:0]
		} else {
			k.keep(c)
		}
	case ' ', '\t', '\r':
	default:
		k.keep(c)
	}
}

func (k *skim) keep(c byte) {
	switch {
	case k.naming && c != '"' && len(k.name) < skimName:
		k.name = append(k.name, c)
	case k.valuing && k.depth == k.base && len(k.value) <= skimValue:
		k.value = append(k.value, c)
	}
}

// ended is where a member of a message ends.
func (k *skim) ended() {
	if k.valuing && len(k.found) < skimMost {
		switch string(k.name) {
		case "id":
			if k.twoIDs || k.now.id != nil { // nobody knows which one counts
				k.now.id, k.twoIDs = nil, true
				break
			}
			k.now.id = knownID(k.value)
		case "method":
			if text, ok := knownText(k.value); ok {
				k.now.method = text
			}
		}
	}
	k.named, k.valuing, k.name = false, false, k.name[:0]
}

func (k *skim) flush() {
	if len(k.found) < skimMost && (k.now.id != nil || k.now.request || k.now.answer) {
		k.found = append(k.found, k.now)
	}
	k.now = glimpse{}
}

// end returns what was found. The line may have ended anywhere.
func (k *skim) end() []glimpse {
	if k.depth >= k.base && k.started {
		if k.depth == k.base && !k.text {
			k.ended()
		}
		k.flush()
	}
	return k.found
}

// knownID returns a copy of raw if it is an id that a message may have.
func knownID(raw []byte) []byte {
	s := newScanner()
	s.reset(append([]byte(nil), raw...))
	if s.value(0, exactNames, nil) != len(raw) || canonicalID(s.line) == nil {
		return nil
	}
	return s.line
}

func knownText(raw []byte) (string, bool) {
	s := newScanner()
	s.reset(raw)
	if s.value(0, exactNames, nil) != len(raw) {
		return "", false
	}
	return stringValue(raw, skimMethod)
}
