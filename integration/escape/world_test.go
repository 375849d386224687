package escape

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// world is one user's machine: a home, processes, sockets. No two worlds share
// anything, so that an attack that succeeds in one is not seen in another.
type world struct {
	t *testing.T
	Scenario
	uid    int
	asRoot bool // the launcher runs as root
	log    *hearsay
	seen   []resident // of the box, when the probe was ready
}

// files of a home, by path. Those that are not declared are canaries.
var files = map[string]string{
	".ssh/id_ed25519": "private key", ".aws/credentials": "aws secret", ".config/gcloud/credentials.db": "gcloud token",
	".config/google-chrome/Default/Cookies": "cookies", ".bash_history": "history", ".npmrc": "npm token",
	".netrc": "netrc password", ".git-credentials": "git password", "other/secret.txt": "other project",
	".bashrc": "alias ls=ls", ".config/autostart/editor.desktop": "[Desktop Entry]",
	".config/Claude/claude_desktop_config.json": "{}", ".config/mcpbox/servers/other.toml": "# other\n",
	".config/mcpbox/servers/probe.toml":         probePolicy,
	".local/state/mcpbox/journal/other/1.jsonl": `{"event":"start"}` + "\n",
	".sshfoo/readme":                            "prefix",
	".cache/mcpbox/filters/other.bpf":           "filter",

	"docs/readme.md": "docs\n", "docs/long.txt": string(make([]byte, 8192)), "docs/doomed": "doomed",
	"docs/replaced": "replaced", "docs/whited": "whited",
	"docs/sub/.keep": "", "docs/late/.keep": "",

	"project/main.go": "package main\n", "project/package.json": "{}", "project/.env": "PASSWORD=1", "project/.env.doomed": "PASSWORD=2",
	"project/private/key": "hidden key",
	"project/.git/HEAD":   "ref: refs/heads/main\n", "project/.git/objects/.keep": "", "project/.git/refs/heads/.keep": "",
	"project/.git/config.worktree": "[core]\n", "project/.git/hooks/update.sample": "#!/bin/sh\n",
	"project/.git/hooks/pre-receive": "#!/bin/sh\n",
	"project/a/b/c/d/e/f/.git/HEAD":  "ref: refs/heads/main\n", "project/a/b/c/d/e/f/.git/config": "[core]\n",
	"project/a/b/c/d/e/f/.git/hooks/pre-push": "#!/bin/sh\n",
	"project/linked/.git/HEAD":                "ref: refs/heads/main\n", "project/linked/.git/config": "[core]\n",
	"project/linked/tracked-hooks/pre-push": "#!/bin/sh\n",
}

// probePolicy is what the user wrote for the server named probe.
const probePolicy = `[files]
hide = ["~/project/.env", "~/project/.env.doomed", "~/project/private"]

[limits]
pids = 128
tmp = "64MiB"
`

// newWorld makes a world. Its user is one that nobody else is, if the test runs
// as root, root itself if asRoot, else the user who runs the test.
func newWorld(t *testing.T, asRoot bool) *world {
	t.Helper()
	p := needPrograms(t)
	w := &world{t: t, uid: os.Getuid(), asRoot: asRoot, log: new(hearsay)}
	if w.uid == 0 && !asRoot {
		n, err := rand.Int(rand.Reader, big.NewInt(1_000_000_000))
		w.must(err)
		w.uid = 1_000_000 + int(n.Int64())
	}
	token := make([]byte, 8)
	_, _ = rand.Read(token)
	w.Token = "token-" + hex.EncodeToString(token)
	w.Home = w.directory(homes(t), "mcpbox-escape-")
	w.Scratch = w.directory("/tmp", "mcpbox-escape-scratch-")
	w.must(os.WriteFile(filepath.Join(w.Scratch, "secret"), []byte("secret\n"), 0o644))
	w.must(os.Mkdir(filepath.Join(w.Scratch, "run"), 0o700))

	for name, content := range files {
		mode := os.FileMode(0o600)
		if strings.HasPrefix(name, "docs/") || strings.HasPrefix(name, ".sshfoo/") {
			mode = 0o666 // where root launches, the box is nobody in read-only directories
		}
		w.write(name, content, mode)
	}
	for _, name := range Protected {
		if _, err := os.Lstat(w.In("project/" + name)); err != nil {
			w.write("project/"+name, "# "+name+"\n", 0o644)
		}
	}
	w.must(os.Mkdir(w.In("out"), 0o755))
	w.must(os.Symlink("../tracked-hooks", w.In("project/linked/.git/hooks")))
	w.must(os.Symlink(w.In("other"), w.In("project/outside")))
	w.must(os.MkdirAll(w.In("tools"), 0o755))
	w.must(copyFile(p.probe, w.In("tools/probe"), 0o755))
	w.own()
	return w
}

