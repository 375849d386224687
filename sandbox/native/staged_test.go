package native

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func stagedMount(dir, size string) specs.Mount {
	return specs.Mount{Destination: dir, Source: dir, Type: "staged", Options: []string{"nosuid", "nodev", "size=" + size, "nr_inodes=64"}}
}

func TestStaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(t, "/bin/sh", "-c", "ls -la "+dir+"; cat /proc/mounts; cat "+dir+"/old; echo new >"+dir+"/new; echo more >>"+dir+"/old; cat "+dir+"/old; ls -la / "+dir+"; mkdir "+dir+"/x; cp /bin/true "+dir+"/x/; "+dir+"/x/true && echo executed")
	spec.Mounts = append(spec.Mounts, stagedMount(dir, "1048576"))
	box, err := start(t, spec)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<16)
	n := 0
	for {
		m, err := box.Stdout().Read(buf[n:])
		if err != nil {
			break
		}
		n += m
	}
	t.Logf("%s", buf[:n])
	box.Wait()
	for _, s := range box.Staged() {
		fd, err := unix.Openat(int(s.Upper.Fd()), ".", unix.O_DIRECTORY|unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "x")
		names, err := f.Readdirnames(-1)
		t.Log(names, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "old"))
	t.Logf("%s %v", data, err)
}
