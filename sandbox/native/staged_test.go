package native

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func stagedMount(dir string, options ...string) specs.Mount {
	return specs.Mount{Destination: dir, Source: dir, Type: "staged", Options: append(options, "nosuid", "nodev")}
}

// stagedRun runs a script on a staged directory that holds a file called old, and
// returns the script's output and the upper layer.
func stagedRun(t *testing.T, dir, script string, options ...string) (stdout string, upper *os.File) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(t, "/bin/sh", "-c", "cd "+dir+" && "+script)
	spec.Mounts = append(spec.Mounts, stagedMount(dir, options...))
	box, err := start(t, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Kill()
	var out strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := box.Stdout().Read(buf)
		out.Write(buf[:n])
		if err != nil {
			break
		}
	}
	if _, err := box.Wait(); err != nil {
		t.Fatal(err)
	}
	list := box.Staged()
	if len(list) != 1 || list[0].Source != dir {
		t.Fatalf("staged: %+v", list)
	}
	t.Cleanup(func() { list[0].Upper.Close() })
	if data, err := os.ReadFile(filepath.Join(dir, "old")); err != nil || string(data) != "old\n" {
		t.Errorf("the host's file is %q, %v", data, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the host's directory has %v, %v", entries, err)
	}
	return out.String(), list[0].Upper
}

// inUpper reads a file of an upper layer, which has no path.
func inUpper(t *testing.T, upper *os.File, name string) string {
	t.Helper()
	fd, err := unix.Openat(int(upper.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err.Error()
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

func TestStaged(t *testing.T) {
	for _, sent := range []bool{false, true} { // where descriptors cannot be taken
		sendSockets = sent
		out, upper := stagedRun(t, t.TempDir(), `cat old; echo new >new; echo more >>old; cat old; mkdir -p x; cp /bin/true x/; ./x/true && echo executed
			ls -d /.lower /.changes 2>/dev/null; grep -c " $PWD " /proc/self/mountinfo; grep /.lower /proc/self/mountinfo`, "size=4194304")
		sendSockets = false
		if out != "old\nold\nmore\nexecuted\n1\n" {
			t.Errorf("in the box: %q", out)
		}
		for name, want := range map[string]string{"new": "new\n", "old": "old\nmore\n"} {
			if got := inUpper(t, upper, name); got != want {
				t.Errorf("%s in the upper layer: %q, want %q", name, got, want)
			}
		}
	}
}

// TestStagedFull fills a staged directory with bytes and with files.
func TestStagedFull(t *testing.T) {
	out, _ := stagedRun(t, t.TempDir(), `
		yes | head -c 900000 >fits && echo fits; rm fits
		(yes | LC_ALL=C head -c 1100000 >big) 2>&1 | grep -o "No space left on device"; rm -f big
		i=0; while [ $i -lt 100 ] && true >f$i; do i=$((i+1)); done 2>/dev/null; [ $i -gt 20 ] && [ $i -lt 64 ] && echo few`,
		"size=1048576", "nr_inodes=64")
	if out != "fits\nNo space left on device\nfew\n" {
		t.Errorf("in the box: %q", out)
	}
}

// TestStagedAncestors: what lies under a mount inside a staged directory cannot be
// moved away with a directory around it, though nothing pins that. The control is
// a directory that the box has made itself.
func TestStagedAncestors(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/b/c", "a/b/c/keep"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script := `cd ` + dir + ` && cd a && mv -T b z 2>/dev/null && test -d z && ! test -e b && echo moved b
		cd ..; python3 -c 'import os; os.rename("a","z")' 2>/dev/null && echo renamed a
		rm -rf a 2>/dev/null; test -d a/b/c/keep || echo removed
		echo x 2>/dev/null >a/b/c/keep/x && echo written
		mkdir -p own/b && mv -T own z && test -d z/b && echo moved own`
	spec := testSpec(t, "/bin/sh", "-c", script)
	keep := filepath.Join(dir, "a/b/c/keep")
	spec.Mounts = append(spec.Mounts, stagedMount(dir, "size=1048576"),
		specs.Mount{Destination: keep, Source: keep, Type: "bind", Options: []string{"rbind", "rro", "nosuid", "nodev"}})
	out, errs, _ := run(t, spec)
	if out != "moved own\n" {
		t.Errorf("%q, %q", out, errs)
	}
}

func TestStagedRefused(t *testing.T) {
	for _, options := range [][]string{{}, {"ro", "size=4096"}, {"mode=0755", "size=4096"}} {
		spec := testSpec(t, "/bin/true")
		spec.Mounts = append(spec.Mounts, stagedMount(t.TempDir(), options...))
		if box, err := start(t, spec); err == nil {
			box.Wait()
			t.Errorf("options %q are taken", options)
		}
	}
}

func TestStagedMissing(t *testing.T) {
	for _, c := range []struct {
		failure wire.Failure
		want    string
	}{
		{wire.Failure{Step: wire.StepChanges, Errno: unix.EOPNOTSUPP}, "needs Linux 6.6"},
		{wire.Failure{Step: "fsopen", Path: "overlay", Errno: unix.ENODEV}, "modprobe overlay"},
		{wire.Failure{Step: "fsconfig", Path: "userxattr", Errno: unix.EINVAL}, "staged = false"},
		{wire.Failure{Step: "fsconfig", Path: "overlay", Errno: unix.EPERM}, "staged = false"},
	} {
		err := startError(&c.failure)
		if !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.failure.Errno) {
			t.Errorf("%+v became %v, want %q", c.failure, err, c.want)
		}
	}
	if !slices.ContainsFunc(new(Backend).Check(), func(l sandbox.Layer) bool { return l.Name == "staging" }) {
		t.Error("doctor does not know of it")
	}
}

// TestStagedIsMemory: what a staged directory holds counts as memory of the box,
// as the files on its other file systems in memory do.
func TestStagedIsMemory(t *testing.T) {
	dir := t.TempDir()
	spec := testSpec(t, "/bin/sh", "-c", "yes | head -c 3000000 >"+dir+"/big; echo up; sleep 600")
	spec.Mounts = append(spec.Mounts, stagedMount(dir, "size=4194304"))
	b, err := start(t, spec)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Kill()
	if _, err := b.Stdout().Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	m := newMeter(b.(*box), nil)
	defer m.Close()
	m.open()
	if n := m.OnTmpfs(); n < 3_000_000 || n > 4<<20 {
		t.Errorf("%d bytes", n)
	}
}
