package pid1

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
)

// Init is where PID 1 lies inside of the container.
const Init = "/run/mcpbox/init"

// The FIFOs, by the directories that they lie in.
const (
	// In is of those that are read inside. It is always mounted read-only, so that
	// no writing end of one can be had there.
	In      = "/run/mcpbox/in"
	Control = "control" // orders, to PID 1
	Stdin   = "stdin"
	// Out is of those that are written to inside.
	Out    = "/run/mcpbox/out"
	Status = "status" // reports, from PID 1
	Stdout = "stdout"
	Stderr = "stderr"
)

// Path is where the FIFO name lies inside of the container.
func Path(name string) string {
	if name == Control || name == Stdin {
		return In + "/" + name
	}
	return Out + "/" + name
}

// Order is what the launcher asks for; one field of it is set.
type Order struct {
	Plan   *Plan `json:",omitempty"` // the first
	Go     bool  `json:",omitempty"` // the second: start the program
	Signal int   `json:",omitempty"` // send this to the program
}

// Plan is what is to run, and what has to be true before. It does not stand in
// the specification, which containerd keeps on the disk: the environment holds
// secrets.
type Plan struct {
	UID, GID  int
	Args, Env []string
	Cwd       string
	// Landlock is what the program may do by path; without rules it is not confined so.
	Landlock landlock.Policy
	Links    []Link  // in file systems that are empty at first
	Checks   []Check // of mounts
	// Filter is the program of the filter (seccomp(2)) that PID 1 installs for itself and
	// for what it starts, before it looks at what it is in. Without one there has to be
	// one already.
	Filter []byte `json:",omitempty"`
	// Kernel is whether the kernel inside is the host's, whose own word is taken
	// for what confines this process. With gVisor's, which has less to say, this
	// process is root inside, and only the program is the box's user.
	Kernel bool
}

// Link is a symbolic link to make.
type Link struct{ Path, Text string }

// Check is what has to be at a path.
type Check struct {
	Path     string
	ReadOnly bool
	// Mapped is that the owner has to be the box's user here, whoever it is on the
	// host.
	Mapped bool
	// Ino is the file that the launcher saw, 0 if that is not known, on the device
	// Dev.
	Dev, Ino uint64
}

// Report is what PID 1 says; one field of it is set.
type Report struct {
	Ready    bool     `json:",omitempty"` // confined, and all is as planned
	Landlock int      `json:",omitempty"` // with that: the ABI that is in force, or 0
	Started  bool     `json:",omitempty"` // the program runs
	Failure  *Failure `json:",omitempty"` // it never will
	Exited   *Exited  `json:",omitempty"` // the program has ended
}

// Failure is why a program was not started.
type Failure struct {
	Step, Path, Text string
	Errno            int  // 0 if it was not a system call
	Exec             bool // the program could not be executed
}

// Exited is how the program has ended.
type Exited struct {
	Status       uint32 // as wait(2) has it
	User, System int64  // processor time of all that was waited for, in nanoseconds
	MaxRSS       int64  // of the largest process, in bytes
}

// Steps of a failure that the launcher explains.
const (
	StepCheck = "check"
	StepOwner = "owner" // of a mapped mount
)

// maxFrame is more than arguments and environment can be (execve(2)), in JSON.
const maxFrame = 64 << 20

var errFrame = errors.New("malformed message")

// Send writes v to a FIFO.
func Send(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), data...))
	return err
}

// Receive reads what Send has written.
func Receive(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return errFrame
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}
