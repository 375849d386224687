package netfilter

import (
	"errors"
	"fmt"
)

// refusal is the error of a connection or request that must not go on: what it
// said is against the rules, or can be read in more than one way. It is final;
// more bytes would not change it. Errors of other types are accidents of the
// network or of the operating system.
//
// The reason is short English for the journal. Text of the box in it is quoted
// and of bounded length, so that a record can neither be forged nor blown up.
type refusal struct {
	reason string
	allow  string // the rule that would allow it, if the usual one would not
	// foreign says that it is another protocol than TLS and HTTP, which a rule
	// with tcp:// would let pass.
	foreign bool
}

func (r *refusal) Error() string { return r.reason }

func isForeign(err error) bool {
	bad := (*refusal)(nil)
	return errors.As(err, &bad) && bad.foreign
}

// refuse makes a refusal. Arguments that come from the box are formatted by %q
// and cut by [short], or are numbers.
func refuse(format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...)}
}

// short returns as much of text of the box as a journal record should hold.
func short[T ~string | ~[]byte](text T) string {
	const most = 80
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}
