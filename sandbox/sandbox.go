// Package sandbox runs one program in a box described by an OCI runtime
// specification, and says how it ended.
//
// The vocabulary is github.com/opencontainers/runtime-spec, so that every
// backend gives one policy one meaning. Three mount types are ours, because a box
// has no root file system image to take the first two from, and no place of its
// own on the disk for the third; a backend lowers them to whatever it has:
//
//	symlink  Destination becomes a symbolic link whose text is Source.
//	file     Destination becomes a read-only file whose content is Source.
//	staged   Destination becomes a view of the directory Source in which the
//	         program may change what it likes. Source stays as it is: the
//	         changes are kept apart, in memory, up to the option size, and
//	         [Box.Staged] gives them out. What else is mounted inside Source
//	         does not belong to the view, and a backend may refuse it.
//
// And one option of bind mounts is ours:
//
//	dest-elsewhere  Destination lies on another directory of the host than its path
//	                says, in which there is a place for it. Without it, a mount whose
//	                Source is its Destination is only made on that very file.
//
// A backend refuses, with an [UnsupportedError], each mount type, option,
// resource or layer that it cannot enforce. It never leaves one out quietly.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// AnnotationUnixSockets is the spec annotation that holds the box's policy for
// AF_UNIX: "none", "private" or "host" (see package policy). Without it a
// backend assumes "none".
const AnnotationUnixSockets = "dev.mcpbox.unix-sockets"

// AnnotationHostDirectories is the spec annotation that is "true" where files of
// the host other than programs are in the box. Then a socket that a program of
// the host makes there is in reach of a box that has sockets.
const AnnotationHostDirectories = "dev.mcpbox.host-directories"

// AnnotationRequire is the spec annotation that is "cgroup" where a box may not
// start unless the kernel itself keeps its limits ([Tier.Kernel]).
const AnnotationRequire = "dev.mcpbox.limits-require"

// Backend starts boxes.
type Backend interface {
	// Start runs spec.Process in a new box and returns once the program has
	// replaced the backend's own code, so that an error here means that not
	// one instruction of the program ran. A program that is missing or cannot
	// be executed is a [*ExecError]. Cancelling ctx before Start returns
	// abandons the box; afterwards it has no effect. Without a network the box
	// has its loopback interface and no route.
	Start(ctx context.Context, spec *specs.Spec, network *Network) (Box, error)

	// Check reports every layer that the backend can build, whether this
	// machine has it, and how to get it where it is missing. It starts
	// nothing that outlives the call.
	Check() []Layer

	// Tier is the tier that a box would get which is started now. It makes
	// nothing, so that Start may find it to be a weaker one.
	Tier() Tier
}

// Box is one running program and everything that it started. Its methods may
// be called from any goroutine.
type Box interface {
	// PID is the host's process id of the box's PID 1.
	PID() int

	// Stdin, Stdout and Stderr are the host's ends of the program's standard
	// streams: pipes of the box's own, never the host's descriptors.
	Stdin() io.WriteCloser
	Stdout() io.ReadCloser
	Stderr() io.ReadCloser

	// Layers reports what confines this box.
	Layers() []Layer

	// Tier says by what the limits of this box hold.
	Tier() Tier

	// Cgroups are the directories of the box's cgroups, which it alone is in, for
	// whoever has to end it without its launcher.
	Cgroups() []string

	// Staged are the changes to the mounts of type staged, in the order of
	// the specification. They are complete once Wait has returned; until then
	// they may change at any moment. The files belong to the caller, who closes
	// them: without them the changes are gone with the box.
	Staged() []Staged

	// Signal sends sig to the program, not to its descendants.
	Signal(sig syscall.Signal) error

	// Kill ends every process of the box, frozen or not. It is safe to call at
	// any time and any number of times.
	Kill() error

	// Freeze stops every process of the box where it is, until Thaw. Once it
	// has returned nil, not one instruction of theirs is executed. On an error
	// none is left stopped: that a box cannot be frozen is known within
	// seconds, and a box that has ended is [os.ErrProcessDone]. Freezing again
	// does nothing.
	Freeze() error

	// Thaw lets the processes go on. Of a box that is not frozen, it wakes
	// those that have stopped themselves.
	Thaw() error

	// Processes are the host's process ids of the processes of the box, without
	// those of a backend's own. One that starts meanwhile may be missing, and one
	// that has ended may be in it. A box that has ended is [os.ErrProcessDone].
	Processes() ([]int, error)

	// Usage measures what the processes of the box take now; those of a
	// backend's own are left out. A box that has ended is
	// [os.ErrProcessDone].
	Usage() (Load, error)

	// Wait returns once no process of the box is left, or, some seconds after it
	// was killed, none but those of [Exit.Stuck]. Every caller gets the same
	// result.
	Wait() (Exit, error)
}

// Staged is what a box has changed in one directory of type staged.
type Staged struct {
	// Source is the directory, which is as it was.
	Source string
	// Upper is a directory descriptor (O_PATH) of the changes, an upper layer
	// of overlayfs with the attributes user.overlay.*: what is there was added
	// or changed, and a character device 0:0 stands for what was removed.
	// Nothing in it may be trusted: the program has made it.
	Upper *os.File
}

