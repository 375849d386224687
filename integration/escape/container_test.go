package escape

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/integration/setup"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// TestAttacksInContainers runs the attacks in containers, with runc and with
// gVisor's runsc. What has to come of them is what has to in the native box, but for
// what stands in differs.
func TestAttacksInContainers(t *testing.T) {
	ctr.Need(t)
	d := ctr.Start(t)
	for _, runtime := range []string{"runc", "runsc"} {
		t.Run(runtime, func(t *testing.T) {
			_, err := exec.LookPath(runtime)
			setup.Need(t, err == nil, runtime)
			w := newWorld(t, false)
			w.listen()
			w.neighbour()
			w.Target = 1
			w.must(os.Chown(d.Address, w.uid, w.uid))
			ref := importEmpty(t, d)
			before := w.fingerprint()
			line := []string{installed(t, w), "run", "--raw", "--name", "probe", "--backend", "containerd", "--image", ref, "--runtime", runtime,
				"--ro", w.In("docs"), "--ro", w.In("tools"), "--rw", w.In("out"), "--", w.In("tools/probe"), "attacks", w.In("tools/scenario.json"), w.In("out/results")}
			var ids []string
			for _, r := range containerRows(runtime) {
				ids = append(ids, r.id)
			}
			got, err := w.attack(line, []string{"CONTAINERD_ADDRESS=" + d.Address}, ids...)
			if err != nil {
				t.Errorf("run: %v\n%s", err, d.Log())
			}
			for _, r := range containerRows(runtime) {
				r.boxed = expected(runtime, r)
				r.judge(t, situation{name: runtime}, got)
			}
			for _, d := range changes(before, w.fingerprint()) {
				if !strings.HasPrefix(d, ".local/state/mcpbox/images") { // what the launcher has pinned
					t.Errorf("on the host: %s", d)
				}
			}
			for _, h := range w.log.all() {
				t.Errorf("on the host: heard on %s", h)
			}
		})
	}
}

// containerRows are the attacks that need nothing of the project, and no program with
// privileges.
func containerRows(runtime string) []row {
	all := slices.Concat(namespaceRows, mountRows, procRows, inheritRows, processRows, kernelRows, socketRows, archRows(), setIDRows, limitRows, networkRows)
	return slices.DeleteFunc(all, func(r row) bool {
		return slices.Contains([]string{"N-5/setuid-program", "N-5/file-capabilities", "F-7/open-handle", "U-4/fifo"}, r.id) ||
			// gVisor's filter ends the thread that makes the call, rather than the process,
			// so that the attacker hangs, each time for as long as it is let; and where
			// there are too many processes it ends, and the rest with it.
			runtime == "runsc" && (strings.HasPrefix(r.id, "S-1/") || r.id == "R-2/processes")
	})
}

// differs says by runtime what an attack comes to that comes to something else in a
// native box.
var differs = map[string]map[string]string{
	"runc": {
		// Without capabilities in the user namespace, to none of these anything follows.
		"N-3/setgroups-state": yes, "N-4/id-map": yes, "N-4/securebits": yes,
		// Covers of /proc: an empty directory and the null device.
		"M-4/setid-mount": yes, "M-4/device-mount": yes,
		"M-10/run": yes, // PID 1 and two empty directories
		// Runtimes have one in each container.
		"X-1/tty":           "EACCES|ENXIO",
		"P-4/shared-memory": "EINVAL",
	},
	"runsc": {
		// gVisor's own: devices of its kernel, mounts that tell no flags, a /proc with
		// less in it, or with other words for no.
		"N-4/id-map": yes, "N-4/new-privileges": yes, "N-4/securebits": "EINVAL", "N01/setns-file": "ENOENT", "N-2/raise-limit": "ENOENT",
		"M-4/setid-mount": yes, "M-4/device-mount": yes, "M-8/core-pattern": "ENOENT", "M-11/fuse": yes, "M-11/ptmx": yes,
		"X-1/own-terminal": yes, "X-1/tty": "EIO", "M-2/old-root": "EACCES", "F-1/others": "absent", "F-8/all-environments": "",
		"X-4/pidfd-host": "ENOSYS", "P-1/pidfd-getfd": "ENOSYS", "P-1/process-madvise": "ENOSYS", "U-4/fifo-read-only": "EROFS",
		"M-10/run": yes, "U-5/mkfifo": yes, "P-4/shared-memory": "EINVAL",
		// What its kernel counts none of is memory of the box, on which there is a limit.
		"R-4/inodes": yes, "R-7/inotify": yes, "R-7/queues": "EACCES", "R-7/timers": yes, "R-7/shared-memory": yes, "R-7/semaphores": yes,
		"R-7/messages": yes, "W-4/fchmodat2": "ENOSYS", "R-8/realtime": "EINVAL", "R-8/nice": yes, "R-8/oom": yes,
		// There is no such interface; gVisor does not look.
		"E-1/interface-down": "ENOTTY", "E-1/address": "ENOTTY", "E-1/bind-device": yes,
		// PID 1 is of mcpbox, and has no secret: its environment is empty, and what it
		// reads from cannot be written to.
		"P-1/maps": yes, "P-1/environ": yes, "P-1/fds": yes,
	},
}

// expected is the outcome of an attack with a runtime.
func expected(runtime string, r row) string {
	if other, ok := differs[runtime][r.id]; ok {
		return other
	}
	if runtime != "runsc" {
		if kernelLandlock() < 6 && r.but.landlock != "" {
			return r.boxed + "|" + r.but.landlock // an older kernel has less of it
		}
		return r.boxed
	}
	// gVisor's filter knows ENOSYS and one error besides, and files of /proc that there
	// are not.
	for _, same := range [][2]string{{"EAFNOSUPPORT", "EPERM"}, {"EPROTONOSUPPORT", "EPERM"}, {"absent", "ENOENT"}} {
		if strings.Contains(r.boxed, same[0]) {
			r.boxed += "|" + same[1]
		}
	}
	return r.boxed
}

// importEmpty has containerd keep an image in which there is next to nothing.
func importEmpty(t *testing.T, d *ctr.Daemon) string {
	t.Helper()
	c, err := containerd.Dial(t.Context(), d.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := image.Recipe{Ref: "example.com/empty:1", Dirs: []string{"/empty"}}
	r.Config.Env = []string{"PATH=/bin"}
	var archive bytes.Buffer
	if err := image.Write(&archive, r); err != nil {
		t.Fatal(err)
	}
	list, err := c.Import(t.Context(), &archive, "")
	if err != nil {
		t.Fatal(err)
	}
	return list[0].Ref
}

// installed is mcpbox with both of its programs, where the world's user finds them.
func installed(t *testing.T, w *world) string {
	t.Helper()
	dir := t.TempDir()
	w.must(os.Chmod(filepath.Dir(dir), 0o755))
	setup.Containerd(t, dir)
	return filepath.Join(dir, "mcpbox")
}
