package containerd

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestPickIDs(t *testing.T) {
	for _, c := range []struct {
		name, text string
		own, other uint32
		want       string // in the error
	}{
		{"rootlesskit's", "         0       1000          1\n         1     100000      65536\n", 0, 65536, ""},
		{"the user in the middle", "0 100000 5\n5 1000 1\n6 100005 10\n", 5, 15, ""},
		{"the highest before others", "6 100005 10\n5 1000 1\n0 100000 5\n", 5, 15, ""},
		{"the user among others", "0 100000 5\n5 990 20\n", 15, 4, ""},
		{"the user past the end", "0 100000 5\n5 990 10\n", 0, 0, "not exist"},
		{"the user alone", "0 1000 1\n", 0, 0, "needs one more"},
		{"somebody else", "0 1001 1\n1 100000 65536\n", 0, 0, "not exist"},
		{"no map", "x\n", 0, 0, "expected integer"},
	} {
		file := filepath.Join(t.TempDir(), "map")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		own, other, err := pickIDs(file, 1000)
		if c.want == "" && (err != nil || own != c.own || other != c.other) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d, %d, %v", c.name, own, other, err)
		}
	}
}

// TestLowerRootless: ids are those of containerd's namespace, and a limit that no cgroup
// keeps is asked of the kernel in another way.
func TestLowerRootless(t *testing.T) {
	spec := fixture(t, "../../policy/testdata/image.json")
	tt := testTarget
	tt.rootless, tt.rootUID, tt.rootGID = &rootless{uid: 0, gid: 3}, 65536, 65537
	l, err := lower(spec, tt)
	if err != nil {
		t.Fatal(err)
	}
	u := spec.Process.User
	want := [][]specs.LinuxIDMapping{
		{{ContainerID: u.UID, HostID: 0, Size: 1}, {ContainerID: 0, HostID: 65536, Size: 1}},
		{{ContainerID: u.GID, HostID: 3, Size: 1}, {ContainerID: 0, HostID: 65537, Size: 1}},
	}
	if got := [][]specs.LinuxIDMapping{l.spec.Linux.UIDMappings, l.spec.Linux.GIDMappings}; !reflect.DeepEqual(got, want) {
		t.Errorf("ids %+v", got)
	}
	if spec.Linux.UIDMappings[0].HostID != u.UID {
		t.Error("lowering has changed what was asked for")
	}
	r := l.spec.Linux.Resources
	if l.spec.Linux.CgroupsPath != "" || r.Memory != nil || r.CPU != nil || r.Pids != nil || len(r.Devices) != 1 {
		t.Errorf("cgroup %q, resources %+v", l.spec.Linux.CgroupsPath, r)
	}
	// That the policy has it as a resource limit, too, makes no second one, and the lower
	// one holds.
	n := uint64(*spec.Linux.Resources.Pids.Limit)
	for name, c := range map[string]struct{ asked, want uint64 }{
		"both": {n, n}, "lower": {n - 1, n - 1}, "higher": {n + 1, n}, "none": {0, n},
	} {
		spec.Process.Rlimits = nil
		if c.asked > 0 {
			spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: c.asked, Hard: c.asked}}
		}
		if l, err = lower(spec, tt); err != nil {
			t.Fatal(err)
		}
		want := []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Soft: c.want + ownThreads, Hard: c.want + ownThreads}}
		if got := l.spec.Process.Rlimits; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: rlimits %+v, want %+v", name, got, want)
		}
	}
}