// Exit is how a box ended.
type Exit struct {
	// Code is the program's exit status, 0 to 255; -1 if a signal ended it.
	Code int
	// Signal is the signal that ended the program, or 0.
	Signal syscall.Signal
	// Usage sums over all processes of the box; where the kernel does not count
	// that, over those that were waited for.
	Usage Usage
	// Memory is what it took of memory.
	Memory Memory
	// Stuck are the host's process ids of what was killed and cannot end, because
	// it waits in the kernel for something that does not come, such as the answer
	// of a file system. They execute nothing any more. Usage is incomplete then.
	Stuck []int
	// StuckBy says in words what else it is that keeps those of Stuck, and what to
	// type; "" if they wait in the kernel.
	StuckBy string
	// Exceeded is the limit for which the box was killed, by the kernel or by
	// its backend; nil if it was not.
	Exceeded *LimitError
}

// Memory is about all processes of a box together, in bytes.
type Memory struct {
	// Peak is the most that they took at a time, with the files that they had
	// in memory; 0 if that is not known. The watchdog tier knows what it saw.
	Peak int64
	// Limit is what they were allowed; 0 is no limit.
	Limit int64
}

// LimitError is a limit that a box has exceeded.
type LimitError struct {
	// Limit is its key in the policy, below "limits": "memory" or "disk".
	Limit string
	// Used and Allowed are bytes. Used may be less than Allowed: the kernel
	// refuses what would exceed it.
	Used, Allowed int64
	// Detail says in words what a number does not, or is "".
	Detail string
	// Late is that this was found when the box had ended by itself.
	Late bool
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("limit on %s exceeded: %d of %d bytes", e.Limit, e.Used, e.Allowed)
}

// Tier says by what the limits on memory, processor time and processes hold.
type Tier string

// The tiers, the best first.
const (
	TierScope   Tier = "systemd scope" // a cgroup v2 that systemd has made and delegated
	TierSubtree Tier = "cgroup v2"     // one below a cgroup that the launcher may write to
	TierV1      Tier = "cgroup v1"     // in the memory, pids and cpu hierarchies
	// TierWatchdog is no cgroup: the launcher measures the memory and kills, the
	// number of processes is a resource limit, and processor time has a low
	// priority in the place of a limit.
	TierWatchdog Tier = "watchdog"
)

// Kernel reports whether the kernel keeps the limits, rather than the launcher.
func (t Tier) Kernel() bool { return t != TierWatchdog }

// Usage is what a box consumed.
type Usage struct {
	User, System time.Duration
	// MaxRSS is the largest resident set of any one process, in bytes.
	MaxRSS int64
}

// Load is what a box takes at one moment.
type Load struct {
	// Processes are counted with those that have ended and not been waited
	// for.
	Processes int
	// CPU is the processor time, user and system, of the processes that there
	// are, and of those that have been waited for.
	CPU time.Duration
	// Memory is what counts against the limit on it, in bytes: what several
	// processes share counts once, files on a tmpfs of the box count, and files
	// that the kernel could drop from memory do not.
	Memory int64
}

// Layer is one line of defence on this machine.
type Layer struct {
	// Name is the layer's short name, such as "seccomp".
	Name string `json:"name"`
	// State is what the machine offers.
	State LayerState `json:"state"`
	// Detail is a version, a count, or what exactly is missing.
	Detail string `json:"detail,omitempty"`
	// Fix is the line to type or the setting to change, where State is not
	// Enforced.
	Fix string `json:"fix,omitempty"`
}

// LayerState says how far a layer holds.
type LayerState string

const (
	Enforced LayerState = "enforced" // holds in full
	Partial  LayerState = "partial"  // holds in part, see Detail
	Missing  LayerState = "missing"  // not on this machine; other layers carry on
	Fatal    LayerState = "fatal"    // not on this machine, and no box starts without it
)

// ErrUnsupported is what every [*UnsupportedError] matches.
var ErrUnsupported = errors.New("not supported on this machine")

// UnsupportedError says which feature cannot be enforced here, and what would
// help.
type UnsupportedError struct {
	Feature string // what was asked for
	Reason  string // why it cannot be had
	Fix     string // what to type, change or leave out
	Err     error  // the kernel's answer, where there was one; not shown
}

func (e *UnsupportedError) Error() string {
	s := e.Feature + ": " + e.Reason
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Unwrap lets errors.Is see the kernel's answer.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrUnsupported) hold.
func (e *UnsupportedError) Is(target error) bool { return target == ErrUnsupported }

// ExecError says that the program could not be executed inside the box.
type ExecError struct {
	Path string
	Err  error
}

func (e *ExecError) Error() string { return fmt.Sprintf("exec %s: %v", e.Path, e.Err) }
func (e *ExecError) Unwrap() error { return e.Err }

// NotFound reports whether the program was missing, as opposed to not
// executable.
func (e *ExecError) NotFound() bool { return errors.Is(e.Err, os.ErrNotExist) }
