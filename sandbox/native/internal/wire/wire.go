// Package wire is what the launcher and the two stages of a native box say to
// each other.
//
//	launcher                     stage 1 (PID 1)                  stage 2
//	   | control socket, liveness and |                               |
//	   | plan pipes (inherited)       |                               |
//	   |----------------------------->| loopback                      |
//	   |--- trees (if root), plan --->|                               |
//	   |<---- Sockets ----------------|------ plan memfd, go, done -->|
//	   |----- Attached -------------->| mounts, limits                | its program starts
//	   |                              |------------ go -------------->|
//	   |<---- Staged (if any is) -----|                               | limits, keyring,
//	   |----- Attached -------------->| drops everything, ignores     | capabilities, Landlock
//	   |                              | every signal                  |
//	   |                              |------------ go -------------->|
//	   |                              |                               | seccomp
//	   |                              |<----- Failure, or EOF --------| execve
//	   |<---- Started or Failure -----|                               |
//	   |----- Signal ---------------->|----- kill(main, n) ---------->|
//	   |<---- Exited -----------------|<----- wait status ------------|
//
// The control socket is a SOCK_SEQPACKET pair: one message, one packet. The
// liveness pipe never carries a byte; its end tells stage 1 that the launcher
// is gone. The plan travels through a pipe because it holds environment values,
// which neither argv nor the environment of a stage may show; stage 1 keeps it
// for stage 2 in a memfd.
package wire

import (
	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
	"golang.org/x/sys/unix"
)

// File descriptors that the launcher hands to stage 1, after 0, 1 and 2.
const (
	FDControl  = 3
	FDLiveness = 4
	FDInit     = 5
	FDPlan     = 6
)

// File descriptors that stage 1 hands to stage 2, after 0, 1 and 2.
const (
	FD2Plan = 3
	FD2Go   = 4
	FD2Done = 5
)

// Arg0 is argv[0] of both stages, and Stage1 and Stage2 are argv[1].
const (
	Arg0   = "mcpbox-init"
	Stage1 = "1"
	Stage2 = "2"
)

// StageEnv is the environment of both stages: they allocate a few hundred
// kilobytes, once, and do one thing at a time. The server gets the plan's instead.
var StageEnv = append([]string{"GOGC=off", "GOMAXPROCS=1"}, raceEnv...)

// Plan is all that the stages need to know.
type Plan struct {
	Hostname string
	Mounts   []Mount
	Address  []byte   // IPv4, of the loopback interface; none if empty
	Sockets  []Socket // with them come routes that make every address local
	Masked   []string // in-box paths hidden behind an empty file or directory
	ReadOnly []string // in-box paths made read-only, with all below
	// Sysctls are written through the box's own /proc/sys by stage 1. The
	// file may be missing on this kernel; any other failure is fatal.
	Sysctls []Sysctl

	UID, GID int // the box's user, the same number inside and on the host

	Args     []string
	Env      []string
	Cwd      string
	Rlimits  []Rlimit
	OOMScore int
	Nice     int // added to the program's nice value (nice(2)); 0 leaves it

	Landlock Landlock
	Filter   []byte // struct sock_filter array for the program
	Init     []byte // struct sock_filter array for PID 1
	Umask    int

	// LayersOff lists layers to leave out. Only a binary built with the tag
	// layersoff looks at it, to prove each layer on its own in tests.
	LayersOff []string
}

// Mount is one entry of the box's file system, made in order.
type Mount struct {
	Kind   string // "bind", "staged", "tmpfs", "proc", "symlink" or "file"
	Target string // clean absolute in-box path
	// Source is a host path without any symlink for bind and staged, the link
	// text for symlink, the content for file.
	Source string
	// Dev, Ino and Type (the S_IFMT bits) are what the launcher saw at Source.
	// Stage 1 refuses a source that is something else by then (CVE-2021-30465
	// and its kin).
	Dev, Ino uint64
	Type     uint32
	// Tree is the number, from 1, of a detached mount that the launcher has
	// made of Source already and sent along; 0 if stage 1 opens Source itself.
	Tree int

	Recursive bool   // bind, staged: with submounts
	NoFollow  bool   // put the mount on a symlink at Target itself
	Elsewhere bool   // Target is a place made for it, not the file at Source, whatever their names
	Attr      uint64 // MOUNT_ATTR_*
	Options   []string
}

// Socket is one socket of the box's network namespace that the launcher gets.
type Socket struct {
	Domain, Type, Protocol int
	Optional               bool
}

// Sysctl is one file below /proc/sys, its path with slashes. Where Required
// is false a refusal by the kernel is tolerated and reported.
type Sysctl struct {
	Path, Value string
	Required    bool
}

// Rlimit is one setrlimit(2) call.
type Rlimit struct {
	Resource   int
	Soft, Hard uint64
}

// Landlock is the second file system layer, by in-box path.
type Landlock = landlock.Policy

// PathRule grants access to a path and all below it.
type PathRule = landlock.Rule

// FromHost reports whether the mount shows what is at Source on the host.
func (m *Mount) FromHost() bool { return m.Kind == "bind" || m.Kind == "staged" }

// TreeAttr are the attributes of the mount of Source: as the layer below a staged
// one it is read-only.
func (m *Mount) TreeAttr() uint64 {
	if m.Kind == "staged" {
		return m.Attr | unix.MOUNT_ATTR_RDONLY
	}
	return m.Attr
}

// StepChanges is the step of a [Failure] where the kernel's tmpfs has no
// attributes for users.
const StepChanges = "keep changes"

// Message types on the control socket.
const (
	TypeTrees    = 't' // no body; descriptors of detached mounts
	TypeSockets  = 'n'
	TypeStaged   = 'o'
	TypeRights   = 'r' // no body; descriptors of sockets, or of what is staged
	TypeSend     = 'd' // no body; the launcher wants them as TypeRights
	TypeAttached = 'a' // no body; the launcher has them
	TypeStarted  = 's'
	TypeFailure  = 'f'
	TypeExited   = 'x'
	TypeSignal   = 'k'
)

// Failure says which step of the set-up failed.
type Failure struct {
	Step  string
	Path  string
	Errno unix.Errno
	Msg   string
	// Exec is set when the program itself could not be executed.
	Exec bool
}

func (f *Failure) Error() string {
	s := f.Step
	if f.Path != "" {
		s += " " + f.Path
	}
	if f.Msg != "" {
		s += ": " + f.Msg
	}
	if f.Errno != 0 {
		s += ": " + f.Errno.Error()
	}
	return s
}

// Unwrap lets errors.Is see the errno through the pipe.
func (f *Failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

// Sockets are the numbers of stage 1's descriptors for the sockets of the plan,
// in its order; -1 for an optional one that cannot be had.
type Sockets struct{ FDs []int }

// Staged are the numbers of stage 1's descriptors for the changes of the staged
// mounts of the plan, in its order.
type Staged struct{ FDs []int }

// Nothing is a message without a body.
type Nothing struct{}

// Started says what stage 1 and 2 put in force.
type Started struct {
	LandlockABI   int
	SysctlRefused []string
}

// Exited carries the wait(2) status of the program.
type Exited struct{ Status uint32 }

// Signal asks stage 1 to signal the program.
type Signal struct{ Number int }
