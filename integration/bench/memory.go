package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// jailMemory sums Pss over the processes that a jail has around its program:
// the one that was started, and PID 1 inside, which is its child. The program
// is PID 1's child. Started bare there is nothing around it.
func jailMemory(pid int) (int64, error) {
	var sum int64
	inner, err := children(pid)
	if err != nil {
		return 0, err
	}
	around := []int{}
	for _, one := range inner {
		programs, err := children(one)
		if err != nil {
			return 0, err
		}
		if len(programs) > 0 { // one is a jail's PID 1
			around = append(around, one)
		}
	}
	if len(around) == 0 {
		return 0, nil
	}
	for _, p := range append(around, pid) {
		pss, err := pss(p)
		if err != nil {
			return 0, err
		}
		sum += pss
	}
	return sum, nil
}

func children(pid int) ([]int, error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	var all []int
	for _, t := range tasks {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			return nil, err
		}
		for _, f := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(f)
			if err != nil {
				return nil, err
			}
			all = append(all, child)
		}
	}
	return all, nil
}

// pss is the process's own memory and its part of what it shares, in bytes.
func pss(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no Pss: %w", f.Name(), lines.Err())
}

// footprint is what a process takes.
type usage struct {
	pss   int64
	files int // descriptors
}

// footprint looks at a process; nothing for pid 0 and for a process that this
// user may not look into.
func footprint(pid int) (u usage, err error) {
	if pid == 0 {
		return u, nil
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if errors.Is(err, os.ErrPermission) {
		return u, nil
	}
	if err != nil {
		return u, err
	}
	u.files = len(files)
	u.pss, err = pss(pid)
	return u, err
}
