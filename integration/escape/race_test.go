package escape

import (
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// TestM5SourceSwap launches hundreds of boxes with a declared directory that
// somebody exchanges all the time for a symbolic link to the launcher's own
// policies, which may never be shown. Whatever is mounted at whatever moment,
// it is never those.
func TestM5SourceSwap(t *testing.T) {
	launches := fewer(200)
	w := newWorld(t, false)
	w.write("project/swap/content.toml", "harmless\n", 0o644)
	w.write(".config/mcpbox/content.toml", "forbidden\n", 0o600)
	w.must(os.Symlink(w.In(".config/mcpbox"), w.In("project/link")))
	w.own()

	stop := make(chan bool)
	var swapper sync.WaitGroup
	swapper.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, w.In("project/swap"), unix.AT_FDCWD, w.In("project/link"), unix.RENAME_EXCHANGE)
			}
		}
	})
	outcomes := map[string]int{}
	for n := range launches {
		flag := []string{"--ro", "--rw"}[n%2]
		r := w.run(w.boxWith([]string{flag, w.In("project/swap")}, "/bin/cat", w.In("project/swap/content.toml")))
		switch {
		case strings.Contains(r.stdout, "forbidden"):
			t.Fatalf("launch %d: the box read the policies: %+v", n, r)
		case r.code == 0:
			outcomes["mounted"]++
		case r.code == 125 && r.stdout == "" && strings.Contains(r.stderr, "changed while the box was being built"):
			outcomes["changed"]++
		case r.code == 125 && r.stdout == "":
			outcomes["refused"]++
		case r.code == 1 && strings.Contains(r.stderr, "No such file"):
			outcomes["absent"]++
		default:
			t.Errorf("launch %d: %+v", n, r)
		}
	}
	close(stop)
	swapper.Wait()
	t.Logf("%v", outcomes)
	if outcomes["mounted"] == 0 || outcomes["refused"]+outcomes["changed"] == 0 {
		t.Errorf("no race took place: %v", outcomes)
	}
}
