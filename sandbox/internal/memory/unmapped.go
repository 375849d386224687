package memory

import (
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
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
	// What is in mappings alone is known once all descriptors are.
	h := holdings{sum: -mapped, files: map[file]bool{}}
	for _, pid := range list {
		if late() {
			return min(grown, max(h.sum, 0))
		}
		h.descriptors(pid, late)
	}
	for _, pid := range list {
		if late() {
			break
		}
		h.mappings(pid, late)
	}
	if h.unknown {
		return grown // it may be all theirs
	}
	return min(grown, max(h.sum, 0))
}

// machineShmem is how much of it there is (proc_meminfo(5)).
func machineShmem() (n int64) {
	proc.ReadKiB("/proc/meminfo", map[string]*int64{"Shmem": &n})
	return n
}

// isMemfd reports whether a file in /proc is named as those of memfd_create(2) are.
func isMemfd(name string) bool { return strings.HasPrefix(name, "/memfd:") }
