package memory

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// Memory of the kind that files on a tmpfs are of need not be in any process's
// count: a memfd that is written to and not mapped, a shared mapping whose pages
// were given back with madvise(2). The machine counts it all. As long as it has
// grown by no more than the box is known to take, there is none; otherwise it is
// looked for.

// suspicious is how much more the machine may take before anything is looked for.
const suspicious = 32 << 20

// unmapped is how much of it the processes hold: known is what they are known to,
// of which mapped is in mappings. To look for it takes long; once it is late, it is
// not looked for any more.
func (m *Meter) unmapped(list []int, known, mapped int64, late func() bool) int64 {
	grown := machineShmem() - known - m.shmem
	m.shmem += min(grown, 0) // others have given something back
	if grown < suspicious {
		return 0
	}
	held := -mapped
	seen := map[[2]uint64]bool{}
	for _, pid := range list {
		if late() {
			break
		}
		held += memfds(pid, seen) + sharedMappings(pid)
	}
	return min(grown, max(held, 0))
}

// machineShmem is how much of it there is (proc_meminfo(5)).
func machineShmem() (n int64) {
	proc.ReadKiB("/proc/meminfo", map[string]*int64{"Shmem": &n})
	return n
}

// memfds is what the memfd_create(2) files hold that a process has open, without
// those seen.
func memfds(pid int, seen map[[2]uint64]bool) (sum int64) {
	path := fmt.Sprintf("/proc/%d/fd", pid)
	dir, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if target, err := os.Readlink(path + "/" + name); err != nil || !strings.HasPrefix(target, "/memfd:") {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path+"/"+name, &st) == nil && !seen[[2]uint64{st.Dev, st.Ino}] {
			seen[[2]uint64{st.Dev, st.Ino}] = true
			sum += st.Blocks * 512
		}
	}
	return sum
}

// sharedMappings is the size of the mappings of a process that are shared and
// anonymous, or of System V segments: how much they hold cannot be asked.
func sharedMappings(pid int) (sum int64) {
	forMappings(pid, "maps", func(line []byte, _ string) bool {
		if !bytes.HasSuffix(bytes.TrimSpace(line), []byte("/dev/zero (deleted)")) && !bytes.Contains(line, []byte(" /SYSV")) {
			return false
		}
		from, rest, _ := bytes.Cut(line, []byte{'-'})
		to, _, _ := bytes.Cut(rest, []byte{' '})
		a, err1 := strconv.ParseUint(string(from), 16, 64)
		z, err2 := strconv.ParseUint(string(to), 16, 64)
		if err1 == nil && err2 == nil && z > a {
			sum += int64(z - a)
		}
		return false
	}, nil)
	return sum
}
