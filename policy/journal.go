package policy

import "cmp"

// Journal says how much is kept of what a program did, and what happens when it
// cannot be.
type Journal struct {
	Max    int64    `json:"max"`    // bytes of one run
	Keep   int64    `json:"keep"`   // bytes of all runs of a server; at least Max
	Full   FullMode `json:"full"`   // when a record cannot be written
	Bodies BodyMode `json:"bodies"` // what is kept of each message's text
}

// FullMode says what becomes of a run whose journal cannot be written.
type FullMode string

const (
	// FullStop ends the server. It is the default: what cannot be recorded does
	// not run.
	FullStop FullMode = "stop"
	// FullContinue lets it run, and counts what is lost.
	FullContinue FullMode = "continue"
)

// words is what becomes of the server.
func (m FullMode) words() string {
	if m == FullContinue {
		return "the server goes on, and what is lost is counted"
	}
	return "the server is stopped"
}

// BodyMode says what is kept of the text of a message, beside its size.
type BodyMode string

const (
	BodyNone   BodyMode = "none"
	BodyDigest BodyMode = "digest" // its SHA-256; the default
	BodyFull   BodyMode = "full"
)

// The journal of a policy that says nothing about it.
const (
	DefaultJournalMax  = 64 << 20
	DefaultJournalKeep = 256 << 20
)

var journalSpan = span{1 << 20, 1 << 40}

// WithDefaults returns j with every zero field replaced by its default. Keep is
// raised to Max.
func (j Journal) WithDefaults() Journal {
	j.Max = cmp.Or(j.Max, DefaultJournalMax)
	j.Keep = max(cmp.Or(j.Keep, DefaultJournalKeep), j.Max)
	j.Full = cmp.Or(j.Full, FullStop)
	j.Bodies = cmp.Or(j.Bodies, BodyDigest)
	return j
}

func (j Journal) extend(over Journal) Journal {
	return Journal{
		Max:    cmp.Or(over.Max, j.Max),
		Keep:   cmp.Or(over.Keep, j.Keep),
		Full:   cmp.Or(over.Full, j.Full),
		Bodies: cmp.Or(over.Bodies, j.Bodies),
	}
}

// journal reads the table.
func (d *decoder) journal() func(value) {
	return d.table(map[string]func(value){
		"max":  d.size(&d.p.Journal.Max, journalSpan),
		"keep": d.size(&d.p.Journal.Keep, journalSpan),
		"full": func(v value) {
			word(d, v, &d.p.Journal.Full, `"stop" or "continue"`, FullStop, FullContinue)
		},
		"bodies": func(v value) {
			word(d, v, &d.p.Journal.Bodies, `"none", "digest" or "full"`, BodyNone, BodyDigest, BodyFull)
		},
	})
}
