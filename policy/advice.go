package policy

import (
	"errors"
	"strings"
)

// advice is the error of something that cannot be read, with what to write
// instead.
type advice struct {
	why string
	// forms are what may have been meant. Words in capital letters stand for
	// what is not known. Only those are told that can be read themselves.
	forms []string
	// read reads a form; nil: as a rule.
	read func(string) error
}

func (a *advice) Error() string {
	read := a.read
	if read == nil {
		read = func(s string) error { _, err := parseRule(s); return err }
	}
	var good []string
	var first error
	for _, form := range a.forms {
		err := read(example(form))
		if err == nil {
			good = append(good, form)
		} else if first == nil {
			first = err
		}
	}
	if len(good) == 0 {
		return a.why + ", and " + first.Error() // it has more than one fault
	}
	return a.why + "; write " + strings.Join(good, " or ")
}

// example fills in the words that stand for something.
func example(form string) string {
	return strings.NewReplacer("HOST", "api.example.com", "[ADDRESS", "[2001:db8::", "ADDRESS", "10.1.0.0", "BITS", "32", "PORT", "1").Replace(form)
}

// portsOr are ports to repeat in an advice: as written, if they can be read.
func portsOr(ports, otherwise string) string {
	if _, err := parsePorts(ports); err != nil {
		return otherwise
	}
	return ports
}

// rewritten has the forms of an advice written into another notation.
func rewritten(err error, read func(string) error, write func(form string) string) error {
	a := (*advice)(nil)
	if !errors.As(err, &a) {
		return err
	}
	b := &advice{why: a.why, read: read}
	for _, form := range a.forms {
		b.forms = append(b.forms, write(form))
	}
	return b
}
