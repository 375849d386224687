package policy

import "golang.org/x/sys/unix"

// process writes the rules on clone, personality and prlimit64. clone3 keeps its flags in
// memory, where a filter cannot see them: it has no rule and gets ENOSYS, upon
// which every libc falls back to clone.
func (r *ruleSet) process() {
	namespaces := []uint64{
		unix.CLONE_NEWNS, unix.CLONE_NEWCGROUP, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC,
		unix.CLONE_NEWUSER, unix.CLONE_NEWPID, unix.CLONE_NEWNET,
	}
	var all uint64
	for _, flag := range namespaces {
		all |= flag
		r.deny(uint(unix.EPERM), []string{"clone"}, masked(0, flag, flag))
	}
	r.allow([]string{"clone"}, masked(0, all, 0))

	// A process may bound itself. PID 1 of the box has the same user and would
	// have to put up with it.
	r.allow([]string{"prlimit64"}, equal(0, 0))
	r.deny(uint(unix.EPERM), []string{"prlimit64"}, greater(0, 0))

	// The personas that the base profile allows, and the question which one
	// holds. The flags that weaken the address space, above all
	// ADDR_NO_RANDOMIZE and READ_IMPLIES_EXEC, are a clear no; what is left of
	// the 2^64 values is not worth a rule each and gets ENOSYS.
	const query = 0xffffffff
	const linux32, uname26 = 0x0008, 0x0020000 // see linux/personality.h
	const firstFlag, lastFlag = 0x0040000, 0x8000000
	r.allow([]string{"personality"}, masked(0, ^uint64(linux32|uname26), 0))
	r.allow([]string{"personality"}, equal(0, query))
	for flag := uint64(firstFlag); flag <= lastFlag; flag <<= 1 {
		r.deny(uint(unix.EPERM), []string{"personality"}, masked(0, 1<<31|flag, flag))
	}
}

// priorities keeps a program from setting back a process beside it. PID 1 of the box
// has the same user; one that hardly ever gets to run, on a processor that the box
// keeps busy, is late to notice that the launcher is gone, and late to die. A program
// may set itself back, and its threads may one by one.
func (r *ruleSet) priorities() {
	perm := uint(unix.EPERM)
	scheduler := []string{"sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler"}
	r.allow(scheduler, equal(0, 0))
	r.deny(perm, scheduler, greater(0, 0))
	// The first argument says what the second is a number of; 0 is the caller's. All
	// processes of the caller's user are PID 1, too.
	const ioprioWhoUser = 3 // ioprio_set(2)
	for _, call := range []struct {
		name string
		user uint64
	}{{"setpriority", unix.PRIO_USER}, {"ioprio_set", ioprioWhoUser}} {
		r.allow([]string{call.name}, less(0, call.user), equal(1, 0))
		r.deny(perm, []string{call.name}, less(0, call.user), greater(1, 0))
		r.deny(perm, []string{call.name}, greater(0, call.user-1))
	}
}

// descriptors writes the rules on fcntl: a lease on a file that may only be read
// makes programs of the host wait that open it for writing, and F_NOTIFY has
// no use any more. What a newer kernel adds gets ENOSYS.
func (r *ruleSet) descriptors() {
	r.allow([]string{"fcntl"}, less(1, unix.F_SETLEASE))
	r.deny(uint(unix.EPERM), []string{"fcntl"}, equal(1, unix.F_SETLEASE))
	r.allow([]string{"fcntl"}, equal(1, unix.F_GETLEASE))
	r.deny(uint(unix.EPERM), []string{"fcntl"}, equal(1, unix.F_NOTIFY))
	const last = 1045 // F_SET_FILE_RW_HINT is 1040; a few to come
	for cmd := uint64(unix.F_NOTIFY + 1); cmd <= last; cmd++ {
		r.allow([]string{"fcntl"}, equal(1, cmd))
	}
}

// terminal keeps a program from typing into a terminal or taking one over,
// should a descriptor of one ever reach it.
func (r *ruleSet) terminal() {
	commands := []uint64{unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD, unix.TIOCCONS}
	const low, high = 0xff, 0xffffff00 // all four are 0x54xx
	for _, c := range commands {
		r.deny(uint(unix.EPERM), []string{"ioctl"}, masked(1, low|high, c))
	}
	for _, b := range differs(high, unix.TIOCSTI) {
		r.allow([]string{"ioctl"}, masked(1, b.mask, b.value))
	}
	var last []uint64
	for _, c := range commands {
		last = append(last, c&low)
	}
	for _, b := range outside(last, 8) {
		r.allow([]string{"ioctl"}, masked(1, b.mask, b.value))
	}
}

// modes keeps programs from making set-id files, which would work on the host
// in a directory that the box may write, and from making device nodes.
func (r *ruleSet) modes() {
	for _, c := range []struct {
		name string
		mode uint // index of the mode argument
	}{
		{"chmod", 1}, {"fchmod", 1}, {"fchmodat", 2}, {"fchmodat2", 2},
		{"creat", 1}, {"mkdir", 1}, {"mkdirat", 2},
	} {
		r.allow([]string{c.name}, masked(c.mode, setID, 0))
		r.denySetID(c.name, c.mode)
	}
	for _, c := range []struct {
		name string
		mode uint
	}{{"mknod", 1}, {"mknodat", 2}} {
		// Type 0 and S_IFREG are regular files, S_IFIFO is a FIFO.
		r.allow([]string{c.name}, masked(c.mode, setID|unix.S_IFMT&^unix.S_IFREG, 0))
		r.allow([]string{c.name}, masked(c.mode, setID|unix.S_IFMT, unix.S_IFIFO))
		r.denySetID(c.name, c.mode)
		for _, b := range outside([]uint64{0, unix.S_IFIFO >> 12, unix.S_IFREG >> 12}, 4) {
			r.deny(uint(unix.EPERM), []string{c.name}, masked(c.mode, b.mask<<12, b.value<<12))
		}
	}
	// The mode of open counts only where a file is made; otherwise it is
	// whatever the register held.
	for _, c := range []struct {
		name        string
		flags, mode uint
	}{{"open", 1, 2}, {"openat", 2, 3}} {
		r.allow([]string{c.name}, masked(c.flags, unix.O_CREAT|tmpfileBit, 0))
		r.allow([]string{c.name}, masked(c.mode, setID, 0))
		r.denySetID(c.name, c.mode, masked(c.flags, unix.O_CREAT, unix.O_CREAT))
		r.denySetID(c.name, c.mode, masked(c.flags, unix.O_CREAT|tmpfileBit, tmpfileBit))
	}
}

const (
	setID = unix.S_ISUID | unix.S_ISGID
	// tmpfileBit is the bit of O_TMPFILE that O_DIRECTORY does not share.
	tmpfileBit = unix.O_TMPFILE &^ unix.O_DIRECTORY
)

// denySetID denies a call where the mode has a set-id bit and the other
// conditions hold.
func (r *ruleSet) denySetID(name string, mode uint, also ...arg) {
	for _, b := range []block{{unix.S_ISUID, unix.S_ISUID}, {setID, unix.S_ISGID}} {
		r.deny(uint(unix.EPERM), []string{name}, append(also[:len(also):len(also)], masked(mode, b.mask, b.value))...)
	}
}
