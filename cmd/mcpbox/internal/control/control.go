// Package control is what the commands of other terminals and the launcher of a
// run say to each other.
//
//	command                                launcher
//	   |------ connect(RUNTIME/ID/control) --->| whose uid is it? (SO_PEERCRED)
//	   |------ {"do":"freeze"}\n ------------->|
//	   |<----- {} or {"error":"..."} or -------|
//	   |       {"status":{...}}, and \n        |
//	   |<----- end --------------------------->|
//
// One connection carries one request. A request is accepted in the one spelling
// that this package gives it, so there is nothing to parse in two ways, and
// within a second, so nobody who is slow or silent keeps others waiting.
package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"time"
)

// Verb is what a launcher is asked to do.
type Verb string

// The verbs. Each may be given again, and then changes nothing.
const (
	Query   Verb = "status"  // say how the run is
	Freeze  Verb = "freeze"  // stop every process of the box
	Thaw    Verb = "thaw"    // let them go on
	Cut     Verb = "cut"     // end its connections, and refuse new ones
	Restore Verb = "restore" // allow again what the policy allows
	Kill    Verb = "kill"    // begin to end the run

	Describe Verb = "describe" // status, and what the run may do and does, for a snapshot
)

var verbs = []Verb{Query, Freeze, Thaw, Cut, Restore, Kill, Describe}

// Status is how a run is at one moment.
type Status struct {
	Frozen bool `json:"frozen"`
	Cut    bool `json:"cut"`
	// Ending is a run whose server has ended. The rest is zero then.
	Ending      bool          `json:"ending"`
	Processes   int           `json:"processes"`
	CPU         time.Duration `json:"cpuNs"`
	Memory      int64         `json:"memoryBytes"`
	Connections int64         `json:"connections"` // that are open
	Requests    int64         `json:"requests"`    // of the host, since the start
	Denied      int64         `json:"denied"`      // connections and names, since the start
	// Description is the answer to Describe.
	Description json.RawMessage `json:"description,omitempty"`
}

const (
	maxRequest = 256
	maxReply   = 64 << 20
)

type request struct {
	Do Verb `json:"do"`
}

type reply struct {
	Error  string  `json:"error,omitempty"`
	Status *Status `json:"status,omitempty"`
}

var errRequest = errors.New("not a request that this version of mcpbox knows")

// decode reads a request, with the line feed at its end.
func decode(line []byte) (Verb, error) {
	var r request
	if len(line) > maxRequest || json.Unmarshal(line, &r) != nil || !slices.Contains(verbs, r.Do) || !bytes.Equal(line, encode(r)) {
		return "", errRequest
	}
	return r.Do, nil
}

// encode makes a line of a request or a reply, whose types always can be one.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte(`{"error":"no words for the answer"}`)
	}
	return append(data, '\n')
}