// arm adds programs worth attacking: the user's own copy of the launcher, and
// copies of the probe that have privileges, which only root can make.
func (w *world) arm() {
	p := needPrograms(w.t)
	for _, name := range []string{"spare", "setuid", "filecap"} {
		w.must(copyFile(p.probe, w.In("tools/"+name), 0o755))
	}
	w.must(os.MkdirAll(w.In(".local/bin"), 0o755))
	w.must(copyFile(p.launcher, w.In(".local/bin/mcpbox"), 0o755))
	w.own()
	if os.Getuid() != 0 {
		return
	}
	w.must(os.Chown(w.In("tools/setuid"), 0, 0))
	w.must(os.Chmod(w.In("tools/setuid"), os.ModeSetuid|0o755))
	w.must(os.Chown(w.In("tools/filecap"), 0, 0))
	// struct vfs_cap_data, revision 2, effective: CAP_NET_RAW, which is number 13.
	capability := []byte{1, 0, 0, 2, 0, 1 << 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	w.must(unix.Setxattr(w.In("tools/filecap"), "security.capability", capability, 0))
}

// homes is where homes of worlds go: where those of people are, so that the
// launcher meets them as it would.
func homes(t *testing.T) string {
	t.Helper()
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/home", 0o755); err != nil {
			t.Fatal(err)
		}
		return "/home"
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// own gives the world to its user.
func (w *world) own() {
	if os.Getuid() != 0 {
		return
	}
	for _, top := range []string{w.Home, w.Scratch} {
		w.must(filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, w.uid, w.uid)
		}))
	}
}

// scenario writes down where the targets are, for a probe whose target process
// is pid, and returns the file.
func (w *world) scenario(target int) string {
	w.Target = target
	w.Namespaces = map[string]string{}
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		w.Namespaces[ns], _ = os.Readlink("/proc/self/ns/" + ns)
	}
	b, err := json.MarshalIndent(&w.Scenario, "", "\t")
	w.must(err)
	w.write("tools/scenario.json", string(b), 0o644)
	return w.In("tools/scenario.json")
}

// write makes a file in the home, and the directories it needs.
func (w *world) write(name, content string, mode os.FileMode) {
	w.t.Helper()
	mkdir := os.FileMode(0o755)
	if strings.Contains(name, "mcpbox/") {
		mkdir = 0o700 // the launcher refuses less
	}
	w.must(os.MkdirAll(filepath.Dir(w.In(name)), mkdir))
	w.must(os.WriteFile(w.In(name), []byte(content), mode))
	w.must(os.Chmod(w.In(name), mode)) // whatever the umask
	if os.Getuid() == 0 {
		w.must(os.Lchown(w.In(name), w.uid, w.uid))
	}
}

// directory makes a temporary directory that everybody can enter.
func (w *world) directory(parent, pattern string) string {
	dir, err := os.MkdirTemp(parent, pattern)
	w.must(err)
	w.t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			w.t.Errorf("clean up: %v", err)
		}
	})
	w.must(os.Chmod(dir, 0o755))
	return dir
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}
