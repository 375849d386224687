package cgroup

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Where a process is depends on its cgroup and on what part of the tree is
// mounted where.
func TestLocate(t *testing.T) {
	const (
		v2     = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		part   = "30 23 0:26 /docker/ab /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
		joint  = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
		memory = "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		hybrid = "33 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	)
	for _, c := range []struct {
		name, own, mounts string
		want              here
	}{
		{"v2", "0::/user.slice/x.scope\n", v2, here{"": "/sys/fs/cgroup/user.slice/x.scope"}},
		{"the root of v2", "0::/\n", v2, here{"": "/sys/fs/cgroup"}},
		{"a part of v2", "0::/docker/ab/c\n", part, here{"": "/sys/fs/cgroup/c"}},
		{"that part", "0::/docker/ab\n", part, here{"": "/sys/fs/cgroup"}},
		{"another part", "0::/docker/abc\n", part, here{}},
		{"outside of the namespace", "0::/../x\n", v2, here{}},
		{"v1 and v2", "4:memory:/a\n1:cpu,cpuacct:/\n0::/b\n", joint + memory + hybrid, here{
			"memory": "/sys/fs/cgroup/memory/a", "cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
			"": "/sys/fs/cgroup/unified/b",
		}},
		{"a colon in the name", "4:memory:/a:b\n", memory, here{"memory": "/sys/fs/cgroup/memory/a:b"}},
		{"not mounted", "4:memory:/a\n", v2, here{}},
		{"a named hierarchy", "9:name=systemd:/\n", memory, here{}},
		{"nothing", "", v2, here{}},
		{"nonsense", "x\n:\n::\n0::x\n", v2 + "short\n - \n", here{}},
	} {
		if got := locate(c.own, c.mounts); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNames(t *testing.T) {
	a, err := NewName()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewName()
	if err != nil || a == b {
		t.Fatalf("%s, %s, %v", a, b, err)
	}
	if pid, start, ok := maker(a); !ok || pid != os.Getpid() || start == 0 {
		t.Errorf("%s was made by %d, %d, %v", a, pid, start, ok)
	}
	for _, other := range []string{"", "mcpbox", "mcpbox-", "mcpbox-1", "mcpbox-1-2", "mcpbox-0-2-3", "mcpbox--1-2-3", "mcpbox-1-x-3", "mcpbox-1-2-3-4", "user.slice"} {
		if _, _, ok := maker(other); ok {
			t.Errorf("%q is taken for ours", other)
		}
	}
}

// Cgroups of launchers that are dead are removed, and no others; nor is anything
// killed in what is not named as a cgroup of ours.
func TestSweep(t *testing.T) {
	h, err := find()
	if err != nil {
		t.Fatal(err)
	}
	parent := ""
	for _, dir := range h {
		if writable(dir) {
			parent = dir
		}
	}
	if parent == "" {
		t.Skip("no cgroup that this process may write to")
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	start, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	name := func(pid int, start uint64) string {
		return filepath.Join(parent, fmt.Sprintf("%s%d-%d-%d", prefix, pid, start, 1_000_000))
	}
	mine, reused := name(os.Getpid(), start), name(os.Getpid(), start+1)
	gone := name(dead.Process.Pid, start)
	foreign := filepath.Join(parent, fmt.Sprintf("other-%d", os.Getpid()))
	for _, dir := range []string{mine, reused, gone, foreign} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(dir)
	}
	Sweep(mine, reused, gone, foreign, "/tmp", "/")
	for dir, stays := range map[string]bool{mine: true, foreign: true, reused: false, gone: false} {
		if _, err := os.Stat(dir); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := Kill([]string{foreign}); err == nil {
		t.Error("killed in a cgroup of somebody else's")
	}
	if err := Kill([]string{mine + "/../" + filepath.Base(foreign)}); err == nil {
		t.Error("killed behind ..")
	}
	if err := Kill([]string{mine, gone}); err != nil {
		t.Error(err)
	}
}
