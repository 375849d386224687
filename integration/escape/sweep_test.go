package escape

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpbox/mcpbox/integration/setup"
)

var update = flag.Bool("update", false, "write the golden files")

// TestS5Sweep calls every system call number from 0 to 500 with zeros, inside a
// box, and compares the errors with a golden table. Each number that is new in
// the table has been looked at by a person; one that changes was not.
//
// On another kernel than the one that wrote the table, a call that the filter
// passes may fail differently, or not exist; one that it refuses may not. Some
// have two entries, "ok|EINVAL": protection keys depend on the processor, and
// setpriority on whether a cgroup limits processor time or a low priority does.
func TestS5Sweep(t *testing.T) {
	golden := filepath.Join("testdata", "sweep_"+runtime.GOARCH+".txt")
	w := newWorld(t, false)
	plain := w.sweep(w.In("tools/probe"))
	boxed := w.sweep(w.boxed(needPrograms(t).launcher, w.In("tools/probe"))...)
	if *update {
		writeGolden(t, golden, boxed)
	}
	kernel, want := readGolden(t, golden)
	if len(want) != 501 || len(boxed) != 501 {
		t.Fatalf("want 501 numbers, the table has %d and the box %d", len(want), len(boxed))
	}
	passed := 0
	for nr := range 501 {
		switch is := boxed[nr]; {
		case slices.Contains(strings.Split(want[nr], "|"), is):
		case kernel != release() && !denied(want[nr]) && (is == "ENOSYS" || !denied(is)):
		default:
			t.Errorf("call %d: %s, want %s (%s without a box)", nr, is, want[nr], plain[nr])
		}
		if boxed[nr] != plain[nr] && !denied(boxed[nr]) {
			t.Logf("call %d: %s, without a box %s", nr, boxed[nr], plain[nr])
		}
		if !denied(boxed[nr]) {
			passed++
		}
	}
	// The controls: without a box most calls get through, and in one many do.
	open := 0
	for _, is := range plain {
		if !denied(is) {
			open++
		}
	}
	if passed < 200 || open < passed+30 {
		t.Errorf("%d calls get through in the box and %d without: that cannot be", passed, open)
	}
}

// denied reports whether an error is what the filter refuses with.
func denied(is string) bool {
	return slices.Contains([]string{"EPERM", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "SIGSYS"}, is)
}

// sweep runs the probe's sweep by way of line.
func (w *world) sweep(line ...string) map[int]string {
	w.t.Helper()
	out := w.In("out/sweep")
	if r := w.run(w.command(append(line, "sweep", out)...)); r != (ran{}) {
		w.t.Fatalf("sweep: %+v", r)
	}
	b, err := os.ReadFile(out)
	w.must(err)
	return vector(w.t, string(b))
}

func vector(t *testing.T, text string) map[int]string {
	t.Helper()
	v := map[int]string{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(line, "#") {
			continue
		}
		nr, err := strconv.Atoi(f[0])
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		v[nr] = f[1]
	}
	return v
}

func readGolden(t *testing.T, path string) (kernel string, v map[int]string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		setup.Need(t, false, path+", which -update writes")
	}
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	return strings.TrimPrefix(first, "# kernel "), vector(t, rest)
}

func writeGolden(t *testing.T, path string, v map[int]string) {
	t.Helper()
	names := callNames(t)
	var b strings.Builder
	fmt.Fprintf(&b, "# kernel %s\n# number, error of the call with six zeros in a box, name\n", release())
	for nr := range 501 {
		fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("%d %s %s", nr, v[nr], names[nr])))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// callNames maps the numbers of this architecture to names.
func callNames(t *testing.T) map[int]string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "golang.org/x/sys/unix").Output()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "zsysnum_linux_"+runtime.GOARCH+".go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[int]string{}
	for _, m := range regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)$`).FindAllStringSubmatch(string(b), -1) {
		nr, _ := strconv.Atoi(m[2])
		names[nr] = strings.ToLower(m[1])
	}
	return names
}

// release is the kernel's version, up to the second number.
func release() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
