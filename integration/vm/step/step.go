// Package step is what the two halves of the harness say to each other: the host
// hands [Step]s in, and the guest answers with a line of JSON per [Event].
package step

import "time"

// Place is where in the guest a step runs.
type Place string

const (
	// Session is the scope of a login session, as of a terminal or by ssh.
	Session Place = "session"
	// Manager is a service of the user's systemd, where desktops start programs.
	Manager Place = "manager"
	// Delegated is a control group of such a service that may make others beside it,
	// with no systemd of the user's in sight.
	Delegated Place = "delegated"
	// Root is a service of root's: what an administrator does before or after.
	Root Place = "root"
)

// Step is one command in the guest.
type Step struct {
	Name  string
	Place Place
	// Dir is the working directory, absolute.
	Dir string
	// Env are variables in addition to what the place has.
	Env []string
	// Args is the command, its program an absolute path.
	Args []string
	// Status is what the command has to exit with.
	Status int
	// Says has to be in what the command prints, each of these somewhere.
	Says []string
	// Brief is for tests that talk much: unless the step fails, only the verdict on
	// each test is printed.
	Brief bool
	// Limit is how long the command may take.
	Limit time.Duration
}

// File is where the guest finds its steps, a JSON array, on the disk of the host's
// things, which is mounted at [Mount].
const File = "steps.json"

// Mount is where the guest has the disk of the host's things, read-only.
const Mount = "/mnt"

// Port is the name of the virtio-serial port that takes the events.
const Port = "events"

// Alive is the first that the guest says on its console: its kernel has come as
// far as our program.
const Alive = "guest: started"

// Event is something that happened in the guest.
type Event struct {
	Kind Kind
	// Step is the name of the step, where the event is about one.
	Step string `json:",omitempty"`
	// Text is what a Booted guest is, a line of Output without its end, or why a
	// step has not run.
	Text string `json:",omitempty"`
	// Status is with which an Ended command has exited.
	Status int `json:",omitempty"`
	// Took is how long the boot or the step took, in the guest's time.
	Took time.Duration `json:",omitempty"`
}

// Kind is what an event is about.
type Kind string

const (
	Booted Kind = "booted" // systemd runs: steps follow
	Begun  Kind = "begun"  // a step begins
	Output Kind = "output" // a step has printed a line
	Ended  Kind = "ended"  // a step has ended
	Done   Kind = "done"   // there are no more steps; the guest powers off
)
