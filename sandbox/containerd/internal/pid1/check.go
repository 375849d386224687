package pid1

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/internal/userns"
	"golang.org/x/sys/unix"
)

// check refuses a box that is not the one which was asked for. A runtime may be
// old, replaced, or told by a file of its own to leave something out; this is the
// last moment at which no code but ours has run.
func (p *Plan) check() *Failure {
	uid, gid := p.UID, p.GID
	if !p.Kernel {
		uid, gid = 0, 0
	}
	if unix.Getuid() != uid || unix.Geteuid() != uid || unix.Getgid() != gid || unix.Getegid() != gid {
		return fail(StepCheck, "", fmt.Errorf("this is user %d:%d, not %d:%d", unix.Geteuid(), unix.Getegid(), uid, gid))
	}
	if len(p.Args) == 0 {
		return fail("plan", "", errFrame)
	}
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fail(StepCheck, "/proc/self/status", err)
	}
	if err := confined(string(data), p.Kernel); err != nil {
		return fail(StepCheck, "", err)
	}
	if err := checkInterfaces(); err != nil {
		return fail(StepCheck, "/proc/net/dev", err)
	}
	if p.Kernel {
		if err := checkLimits(userns.Dir); err != nil {
			return fail(StepCheck, userns.Dir, err)
		}
	}
	for _, c := range append([]Check{{Path: "/", ReadOnly: true}}, p.Checks...) {
		if err := c.check(p.Kernel); err != nil {
			return fail(StepCheck, c.Path, err)
		}
		if err := c.checkOwner(p.UID, p.GID); err != nil {
			return fail(StepOwner, c.Path, err)
		}
	}
	return nil
}

// confined looks in the text of proc_pid_status(5) for what has to hold.
func confined(status string, kernel bool) error {
	const none = "0000000000000000"
	want := map[string]string{"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2"}
	if !kernel {
		want = map[string]string{"Seccomp": "2"} // gVisor tells less
	}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		if w, ok := want[key]; ok {
			if v := strings.TrimSpace(value); v != w {
				return fmt.Errorf("%s is %s, not %s", key, v, w)
			}
			delete(want, key)
		}
	}
	for key := range want {
		return fmt.Errorf("%s is not known", key)
	}
	return nil
}

// checkInterfaces refuses a network beside lo (proc_pid_net(5)).
func checkInterfaces() error {
	data, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return err
	}
	return onlyLoopback(string(data))
}

func onlyLoopback(dev string) error {
	for line := range strings.Lines(dev) {
		name, _, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(name) != "lo" {
			return fmt.Errorf("there is a network interface %s", strings.TrimSpace(name))
		}
	}
	return nil
}

func (c *Check) check(kernel bool) error {
	if c.ReadOnly && kernel {
		var fs unix.Statfs_t
		if err := unix.Statfs(c.Path, &fs); err != nil {
			return err
		}
		if fs.Flags&unix.ST_RDONLY == 0 {
			return errors.New("it is not read-only")
		}
	}
	if c.Ino == 0 || !kernel {
		return nil
	}
	// What is mounted on itself is the same file where it is not mounted: the runtime
	// may have been led elsewhere meanwhile.
	var stx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, c.Path, unix.AT_SYMLINK_NOFOLLOW, 0, &stx); err != nil {
		return err
	}
	if stx.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 && stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 { // Linux 5.8
		return errors.New("source changed while the box was being built: nothing is mounted there")
	}
	var st unix.Stat_t
	if err := unix.Lstat(c.Path, &st); err != nil {
		return err
	}
	if st.Dev != c.Dev || st.Ino != c.Ino {
		return errors.New("source changed while the box was being built")
	}
	return nil
}

// checkOwner refuses a mount whose owners are not mapped: a runtime that does not
// know of mapping them leaves it out.
func (c *Check) checkOwner(uid, gid int) error {
	if !c.Mapped {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Lstat(c.Path, &st); err != nil {
		return err
	}
	if int(st.Uid) != uid || int(st.Gid) != gid {
		return fmt.Errorf("its owner is %d:%d, not %d:%d", st.Uid, st.Gid, uid, gid)
	}
	return nil
}
