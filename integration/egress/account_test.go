package egress

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// account is somebody who runs clients and launchers.
type account struct {
	name string
	uid  int // -1: whoever runs the test
	home string
	in   *container // what its boxes are; nil is native
}

// ordinary is an unprivileged user: whoever runs the test, or, if that is root,
// somebody who is nobody else.
func ordinary() account {
	a := account{name: "ordinary", uid: -1}
	if os.Getuid() == 0 {
		a.uid = freeUID()
	}
	return a
}

// keeper is who runs databases, which refuse root. PostgreSQL wants to know who
// that is.
func keeper() account {
	a := ordinary()
	if u, err := user.Lookup("postgres"); err == nil && a.uid >= 0 {
		a.uid, _ = strconv.Atoi(u.Uid)
	}
	return a
}

// accounts are those that this test can act as.
func accounts(t *testing.T) []account {
	list := []account{ordinary()}
	if os.Getuid() == 0 {
		list = append(list, account{name: "root", uid: -1})
	}
	for i := range list {
		list[i].home = list[i].newHome(t)
	}
	return list
}

// freeUID is a user id without account or process.
func freeUID() int {
	for uid := 20000 + os.Getpid()%10000; ; uid++ {
		if _, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			continue
		}
		if !hasProcess(uid) {
			return uid
		}
	}
}

func hasProcess(uid int) bool {
	list, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range list {
		if info, err := os.Stat(dir); err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == uid {
			return true
		}
	}
	return false
}

// newHome makes a home directory that goes with the test.
func (a account) newHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "mcpbox-egress-"+a.name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil {
			t.Error(err)
		}
	})
	for _, dir := range []string{home, filepath.Join(home, "tmp"), filepath.Join(home, "work")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		a.give(t, dir)
	}
	return home
}

// give makes a file a's.
func (a account) give(t *testing.T, path string) {
	t.Helper()
	if a.uid < 0 {
		return
	}
	if err := os.Lchown(path, a.uid, a.uid); err != nil {
		t.Fatal(err)
	}
}

// file is the path that a file of the world has in a's boxes.
func (a account) file(w *world, name string) string {
	if a.in != nil {
		return "/opt/" + name
	}
	return w.file(name)
}

// variables tell clients which certificates to trust.
func variables(ca string) []string {
	return []string{"SSL_CERT_FILE=" + ca, "CURL_CA_BUNDLE=" + ca, "GIT_SSL_CAINFO=" + ca, "NODE_EXTRA_CA_CERTS=" + ca}
}

// command is a command of a's, with none of the privileges that the test itself
// has for its namespaces.
func (a account) command(w *world, args ...string) *exec.Cmd {
	if os.Getuid() != 0 {
		args = append([]string{"setpriv", "--inh-caps=-all", "--ambient-caps=-all", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = filepath.Join(a.home, "work")
	if a.home == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append(variables(w.file("ca.pem")),
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME="+a.home, "TMPDIR="+filepath.Join(a.home, "tmp"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if a.uid >= 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.uid)}
	}
	return cmd
}

// rightful is the probe's attempt to change the network, by somebody who has
// every right in a network namespace of its own.
func (w *world) rightful(verb string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", `PATH=$PATH:/usr/sbin:/sbin
ip link set lo up && ip route add local 0.0.0.0/0 dev lo && exec "$1" admin "$2"`, "-", w.file("probe"), verb)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	return cmd
}
