package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Status is what proc_pid_status(5) says of a process's memory, in bytes.
type Status struct{ Anon, Shmem, Swap, Tables int64 }

// ReadStatus reads it. A process that has ended has none.
func ReadStatus(pid int) (s Status) {
	read := func(dir string) {
		ReadKiB(dir+"/status", map[string]*int64{
			"RssAnon": &s.Anon, "RssShmem": &s.Shmem, "VmSwap": &s.Swap, "VmPTE": &s.Tables,
		})
	}
	if read(fmt.Sprintf("/proc/%d", pid)); s.Tables == 0 {
		read(Dir(pid))
	}
	return s
}

// Dir is the directory in /proc that says what memory a process has: where its main
// thread has ended, and others go on, that is the directory of one of those.
func Dir(pid int) string {
	own := fmt.Sprintf("/proc/%d", pid)
	ended := func(dir string) bool {
		s, err := ReadStat(dir + "/stat")
		return err != nil || s.State == 'Z' || s.State == 'X'
	}
	if !ended(own) {
		return own
	}
	tasks, err := os.Open(own + "/task")
	if err != nil {
		return own
	}
	defer tasks.Close()
	names, _ := tasks.Readdirnames(-1)
	for _, tid := range names {
		if dir := own + "/task/" + tid; !ended(dir) {
			return dir
		}
	}
	return own
}

// Rollup is what smaps_rollup (proc_pid_smaps(5)) says of a process's memory, in
// bytes, of what is shared a part.
type Rollup struct{ Anon, Shmem, Swap int64 }

// ReadRollup reads it.
func ReadRollup(pid int) (r Rollup) {
	read := func(dir string) bool {
		return ReadKiB(dir+"/smaps_rollup", map[string]*int64{
			"Pss_Anon": &r.Anon, "Pss_Shmem": &r.Shmem, "SwapPss": &r.Swap,
		})
	}
	if !read(fmt.Sprintf("/proc/%d", pid)) && !read(Dir(pid)) {
		// A kernel without CONFIG_PROC_PAGE_MONITOR, or a process that has ended.
		s := ReadStatus(pid)
		r = Rollup{s.Anon, s.Shmem, s.Swap}
	}
	return r
}

// ReadKiB reads lines such as "RssAnon:  12 kB" into the variables of that name.
func ReadKiB(file string, to map[string]*int64) bool {
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(data) {
		name, rest, ok := bytes.Cut(line, []byte{':'})
		if !ok {
			continue
		}
		if v := to[string(name)]; v != nil {
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("kB")))), 10, 64)
			*v = n << 10
		}
	}
	return true
}
