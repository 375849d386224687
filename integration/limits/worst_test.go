package limits

import (
	"strings"
	"testing"
)

// outcome is what has to become of hog.
type outcome struct {
	code   int    // 137 is killed
	reason string // in the journal begins with it
	stdout string // begins with it
	// least and most are how much it has taken: in mebibytes, or pieces.
	least, most int64
}

// setting is what a person says of a box.
type setting struct {
	flags  []string
	policy string
}

// TestWorst has hog do its worst until its end, in each kind of box, and once more
// with a limit that is high enough.
func TestWorst(t *testing.T) {
	inKinds(t, func(t *testing.T, p place) {
		for _, w := range worst {
			t.Run(w.name, func(t *testing.T) {
				for _, c := range []struct {
					what string
					setting
					want map[string]outcome
				}{{"limited", w.limited, w.want}, {"free", w.free, w.control}} {
					want, ok := c.want[p.kind()]
					if !ok {
						want = c.want["all"]
					}
					a := &attack{t: t, place: p, flags: c.flags, policy: c.policy}
					code, last := a.run(w.args...)
					got := w.taken(t, a)
					t.Logf("%s: %d, %d of [%d, %d], %+v", c.what, code, got, want.least, want.most, last)
					if code != want.code || !strings.HasPrefix(last.Reason, want.reason) || !strings.HasPrefix(a.stdout.String(), want.stdout) || got < want.least || got > want.most {
						t.Errorf("%s: want %+v; stdout %q, stderr %q", c.what, want, a.stdout.String(), a.stderr.String())
					}
				}
				noneLeft(t)
			})
		}
	})
}

func mebibytes(_ *testing.T, a *attack) int64 { return a.counted() / mib }
func pieces(_ *testing.T, a *attack) int64    { return a.counted() }
func written(t *testing.T, a *attack) int64   { return taken(t, a.out()) / mib }

// What a container's limit on processes has room for besides: PID 1's threads, and
// gVisor's own.
const ofPID1, ofRunsc = 16, 128

// worst is what hog does, and what has to become of it with each kind of box.
var worst = []struct {
	name          string
	limited, free setting
	args          []string
	taken         func(*testing.T, *attack) int64
	want, control map[string]outcome
}{
	{
		"memory", setting{flags: []string{"--memory", "256MiB"}}, setting{flags: []string{"--memory", "1GiB"}},
		[]string{"memory", "private", "%out/count", "1", "400"}, mebibytes,
		map[string]outcome{
			"all":   {137, "killed: used ", "", 230, 256},
			"runsc": {137, "killed: used ", "", 150, 256}, // gVisor's own is counted, too
		},
		map[string]outcome{"all": {0, "", "took all true", 400, 400}},
	},
	{
		"shared memory", setting{[]string{"--memory", "256MiB"}, "[limits]\ntmp = '1GiB'\n"}, setting{[]string{"--memory", "1GiB"}, "[limits]\ntmp = '1GiB'\n"},
		[]string{"memory", "shm", "%out/count", "1", "400"}, mebibytes,
		map[string]outcome{
			"all":   {137, "killed: used ", "", 230, 256},
			"runsc": {137, "killed: used ", "", 150, 256},
		},
		map[string]outcome{"all": {0, "", "took all true", 400, 400}},
	},
	{
		"threads", setting{flags: []string{"--pids", "64"}}, setting{flags: []string{"--pids", "400"}},
		[]string{"threads", "%out/count"}, pieces,
		map[string]outcome{
			"all":   {2, "", "", 40, 64}, // Go's runtime gives up
			"runc":  {2, "", "", 40, 64 + ofPID1},
			"runsc": {2, "", "", 40, 64 + ofPID1 + ofRunsc},
		},
		map[string]outcome{
			"all":   {2, "", "", 300, 400},
			"runc":  {2, "", "", 300, 400 + ofPID1},
			"runsc": {2, "", "", 300, 400 + ofPID1 + ofRunsc},
		},
	},
	{
		"a file system in memory", setting{policy: "[limits]\ntmp = '16MiB'\n"}, setting{policy: "[limits]\ntmp = '128MiB'\n"},
		[]string{"memory", "shm", "%out/count", "1", "64"}, mebibytes,
		map[string]outcome{"all": {0, "", "took all false", 12, 16}},
		map[string]outcome{"all": {0, "", "took all true", 64, 64}},
	},
	{
		"files in memory", setting{policy: "[limits]\ntmp = '4MiB'\n"}, setting{policy: "[limits]\ntmp = '64MiB'\n"},
		[]string{"disk", "inodes", "/tmp", "8"}, none,
		map[string]outcome{
			"all":   {3, "", "", 0, 0},
			"runsc": {0, "", "took all true", 0, 0}, // gVisor counts none; they are memory of the box
		},
		map[string]outcome{"all": {0, "", "took all true", 0, 0}},
	},
	{
		"a directory", setting{policy: "[limits]\ndisk = '100MiB'\n"}, setting{},
		[]string{"disk", "steady", "%out", "600"}, written,
		map[string]outcome{
			"all":   {137, "killed: wrote ", "", 50, 300},
			"runsc": {137, "killed: wrote ", "", 50, 500}, // what stops it is started for that
		},
		map[string]outcome{"all": {0, "", "took all true", 600, 601}},
	},
	{
		"files in a directory", setting{policy: "[limits]\ndisk = '8MiB'\n"}, setting{},
		[]string{"disk", "inodes", "%out", "20"}, written,
		// Whoever else writes while a box starts is taken to be the server.
		map[string]outcome{"all": {137, "killed: wrote ", "", 0, 14}},
		map[string]outcome{"all": {0, "", "took all true", 20, 21}},
	},
}

func none(*testing.T, *attack) int64 { return 0 }
