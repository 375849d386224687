package pid1

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const confinedStatus = `Name:	init
CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2
Seccomp_filters:	1
`

func TestConfined(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		kernel         bool
		want           string // in the error, "" for none
	}{
		{"as it should be", "", "", true, ""},
		{"a capability", "CapEff:\t0000000000000000", "CapEff:\t0000000000000400", true, "CapEff"},
		{"one that could be had", "CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff", true, "CapBnd"},
		{"new privileges", "NoNewPrivs:\t1", "NoNewPrivs:\t0", true, "NoNewPrivs"},
		{"no filter", "Seccomp:\t2", "Seccomp:\t0", true, "Seccomp"},
		{"an old kernel", "NoNewPrivs:\t1\n", "", true, "NoNewPrivs is not known"},
		{"gVisor", "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n", "", false, ""},
		{"gVisor without a filter", "Seccomp:\t2", "Seccomp:\t0", false, "Seccomp"},
	} {
		err := confined(strings.Replace(confinedStatus, c.from, c.to, 1), c.kernel)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	file := t.TempDir() + "/x"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(file, &st); err != nil {
		t.Fatal(err)
	}
	var proc unix.Stat_t // a mount that every machine has
	if err := unix.Lstat("/proc", &proc); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		c    Check
		want string
	}{
		{"the mount", Check{Path: "/proc", Dev: proc.Dev, Ino: proc.Ino}, ""},
		{"no mount", Check{Path: file, Dev: st.Dev, Ino: st.Ino}, "nothing is mounted there"},
		{"another file", Check{Path: "/proc", Dev: proc.Dev, Ino: proc.Ino + 1}, "source changed"},
		{"another device", Check{Path: "/proc", Dev: proc.Dev + 1, Ino: proc.Ino}, "source changed"},
		{"writable", Check{Path: file, ReadOnly: true}, "not read-only"},
		{"not there", Check{Path: file + "y", Dev: 1, Ino: 1}, "no such file"},
	} {
		err := c.c.check(true)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	mapped := Check{Path: file, Mapped: true}
	if err := mapped.checkOwner(int(st.Uid), int(st.Gid)); err != nil {
		t.Error(err)
	}
	if err := mapped.checkOwner(int(st.Uid)+1, int(st.Gid)); err == nil {
		t.Error("another owner was taken for the user")
	}
}

// TestOnlyLoopback: a network that the runtime did not enter has more.
func TestOnlyLoopback(t *testing.T) {
	const head = "Inter-|   Receive                  |  Transmit\n face |bytes    packets errs drop|bytes    packets\n    lo:     120       2    0    0      120       2\n"
	for text, want := range map[string]string{
		head: "", "": "", head + "  eth0: 1 2 3\n": "eth0", head + "lo0:1 2 3\n": "lo0", strings.Replace(head, "    lo:", "  eth1:", 1): "eth1",
	} {
		if err := onlyLoopback(text); (err != nil) != (want != "") || err != nil && !strings.HasSuffix(err.Error(), " "+want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	sent := Order{Plan: &Plan{UID: 7, Args: []string{"a\n", ""}, Checks: []Check{{Path: "/x", Dev: 1 << 60}}}}
	for range 2 {
		if err := Send(&b, sent); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		var got Order
		if err := Receive(&b, &got); err != nil || got.Plan.Args[0] != "a\n" || got.Plan.Checks[0].Dev != 1<<60 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	for _, bad := range []string{"", "\x00", "\x00\x00\x00\x02{", "\xff\xff\xff\xff{}", "\x00\x00\x00\x02[]"} {
		if err := Receive(strings.NewReader(bad), &Order{}); err == nil {
			t.Errorf("%q was taken for a message", bad)
		}
	}
}
