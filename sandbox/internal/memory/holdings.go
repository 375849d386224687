package memory

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// holdings is what processes hold of memory that files on a tmpfs are made of, beside
// such files.
type holdings struct {
	sum   int64
	files map[file]bool // that are in sum
	// unknown is that they hold files of which nothing can be known.
	unknown bool
}

// file is the device and the inode of one.
type file [2]uint64

// descriptors adds the memfd_create(2) files that a process has open or was started
// from. Files on their way through a socket of its are unknown.
func (h *holdings) descriptors(pid int, late func() bool) {
	exe := fmt.Sprintf("/proc/%d/exe", pid)
	if target, err := os.Readlink(exe); err == nil && isMemfd(target) {
		h.add(exe)
	}
	for _, path := range tables(pid, late) {
		dir, err := os.Open(path + "/fd")
		if err != nil {
			continue
		}
		names, _ := dir.Readdirnames(-1)
		dir.Close()
		for _, name := range names {
			target, err := os.Readlink(path + "/fd/" + name)
			switch {
			case err != nil:
			case isMemfd(target):
				h.add(path + "/fd/" + name)
			case strings.HasPrefix(target, "socket:"):
				h.unknown = h.unknown || inFlight(path+"/fdinfo/"+name)
			}
		}
	}
}

// add adds what a file holds.
func (h *holdings) add(path string) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return
	}
	if f := (file{st.Dev, st.Ino}); !h.files[f] {
		h.files[f] = true
		h.sum += st.Blocks * 512
	}
}

// inFlight reports whether descriptors wait in a UNIX socket to be received, by what
// /proc/PID/fdinfo says of it. Linux before 5.19 does not say so of connections that
// nobody has accepted.
func inFlight(fdinfo string) bool {
	data, err := os.ReadFile(fdinfo)
	if err != nil {
		return false // it has been closed
	}
	_, rest, found := bytes.Cut(data, []byte("\nscm_fds:"))
	line, _, _ := bytes.Cut(rest, []byte{'\n'})
	return found && string(bytes.TrimSpace(line)) != "0"
}

// tables are directories of threads of a process, by which each table of descriptors
// there is: a thread may have its own (unshare(2)).
func tables(pid int, late func() bool) (list []string) {
	task := fmt.Sprintf("/proc/%d/task", pid)
	dir, err := os.Open(task)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var first []int
next:
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil || late() {
			continue
		}
		for _, other := range first {
			if sameTable(tid, other) {
				continue next
			}
		}
		first, list = append(first, tid), append(list, task+"/"+name)
	}
	return list
}

// kcmpFiles is KCMP_FILES of kcmp(2).
const kcmpFiles = 2

// sameTable reports whether two threads have the same table, as far as the kernel says:
// it need not have the call.
func sameTable(tid, other int) bool {
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(tid), uintptr(other), kcmpFiles, 0, 0, 0)
	return errno == 0 && order == 0
}

// mappings adds the size of the mappings of a process that are shared and
// anonymous, or of System V segments: how much they hold cannot be asked. Of a memfd
// that is in a mapping alone only root learns that; the mapping may be far smaller.
func (h *holdings) mappings(pid int, late func() bool) {
	forMappings(pid, "maps", late, func(line []byte, device string) bool {
		field := bytes.Fields(line)
		if len(field) < 6 {
			return false
		}
		span, name := string(field[0]), string(field[5])
		switch {
		case isMemfd(name):
			if f, ok := mappedFile(device, string(field[4])); ok && h.files[f] {
				return false
			}
			before := len(h.files)
			from, to, _ := strings.Cut(span, "-")
			h.add(fmt.Sprintf("/proc/%d/map_files/%s-%s", pid, strings.TrimLeft(from, "0"), strings.TrimLeft(to, "0")))
			h.unknown = h.unknown || len(h.files) == before
		case name == "/dev/zero" && bytes.HasSuffix(bytes.TrimSpace(line), []byte("/dev/zero (deleted)")), strings.HasPrefix(name, "/SYSV"):
			from, to, _ := strings.Cut(span, "-")
			a, err1 := strconv.ParseUint(from, 16, 64)
			z, err2 := strconv.ParseUint(to, 16, 64)
			if err1 == nil && err2 == nil && z > a {
				h.sum += int64(z - a)
			}
		}
		return false
	}, nil)
}

// mappedFile is the file of a mapping, by the device and inode in its line in maps.
func mappedFile(device, inode string) (file, bool) {
	major, minor, _ := strings.Cut(device, ":")
	a, err1 := strconv.ParseUint(major, 16, 32)
	b, err2 := strconv.ParseUint(minor, 16, 32)
	n, err3 := strconv.ParseUint(inode, 10, 64)
	return file{unix.Mkdev(uint32(a), uint32(b)), n}, err1 == nil && err2 == nil && err3 == nil
}
