package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
	"golang.org/x/sys/unix"
)

const watchdog = "watchdog"

// place is a user and what the machine gives him: one tier.
type place struct {
	tier string
	uid  int      // of the launcher
	off  string   // tiers to go without
	join []string // cgroups that were delegated to the user, for the launcher to be in
	in   *container
}

func (p place) String() string {
	s := strings.ReplaceAll(p.tier, " ", "-")
	switch {
	case p.in != nil:
		s = p.in.runtime
	case len(p.join) > 0:
		s += "-delegated"
	case p.uid != os.Getuid():
		s += "-user"
	case p.off != "":
		s += "-below"
	}
	return s
}

// kernel reports whether the kernel keeps the limits there.
func (p place) kernel() bool { return p.tier != watchdog }

// command is a command line of mcpbox in the place, with a home of its own.
func (p place) command(t *testing.T, home string, args ...string) *exec.Cmd {
	t.Helper()
	bin := needPrograms(t).mcpbox
	if p.off != "" {
		bin = needPrograms(t).layersoff
	}
	if p.in != nil {
		bin = p.in.mcpbox
	}
	line := append([]string{bin}, args...)
	if len(p.join) > 0 {
		// Root enters the cgroups, and the user starts there.
		script := `for d in ` + strings.Join(p.join, " ") + `; do echo $$ >$d/cgroup.procs || exit 9; done
			exec setpriv --reuid ` + fmt.Sprint(p.uid) + ` --regid ` + fmt.Sprint(p.uid) + ` --clear-groups --inh-caps=-all -- "$@"`
		line = append([]string{"/bin/sh", "-c", script, "sh"}, line...)
	}
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = home
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "LANG=C.UTF-8", "MCPBOX_LAYER_OFF=" + p.off}
	if p.in != nil {
		cmd.Env = append(cmd.Env, "CONTAINERD_ADDRESS="+p.in.daemon.Address)
	}
	for _, name := range []string{"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"} { // where the user's systemd is
		if v, ok := os.LookupEnv(name); ok && p.uid == os.Getuid() {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	if p.uid != os.Getuid() && len(p.join) == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.uid)}}
	}
	return cmd
}

// pick asks mcpbox which tier it would take.
func (p place) pick(t *testing.T) string {
	t.Helper()
	out, err := p.command(t, home(t, p), append(append([]string{"explain", "--json"}, p.in.flags()...), "--", "true")...).Output()
	var e struct{ Tier string }
	if err == nil {
		err = json.Unmarshal(out, &e)
	}
	if err != nil {
		t.Fatalf("%v: explain: %v: %s", p, err, out)
	}
	return e.Tier
}

// home is a new directory of the place's user.
func home(t *testing.T, p place) string {
	t.Helper()
	dir := setup.Scratch(t, "mcpbox-limits-")
	if err := os.Mkdir(filepath.Join(dir, "out"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "out")} {
		if err := errors.Join(os.Chmod(d, 0o755), os.Chown(d, p.uid, p.uid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// places are all that this machine has, the best tier first.
func places(t *testing.T) []place {
	t.Helper()
	var all []place
	add := func(p place) {
		p.tier = p.pick(t)
		if !slices.ContainsFunc(all, func(q place) bool { return q.String() == p.String() }) {
			all = append(all, p)
		}
	}
	own := place{uid: os.Getuid()}
	add(own)
	if want := os.Getenv("MCPBOX_EXPECT_TIER"); want != "" && all[0].tier != want {
		t.Fatalf("mcpbox picks the tier %q here, want %q", all[0].tier, want)
	}
	for off := []string{}; all[len(all)-1].tier != watchdog; {
		off = append(off, all[len(all)-1].tier)
		before := len(all)
		add(place{uid: own.uid, off: strings.Join(off, ",")})
		if len(all) == before {
			t.Fatalf("without the tiers %q mcpbox picks one of them", off)
		}
	}
	if os.Getuid() == 0 {
		user := place{uid: 21000 + os.Getpid()%10000}
		add(user)
		if user.join = delegate(t, user.uid); user.join != nil {
			add(user)
		}
	}
	return all
}

// delegate gives cgroups of v1 to a user, as an administrator may: the directory
// and what moves processes there. nil is where there is no v1.
func delegate(t *testing.T, uid int) (dirs []string) {
	t.Helper()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(own)) {
		field := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if !slices.Contains([]string{"memory", "pids", "cpu", "cpuacct"}, field[1]) {
			continue
		}
		parent := filepath.Join("/sys/fs/cgroup", field[1], field[2])
		if unix.Access(parent, unix.W_OK) != nil {
			return nil
		}
		dir := filepath.Join(parent, fmt.Sprintf("limits-test-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Rmdir(dir) })
		for _, f := range []string{"", "tasks", "cgroup.procs"} {
			if err := os.Chown(filepath.Join(dir, f), uid, uid); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	return dirs
}

func needPrograms(t *testing.T) *programs {
	t.Helper()
	p, err := build()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return p
}

// inEach runs a test in each place.
func inEach(t *testing.T, f func(t *testing.T, p place)) {
	for _, p := range places(t) {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}
