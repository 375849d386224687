package containers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/hung"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// seconds bounds what has to be over within seconds, on a machine that may be busy.
const seconds = 20 * time.Second

// TestStuck: a box with a process that waits for a file system which hangs cannot be
// ended by anybody. Its launcher ends all the same, and says so; so do those who come to
// clean up. When the file system lets go, nothing is left. gVisor maps the file into its
// own memory, and then nobody may so much as list the processes of the machine.
func TestStuck(t *testing.T) {
	m := start(t, busybox(t))
	for way, end := range map[string]func(sandbox.Box) error{
		"killed":          sandbox.Box.Kill,
		"ended by itself": func(b sandbox.Box) error { return b.Stdin().Close() },
	} {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			fs := hung.Mount(t, 0, dir)
			b := m.backend(t)
			spec := m.specOf(t, `files.read = ["`+dir+`"]`, "sh", "-c", "setsid cat "+dir+"/file & read x; exit 7")
			box, err := b.Start(t.Context(), spec, nil)
			if err != nil {
				t.Fatalf("%v\n%s", err, m.Log())
			}
			await(t, "a hung process", fs.Hung)
			list, err := box.Processes()
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := end(box); err != nil {
				t.Error(err)
			}
			exit, err := box.Wait()
			t.Logf("ended within %v: %+v", time.Since(began).Round(time.Millisecond), exit)
			if took := time.Since(began); err != nil || took > seconds {
				t.Errorf("it took %v, %v", took, err)
			}
			if len(exit.Stuck) != 1 {
				t.Errorf("stuck are %v of %v", exit.Stuck, list)
			}
			if way != "killed" && exit.Code != 7 {
				t.Errorf("%+v", exit)
			}
			for _, pid := range exit.Stuck {
				// The control: there is something that nobody can end.
				if !slices.Contains(list, pid) || !lives(pid) {
					t.Errorf("%d, of %v, is not stuck", pid, list)
				}
			}
			if len(exit.Stuck) > 0 {
				began = time.Now()
				err := containerd.Reap(t.Context(), b.RunDir)
				if took := time.Since(began); took > seconds/4 || err == nil || !strings.Contains(err.Error(), "waiting in the kernel") {
					t.Errorf("reaped within %v: %v", took, err)
				}
			}
			fs.End()
			await(t, "nothing is left", func() bool {
				return containerd.Reap(t.Context(), b.RunDir) == nil && len(m.left(t, launched{All: list, Cgroups: box.Cgroups()})) == 0
			})
			if _, err := os.Stat(filepath.Join(b.RunDir, containerd.RecordName)); err == nil {
				t.Error("the record is left")
			}
		})
	}
}
