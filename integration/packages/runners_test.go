package packages

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/servers"
	"github.com/mcpbox/mcpbox/integration/setup"
)

// lines are how people start servers of servers.All. The package is that of
// integration/servers/package.json, or of scripts/servers, whose version is put
// behind it; in Go it is told by the program.
var lines = []struct {
	id      string
	line    []string
	pkg     string
	args    []string
	alsoAll bool // as root, too, where the test is root's
}{
	{"filesystem", []string{"npx", "-y", "PKG"}, "@modelcontextprotocol/server-filesystem", []string{"{work}"}, true},
	{"memory", []string{"npx", "--yes", "PKG"}, "@modelcontextprotocol/server-memory", nil, false},
	{"everything", []string{"npm", "exec", "--yes", "--", "PKG"}, "@modelcontextprotocol/server-everything", nil, false},
	{"sequential-thinking", []string{"npx", "-y", "-p", "PKG", "mcp-server-sequential-thinking"}, "@modelcontextprotocol/server-sequential-thinking", nil, false},
	{"context7", []string{"pnpm", "dlx", "PKG"}, "@upstash/context7-mcp", nil, false},
	{"go-everything", []string{"go", "run", "PKG"}, "", nil, false},
}

func TestRunnersAnswerAsBare(t *testing.T) {
	box := setup.Found(t, "MCPBOX_BIN", "../../bin/mcpbox", "make build")
	installed := setup.Found(t, "MCPBOX_SERVERS", "../../build/servers", "scripts/servers")
	npm := filepath.Join(installed, "servers")
	if out, err := exec.Command("npm", "view", lines[0].pkg, "version").CombinedOutput(); err != nil {
		setup.Need(t, false, fmt.Sprintf("the registry of npm, which cannot be asked: %s", out))
	}
	uids := []int{os.Geteuid()}
	if os.Geteuid() == 0 {
		uids = []int{23456, 0}
	}
	for _, uid := range uids {
		for _, l := range lines {
			if uid == 0 && !l.alsoAll {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", map[bool]string{true: "root", false: "ordinary"}[uid == 0], l.id), func(t *testing.T) {
				t.Parallel()
				u := newUser(t, uid)
				p := servers.Place{NPM: npm, Go: filepath.Join(installed, "go"), Work: u.work}
				s := servers.Find(l.id)
				argv, env := s.Bare(p)
				bare, _ := u.observe(s, p, argv, env, false)
				if len(bare.Tools) == 0 {
					t.Fatal("bare: no tools")
				}
				run := s.Boxed(box, p)
				run = run[:slices.Index(run, "--")+1]
				what := l.pkg
				if what == "" {
					what = builtFrom(t, argv[0])
				} else {
					what += "@" + version(t, npm, l.pkg)
				}
				for _, word := range l.line {
					run = append(run, strings.ReplaceAll(word, "PKG", what))
				}
				for _, arg := range l.args {
					run = append(run, strings.ReplaceAll(arg, "{work}", u.work))
				}
				for _, later := range []bool{false, true} {
					u.clean()
					boxed, stderr := u.observe(s, p, run, nil, later)
					same(t, "server", bare.Server, boxed.Server)
					same(t, "tools", bare.Tools, boxed.Tools)
					same(t, "prompts", bare.Prompts, boxed.Prompts)
					same(t, "requests to the client", bare.Asked, boxed.Asked)
					for i := range bare.Outcomes {
						same(t, fmt.Sprintf("call %d", i), bare.Outcomes[i], boxed.Outcomes[i])
					}
					if strings.Contains(stderr, "mcpbox: "+l.id+": installed ") == later || later && strings.Contains(stderr, "mcpbox: ") {
						t.Errorf("later is %v, and mcpbox says:\n%s", later, stderr)
					}
				}
			})
		}
	}
}

// version is the one that the bare server has.
func version(t *testing.T, npm, pkg string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(npm, "node_modules", pkg, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Version string }
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	return p.Version
}

// builtFrom is the package in Go that a program is of, with its version.
func builtFrom(t *testing.T, program string) string {
	t.Helper()
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return info.Path + "@" + info.Main.Version
}

// user is somebody with a home of their own, and a project in it.
type user struct {
	t          *testing.T
	uid        int
	home, work string
}

func newUser(t *testing.T, uid int) *user {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcpbox-packages-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	u := &user{t: t, uid: uid, home: dir, work: filepath.Join(dir, "project")}
	u.own(dir)
	u.clean()
	return u
}

// clean makes the project new.
func (u *user) clean() {
	u.t.Helper()
	u.write(filepath.Join(u.dir(filepath.Base(u.work)), "README.md"), "# A project\n")
}

// observe runs a server and says what a client sees of it, and what came on
// stderr. alone is in a network namespace in which there is nothing.
func (u *user) observe(s servers.Server, p servers.Place, argv, env []string, alone bool) (*servers.Observation, string) {
	u.t.Helper()
	cmd := u.command(u.work, argv[0], argv[1:]...)
	cmd.Env = append(cmd.Env, env...)
	if alone {
		u.alone(cmd)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ctx, cancel := context.WithTimeout(u.t.Context(), 5*time.Minute)
	defer cancel()
	seen, err := servers.Observe(ctx, s, p, cmd, func() {})
	if err != nil {
		u.t.Fatalf("%q: %v\n%s", argv, err, stderr.String())
	}
	return seen, stderr.String()
}

// command is a program as this user runs it.
func (u *user) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.home, "LANG=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if os.Geteuid() == 0 && u.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.uid)}
	}
	return cmd
}

// alone has a command run in a network namespace in which there is nothing.
func (u *user) alone(cmd *exec.Cmd) {
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
}

// dir is a new directory of the user's, in the place of one with that name.
func (u *user) dir(name string) string {
	u.t.Helper()
	path := filepath.Join(u.home, name)
	if err := os.RemoveAll(path); err != nil {
		u.t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		u.t.Fatal(err)
	}
	u.own(path)
	return path
}

// write makes a file of the user's.
func (u *user) write(path, content string) {
	u.t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		u.t.Fatal(err)
	}
	u.own(path)
}

func (u *user) own(path string) {
	u.t.Helper()
	if err := os.Chown(path, u.uid, u.uid); err != nil && os.Geteuid() == 0 {
		u.t.Fatal(err)
	}
}

func same(t *testing.T, what string, bare, boxed any) {
	t.Helper()
	if a, b := fmt.Sprintf("%+v", bare), fmt.Sprintf("%+v", boxed); a != b {
		t.Errorf("%s:\n bare: %s\nboxed: %s", what, a, b)
	}
}
