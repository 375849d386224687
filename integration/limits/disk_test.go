package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// taken is what is in a directory, by blocks, with four kilobytes for each file.
func taken(t *testing.T, dir string) (sum int64) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			sum += max(st.Blocks*512, 4096)
		}
		return nil
	})
	return sum
}

// Writable directories grow by as much as they may, and hardly more.
func TestDisk(t *testing.T) {
	heartbeat(t)
	inEach(t, func(t *testing.T, p place) {
		for way, limit := range map[string]int64{"write": 200, "holes": 200, "fallocate": 200, "deleted": 200, "inodes": 4} {
			t.Run(way, func(t *testing.T) {
				// A launcher that gets no processor for a while, on a busy machine, looks
				// late: not three times in a row.
				var a *attack
				var code int
				var last exit
				var got int64
				for tries := 0; tries == 0 || tries < 3 && got > limit*3/2; tries++ {
					a = &attack{t: t, place: p, policy: fmt.Sprintf("[limits]\ndisk = '%dMiB'\n", limit)}
					code, last = a.run("disk", way, "%out", fmt.Sprint(5*limit))
					got = taken(t, a.out()) / mib
					t.Logf("%d MiB of %d: %s", got, limit, last.Reason)
				}
				if code != 137 || !strings.HasPrefix(last.Reason, "killed: wrote ") || got > limit*3/2 {
					t.Errorf("code %d, %+v, %d MiB, stderr %q", code, last, got, a.stderr.String())
				}
			})
		}
		// What is only said to be there is none; and the control.
		for _, c := range []struct{ way, policy string }{{"sparse", "[limits]\ndisk = '200MiB'\n"}, {"write", ""}} {
			a := &attack{t: t, place: p, policy: c.policy}
			if code, last := a.run("disk", c.way, "%out", "400"); code != 0 || a.stdout.String() != "took all true\n" {
				t.Errorf("%s, %q: code %d, %+v, %q", c.way, c.policy, code, last, a.stderr.String())
			}
		}
	})
}
