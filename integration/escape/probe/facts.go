package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// facts looks around.
func facts() escape.Facts {
	open := descriptors() // before the runtime opens some of its own
	f := escape.Facts{
		PID: os.Getpid(), PPID: os.Getppid(), UID: os.Getuid(), GID: os.Getgid(),
		Env: os.Environ(), Status: map[string]string{}, Descriptors: open,
		Namespaces: map[string]string{}, Limits: map[string][2]uint64{}, Processes: pids(),
		Root: names("/"), Dev: names("/dev"), Home: names(os.Getenv("HOME")),
	}
	f.Cwd, _ = os.Getwd()
	f.Session, _ = unix.Getsid(0)
	var cwd [4096]byte
	if n, err := unix.Getcwd(cwd[:]); err == nil {
		f.RawCwd = string(cwd[:n-1])
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		f.Mounts = strings.Split(strings.TrimSpace(string(b)), "\n")
	}
	if b, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(b)) {
			k, v, _ := strings.Cut(line, ":")
			f.Status[k] = strings.TrimSpace(v)
		}
	}
	if b, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		f.UIDMap = strings.Join(strings.Fields(string(b)), " ")
	}
	for _, ns := range names("/proc/self/ns") {
		f.Namespaces[ns], _ = os.Readlink("/proc/self/ns/" + ns)
	}
	for name, n := range limitNames {
		var lim unix.Rlimit
		if unix.Getrlimit(n, &lim) == nil {
			f.Limits[name] = [2]uint64{lim.Cur, lim.Max}
		}
	}
	return f
}

// descriptors says what each open descriptor is.
func descriptors() map[string]string {
	open := map[string]string{}
	for fd := range 64 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			continue
		}
		target := make([]byte, 4096)
		n, _ := unix.Readlink(procFD(fd), target)
		open[fmt.Sprint(fd)] = kinds[st.Mode&unix.S_IFMT] + " " + string(target[:max(n, 0)])
	}
	return open
}

var kinds = map[uint32]string{
	unix.S_IFIFO: "pipe", unix.S_IFCHR: "device", unix.S_IFDIR: "directory", unix.S_IFREG: "file", unix.S_IFSOCK: "socket",
	0: "anonymous",
}

var limitNames = map[string]int{
	"core": unix.RLIMIT_CORE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "msgqueue": unix.RLIMIT_MSGQUEUE,
	"sigpending": unix.RLIMIT_SIGPENDING, "memlock": unix.RLIMIT_MEMLOCK, "rtprio": unix.RLIMIT_RTPRIO, "nice": unix.RLIMIT_NICE,
}

// names lists a directory.
func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, filepath.Base(e.Name()))
	}
	return list
}
