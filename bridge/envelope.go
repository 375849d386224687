package bridge

import "strconv"

const (
	// maxID is the longest id that is a string, in bytes.
	maxID = 256
	// maxMethod is the longest method, in bytes. The methods of requests that wait
	// are held, and all of them are told to observers.
	maxMethod = 1024
)

// envelope is one JSON-RPC message as a scanner has found it. Its slices belong
// to the line, or to the scanner until it scans again.
type envelope struct {
	kind   Kind
	line   []byte
	rawID  []byte // as written; nil where there is none
	id     []byte // the same for ids that are equal; see canonicalID
	method []byte // decoded
	params []byte // an object, or nil
	result []byte
	fault  []byte // the member error
}

// envelope checks what object has scanned: "jsonrpc" and exactly what makes a
// request, a notification or a response. A member more would be one that some
// peer obeys and some other refuses.
func (s *scanner) envelope() (envelope, *fault) {
	e := envelope{line: s.line}
	var version, id, method bool
	for _, m := range s.top {
		value := m.value.of(s.line)
		switch {
		case s.is(m.name, m.how, "jsonrpc"):
			version = string(value) == `"2.0"`
		case s.is(m.name, m.how, "id"):
			id, e.rawID = true, value
		case s.is(m.name, m.how, "method"):
			if value[0] != '"' {
				return e, s.broken("method is no string")
			}
			if method, e.method = true, value[1:len(value)-1]; m.how|s.how(e.method)&escaped != 0 {
				e.method = appendText(nil, e.method)
			}
			if len(e.method) > maxMethod {
				return e, s.broken("the method is longer than " + strconv.Itoa(maxMethod) + " bytes")
			}
		case s.is(m.name, m.how, "params"):
			if e.params = value; value[0] == 'n' {
				e.params = nil
			} else if value[0] != '{' {
				return e, s.broken("params is no object")
			}
		case s.is(m.name, m.how, "result"):
			e.result = value
		case s.is(m.name, m.how, "error"):
			if e.fault = value; value[0] != '{' {
				return e, s.broken("error is no object")
			}
		default:
			return e, s.broken("a member beside those of JSON-RPC")
		}
	}
	switch {
	case !version:
		return e, s.broken(`jsonrpc is not "2.0"`)
	case method && (e.result != nil || e.fault != nil):
		return e, s.broken("both a request and a response")
	case e.result != nil && e.fault != nil:
		return e, s.broken("both a result and an error")
	case !method && e.result == nil && e.fault == nil:
		return e, s.broken("neither method nor result nor error")
	case !method && e.params != nil:
		return e, s.broken("a response with params")
	}
	return e, s.identify(&e, method, id)
}

func (s *scanner) identify(e *envelope, method, id bool) *fault {
	switch {
	case method && !id:
		e.kind = Notification
		return nil
	case method:
		e.kind = Request
	default:
		e.kind = Response
	}
	if !id {
		return s.broken("a response without id")
	}
	if e.fault != nil {
		code, message := s.get("code"), s.get("message")
		if _, ok := plainInteger(code); !ok || len(message) == 0 || message[0] != '"' {
			return s.broken("an error without a code that is an integer and a message")
		}
		if string(e.rawID) == "null" { // it answers what could not be read
			e.rawID = nil
			return nil
		}
	}
	if e.id = canonicalID(e.rawID); e.id == nil {
		return &fault{rule: ruleID, text: "the id is neither an integer of at most 53 bits in plain digits nor a string of at most " + strconv.Itoa(maxID) + " bytes"}
	}
	return nil
}

func (s *scanner) broken(text string) *fault { return &fault{rule: ruleEnvelope, text: text} }

// how looks again at a scanned string.
func (s *scanner) how(raw []byte) script {
	for _, c := range raw {
		if c == '\\' {
			return escaped
		}
	}
	return plain
}

// get is the value of a member of params, result or error; nil if there is none.
func (s *scanner) get(name string) []byte { return s.find(s.inner, name) }

// at is the value of a member of the scanned object.
func (s *scanner) at(name string) []byte { return s.find(s.top, name) }

func (s *scanner) find(members []member, name string) []byte {
	for _, m := range members {
		if s.is(m.name, m.how, name) {
			return m.value.of(s.line)
		}
	}
	return nil
}

// open scans a value of a scanned line once more, so that its members can be
// asked for. For what is no object it has none.
func (s *scanner) open(value []byte) *scanner {
	if s.child == nil {
		s.child = newScanner()
	}
	s.child.reset(nil)
	if len(value) > 0 && value[0] == '{' {
		s.child.object(value)
	}
	return s.child
}

// stringValue is what a scanned value says, if it is a string of at most max
// bytes.
func stringValue(value []byte, max int) (string, bool) {
	if len(value) < 2 || value[0] != '"' || len(value) > max*6+2 {
		return "", false
	}
	text := appendText(nil, value[1:len(value)-1])
	return string(text), len(text) <= max
}

// canonicalID is equal for equal ids, and nil for what is none. Parsers agree
// on integers up to 2^53-1 only, and only without point and exponent: 1.0 and 1
// are one id for some and two for others, as are -0 and 0. The string "1" is not
// the number 1.
func canonicalID(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		if n, ok := plainInteger(raw); !ok || n > 1<<53-1 || n < -(1<<53-1) {
			return nil
		}
		return raw
	}
	for _, c := range raw {
		if c == '\\' {
			text := appendText(append(make([]byte, 0, len(raw)), '"'), raw[1:len(raw)-1])
			raw = append(text, '"')
			break
		}
	}
	if len(raw)-2 > maxID {
		return nil
	}
	return raw
}

func plainInteger(raw []byte) (int64, bool) {
	if len(raw) == 0 || len(raw) > 20 || string(raw) == "-0" {
		return 0, false
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	return n, err == nil && raw[0] != '+'
}
