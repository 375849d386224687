package policy

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Runaway says when a server counts as one that has run away, and what happens
// then. A zero field means the default.
type Runaway struct {
	// CallTimeout is how long a request may wait for its answer, or for the next
	// sign of progress on it. Key limits.call_timeout.
	CallTimeout time.Duration `json:"call_timeout_ns"`
	// StartTimeout is how long the first answer may take. limits.start_timeout.
	StartTimeout time.Duration `json:"start_timeout_ns"`
	// IdleCPU is how much processor time all processes together may take without
	// a message of either side. limits.idle_cpu.
	IdleCPU time.Duration `json:"idle_cpu_ns"`
	// Rate is how many messages a second may come from the server, and Stderr how
	// many bytes on its stderr, each over ten seconds. limits.rate, limits.stderr.
	Rate   int64 `json:"rate"`
	Stderr int64 `json:"stderr"`
	// Restarts is how many starts of a server a minute may have, the one to come
	// included. limits.restarts.
	Restarts int64 `json:"restarts"`

	// What happens, each under the same key in the table runaway.
	OnCall, OnStart, OnIdle, OnRate, OnStderr, OnRestarts Action
}

// Action is what happens to a server that has run away. The journal and stderr
// tell of it in any case.
type Action string

const (
	// ActionReport does nothing else.
	ActionReport Action = "report"
	// ActionCancel answers the requests that wait with an error, and tells the
	// server that nobody waits any more: of a time-out the one, else all.
	ActionCancel Action = "cancel"
	// ActionFreeze stops all processes until a person has them go on, and
	// answers all requests.
	ActionFreeze Action = "freeze"
	// ActionKill ends the server. A start that is one too many does not happen.
	ActionKill Action = "kill"
)

// The rules for a policy that says nothing about them.
const (
	DefaultCallTimeout  = 5 * time.Minute
	DefaultStartTimeout = time.Minute
	DefaultIdleCPU      = 10 * time.Minute
	DefaultRate         = 1000
	DefaultStderr       = 1 << 20
	DefaultRestarts     = 20
)

var (
	timeSpan     = span{int64(10 * time.Millisecond), int64(365 * 24 * time.Hour)}
	rateSpan     = span{1, 1 << 30}
	stderrSpan   = span{1, 1 << 40}
	restartsSpan = span{1, 1 << 20}
)

// WithDefaults returns r with every zero field replaced by its default.
func (r Runaway) WithDefaults() Runaway {
	return Runaway{
		DefaultCallTimeout, DefaultStartTimeout, DefaultIdleCPU, DefaultRate, DefaultStderr, DefaultRestarts,
		ActionCancel, ActionKill, ActionReport, ActionReport, ActionReport, ActionReport,
	}.extend(r)
}

func (r Runaway) extend(over Runaway) Runaway {
	return Runaway{
		CallTimeout:  cmp.Or(over.CallTimeout, r.CallTimeout),
		StartTimeout: cmp.Or(over.StartTimeout, r.StartTimeout),
		IdleCPU:      cmp.Or(over.IdleCPU, r.IdleCPU),
		Rate:         cmp.Or(over.Rate, r.Rate),
		Stderr:       cmp.Or(over.Stderr, r.Stderr),
		Restarts:     cmp.Or(over.Restarts, r.Restarts),
		OnCall:       cmp.Or(over.OnCall, r.OnCall),
		OnStart:      cmp.Or(over.OnStart, r.OnStart),
		OnIdle:       cmp.Or(over.OnIdle, r.OnIdle),
		OnRate:       cmp.Or(over.OnRate, r.OnRate),
		OnStderr:     cmp.Or(over.OnStderr, r.OnStderr),
		OnRestarts:   cmp.Or(over.OnRestarts, r.OnRestarts),
	}
}

// CheckCallTimeout refuses a time that a file could not say.
func CheckCallTimeout(t time.Duration) error {
	if int64(t) < timeSpan.least || int64(t) > timeSpan.most {
		return fmt.Errorf("a time-out for calls has to be from %v to %v", time.Duration(timeSpan.least), time.Duration(timeSpan.most))
	}
	return nil
}

// runaway reads the table.
func (d *decoder) runaway() func(value) {
	r := &d.p.Runaway
	action := func(to *Action) func(value) {
		return func(v value) {
			word(d, v, to, `"report", "cancel", "freeze" or "kill"`, ActionReport, ActionCancel, ActionFreeze, ActionKill)
		}
	}
	return d.table(map[string]func(value){
		"call_timeout":  action(&r.OnCall),
		"start_timeout": action(&r.OnStart),
		"idle_cpu":      action(&r.OnIdle),
		"rate":          action(&r.OnRate),
		"stderr":        action(&r.OnStderr),
		"restarts": func(v value) {
			word(d, v, &r.OnRestarts, `"report" or "kill"`, ActionReport, ActionKill)
		},
	})
}

func (d *decoder) duration(to *time.Duration) func(value) {
	return func(v value) {
		const want = `a time, such as "90s" or "5m"`
		var text string
		if !d.read(v, &text, want) {
			return
		}
		t, err := time.ParseDuration(text)
		switch {
		case err != nil:
			d.fail(d.line(v.prim), "%s cannot be %q; it has to be %s", v.key, text, want)
		case int64(t) < timeSpan.least || int64(t) > timeSpan.most:
			d.fail(d.line(v.prim), "%s has to be from %v to %v", v.key, time.Duration(timeSpan.least), time.Duration(timeSpan.most))
		default:
			*to = t
		}
	}
}

// FormatDuration writes a time as a policy would have it.
func FormatDuration(t time.Duration) string {
	text := t.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
