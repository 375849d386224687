package escape

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"
)

// row is what one attack must come to in every situation.
//
// A cell is "yes" if the attack succeeds there, or else what stops it, the
// Error of its [Result]; "|" separates answers that are as good as each other.
type row struct {
	id string
	// bare is the control: "yes", or "root" where only root outside a box can
	// do it, and the control is done as root. "yes|ENOSYS" or "root|ENOENT"
	// hold where a kernel or machine may lack the thing. "staged" is "yes"
	// with a thing that only root can prepare. "n/a: why" is no control.
	bare string
	// boxed is the box of an ordinary user.
	boxed string
	// but holds what differs from boxed elsewhere.
	but but
}

// but lists the situations beside the ordinary one. An empty cell is the same
// as boxed.
type but struct {
	root     string // the launcher runs as root
	seccomp  string // without the system call filter
	landlock string // without Landlock
	userns2  string // without the second user namespace
	all      string // without these three; empty is as without the filter
}

// Outcomes of controls.
const (
	yes    = "yes"
	asRoot = "root"
	staged = "staged"
)

// rows returns the whole table.
func rows() []row {
	return slices.Concat(namespaceRows, mountRows, procRows, fileRows, inheritRows, processRows,
		kernelRows, socketRows, archRows(), setIDRows, limitRows, protectedRows, readOnlyRows, networkRows)
}

// cell returns what r expects in a situation.
func (r row) cell(s situation) string {
	if kernelLandlock() < 6 && s.name == "boxed" && r.but.landlock != "" {
		return r.boxed + "|" + r.but.landlock // an older kernel has less of it
	}
	return cmp.Or(map[string]string{
		"bare": r.bare, "root": r.but.root, "seccomp off": r.but.seccomp, "landlock off": r.but.landlock,
		"userns2 off": r.but.userns2, "all three off": cmp.Or(r.but.all, r.but.seccomp),
	}[s.name], r.boxed)
}

// kernelLandlock is the version of Landlock that this kernel has, or 0.
func kernelLandlock() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}
