package policy

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Limits bounds a box. A zero field means the default, where there is one.
type Limits struct {
	// Memory is bytes of all processes together, with what they write to /tmp,
	// /dev/shm, home and staged directories. There is no swap beside it.
	Memory int64 `json:"memory"`
	// CPUs is how much processor time they may use, in processors.
	CPUs      float64 `json:"cpus"`
	Pids      int64   `json:"pids"`       // processes and threads
	OpenFiles int64   `json:"open_files"` // descriptors of each process
	Tmp       int64   `json:"tmp"`        // bytes, each of /tmp, /dev/shm and home
	// Disk is how many bytes the writable directories may grow by in one run,
	// all together.
	Disk    int64 `json:"disk"`
	Message int64 `json:"message"` // bytes of the longest JSON-RPC line, either way
	// Staged is how many bytes of changes to each directory are kept, where
	// Files.Staged is set.
	Staged int64 `json:"staged,omitempty"`
	// Egress is how many bytes may cross the network in one run, both ways
	// together; 0 is no limit.
	Egress int64 `json:"egress_bytes,omitempty"`
	// Require is what has to keep memory, CPUs and Pids; "" is the best that the
	// machine has.
	Require Requirement `json:"require,omitempty"`
}

// Requirement names what limits have to be kept by.
type Requirement string

// RequireCgroup is the kernel's control groups.
const RequireCgroup Requirement = "cgroup"

// The limits of a policy that names none. Those on memory and processors are
// less on small machines; see [Limits.WithDefaults].
const (
	DefaultMemory    = 2 << 30
	DefaultPids      = 256
	DefaultOpenFiles = 4096
	DefaultTmp       = 256 << 20
	DefaultDisk      = 10 << 30
	DefaultMessage   = 16 << 20
	DefaultStaged    = 256 << 20
)

// WithDefaults returns l with every zero field replaced by its default: of the
// memory half of the machine's at most, of the processors three quarters, and one
// at least.
func (l Limits) WithDefaults(f Facts) Limits {
	l.Memory = either(l.Memory, atMostHalf(DefaultMemory, f))
	if l.CPUs == 0 {
		l.CPUs = max(1, float64(f.CPUs)*3/4)
	}
	l.Pids = either(l.Pids, DefaultPids)
	l.OpenFiles = either(l.OpenFiles, DefaultOpenFiles)
	l.Tmp = either(l.Tmp, DefaultTmp)
	l.Disk = either(l.Disk, DefaultDisk)
	l.Message = either(l.Message, DefaultMessage)
	return l
}

// OfProfile returns l as it is meant where it stands in a profile, which knows no
// machine: of the memory half of the machine's at most.
func (l Limits) OfProfile(f Facts) Limits {
	l.Memory = atMostHalf(l.Memory, f)
	return l
}

func atMostHalf(memory int64, f Facts) int64 {
	if half := f.Memory / 2 &^ (memoryStep - 1); half > 0 {
		memory = min(memory, max(half, memorySpan.least))
	}
	return memory
}

// memoryStep is what a default is a multiple of.
const memoryStep = 64 << 20

// check refuses limits outside what a file may say.
func (l Limits) check() error {
	for _, x := range []struct {
		name string
		n    int64
		span span
	}{
		{"memory", l.Memory, memorySpan}, {"pids", l.Pids, pidsSpan}, {"open_files", l.OpenFiles, filesSpan},
		{"tmp", l.Tmp, tmpSpan}, {"disk", l.Disk, diskSpan}, {"message", l.Message, messageSpan},
		{"staged", either(l.Staged, DefaultStaged), tmpSpan},
		{"egress_bytes", either(l.Egress, egressSpan.most), egressSpan},
	} {
		if x.n < x.span.least || x.n > x.span.most {
			return fmt.Errorf("limits.%s cannot be %d; it has to be from %d to %d", x.name, x.n, x.span.least, x.span.most)
		}
	}
	if !ValidCPUs(l.CPUs) {
		return fmt.Errorf("limits.cpus cannot be %g; it has to be from %g to %g", l.CPUs, leastCPUs, mostCPUs)
	}
	if l.Require != "" && l.Require != RequireCgroup {
		return fmt.Errorf("limits.require cannot be %q; it has to be %q", l.Require, RequireCgroup)
	}
	return nil
}

// span is a range of allowed values, both ends included.
type span struct{ least, most int64 }

var (
	memorySpan  = span{32 << 20, 1 << 44} // less, and nothing starts
	pidsSpan    = span{1, 1 << 22}        // the kernel's largest pid
	filesSpan   = span{16, 1 << 20}       // its usual fs.nr_open
	tmpSpan     = span{64 << 10, 1 << 40}
	diskSpan    = span{1 << 20, 1 << 50}
	messageSpan = span{4 << 10, 1 << 30}
	egressSpan  = span{1, 1 << 50}
)

// The kernel's smallest quota is a millisecond of a period.
const leastCPUs, mostCPUs = 0.01, 8192.0

// ValidCPUs reports whether n processors can be a limit.
func ValidCPUs(n float64) bool { return n >= leastCPUs && n <= mostCPUs }

// ValidMemory reports whether n bytes of memory can be a limit.
func ValidMemory(n int64) bool { return n >= memorySpan.least && n <= memorySpan.most }

func either(n, otherwise int64) int64 {
	if n != 0 {
		return n
	}
	return otherwise
}

// cpuPeriod is what a quota of processor time is for, in microseconds: the
// kernel's default.
const cpuPeriod = 100_000

// resources are the limits of all processes together. A limit on memory and swap
// together that is no higher than the one on memory is no swap.
func (l Limits) resources() *specs.LinuxResources {
	period, quota := uint64(cpuPeriod), int64(l.CPUs*cpuPeriod)
	return &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &l.Memory, Swap: &l.Memory},
		CPU:    &specs.LinuxCPU{Quota: &quota, Period: &period},
		Pids:   &specs.LinuxPids{Limit: &l.Pids},
	}
}
