// Package escape attacks the box from inside and looks at the host from
// outside.
//
// The attacker is escape/probe, a small static program that knows many ways
// out. The tests of this package prepare a world for it: an unprivileged user
// nobody else uses, a home with things worth stealing, sockets, processes and a
// project with hooks worth planting. They run every attack without a box, where
// it must succeed, else it would prove nothing; inside the box; inside the box
// of a launcher started as root; and inside boxes with one layer left out on
// purpose, where another layer must hold or the attack shows what the missing
// layer is for. table_test.go and its neighbours hold what is expected, attack
// by attack. What the attacker reports is only half of the evidence: the tests
// also compare hashes, listener logs and process tables of the host.
//
// As root the tests invent a user whom nobody else is, and start root's launcher
// too; as anybody else they run as that user and skip what takes root. They obey
//
//	MCPBOX_BIN              the launcher to test, instead of one built here
//	MCPBOX_REQUIRE          a need that is not met fails the test
//	MCPBOX_ESCAPE_TABLE     the file to write the table to, in Markdown
//	MCPBOX_ESCAPE_PREBUILT  a directory with the other programs, where there is no Go
//
// and go test -update writes the table of system calls anew.
package escape

import "path/filepath"

// Scenario tells the probe where its targets are. Files have fixed places in
// Home, so that an attack can name them; what changes from run to run has a
// field of its own.
type Scenario struct {
	// Home is the attacked user's home directory. In it:
	//
	//	project   declared read-write, with hooks, configuration and sockets
	//	docs      declared read-only, with sockets and a file system mounted on docs/sub
	//	tools     declared read-only, holds the probe
	//	out       declared read-write, empty: room for the attacker's own files
	//	.sshfoo   declared read-only: its name begins like .ssh
	//
	// and everything else undeclared.
	Home string `json:"home"`

	// Scratch is a directory of the host's /tmp that is not declared.
	Scratch string `json:"scratch"`

	// Victim is a process of the attacked user outside the box.
	Victim int `json:"victim"`
	// Target is the process to take over: Victim without a box, else the
	// box's PID 1.
	Target int `json:"target"`

	// TCPLoopback, TCPLAN and TCPLAN6 are host:port of listeners of the host,
	// the latter two on addresses of a network interface; the empty string
	// where the machine has none. UDPLoopback and UDPLAN likewise.
	TCPLoopback string `json:"tcp_loopback"`
	TCPLAN      string `json:"tcp_lan"`
	TCPLAN6     string `json:"tcp_lan6"`
	UDPLoopback string `json:"udp_loopback"`
	UDPLAN      string `json:"udp_lan"`

	// Abstract and AbstractDgram are names of abstract UNIX sockets, without
	// the leading NUL.
	Abstract      string `json:"abstract"`
	AbstractDgram string `json:"abstract_dgram"`

	// SharedMemory is the key of a System V segment, Queue the name of a
	// POSIX message queue, SharedFile a file in /dev/shm: all of the host,
	// open to everybody.
	SharedMemory int    `json:"shared_memory"`
	Queue        string `json:"queue"`
	SharedFile   string `json:"shared_file"`

	// Key is the description of a key in the session keyring that the
	// launcher was started with.
	Key string `json:"key"`

	// Token is the value of variables in the launcher's environment that no
	// policy passes on.
	Token string `json:"token"`

	// Namespaces maps names in /proc/self/ns to the host's links.
	Namespaces map[string]string `json:"namespaces"`
}

// In returns the path of name in the attacked user's home.
func (s *Scenario) In(name string) string { return filepath.Join(s.Home, name) }

// Result is what became of one attack.
type Result struct {
	// ID names the attack: the item of the list it comes from, a slash, and a
	// short name.
	ID string `json:"id"`
	// Succeeded reports whether the harm was done, not merely whether a call
	// returned.
	Succeeded bool `json:"succeeded"`
	// Ret is the return value of the deciding system call, where one decided.
	Ret int64 `json:"ret"`
	// Error says what stopped the attack: the name of an errno (EPERM), of a
	// signal (SIGSYS), "absent" where the target was not there to attack,
	// "unchanged" where the calls passed and nothing came of them, or
	// "timeout".
	Error string `json:"error,omitempty"`
	// Detail is for people.
	Detail string `json:"detail,omitempty"`
}

// Attack is an entry in the probe's list.
type Attack struct {
	ID    string `json:"id"`
	Tries string `json:"tries"` // what it tries, in one sentence
}

// Injections are variables that load code into programs started with them.
var Injections = []string{
	"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "NODE_OPTIONS", "PYTHONSTARTUP", "PYTHONPATH",
	"BASH_ENV", "ENV", "PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS", "GIT_EXEC_PATH", "GIT_SSH_COMMAND",
}

// Desktop are variables that lead to sockets of the user's session.
var Desktop = []string{
	"DBUS_SESSION_BUS_ADDRESS", "SSH_AUTH_SOCK", "GPG_AGENT_INFO", "DISPLAY", "WAYLAND_DISPLAY",
	"XDG_RUNTIME_DIR", "DOCKER_HOST", "TMUX",
}

// What is more than the policy of the tests lets a box have. The policy allows
// 64 MiB in each temporary directory and 128 processes.
const (
	TooManyProcesses = 400
	TooManyBytes     = 96 << 20
	TooManyFiles     = 20_000
)

// Protected are files in a project that programs of the host run or obey, and
// that a box must not write even where it may write everything around them.
var Protected = []string{
	".git/config", ".git/hooks/pre-push", ".git/info/attributes", ".git/modules/sub/config",
	".git/modules/sub/hooks/pre-push", ".git/worktrees/w/config.worktree", "worktree/.git", ".gitmodules",
	".husky/pre-commit", ".pre-commit-config.yaml", "lefthook.yml",
	".bashrc", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".envrc", ".tool-versions", "mise.toml", ".inputrc",
	".vscode/tasks.json", ".idea/workspace.xml", ".nvim.lua", ".exrc", ".dir-locals.el", ".devcontainer/devcontainer.json", ".zed/tasks.json",
	".mcp.json", ".cursor/mcp.json", ".claude/settings.json", ".gemini/settings.json", ".codex/config.toml", ".aider.conf.yml",
	".windsurf/rules", ".continue/config.json", "CLAUDE.md", "AGENTS.md", "GEMINI.md", ".github/copilot-instructions.md", ".mcpbox.toml",
	".npmrc", ".yarnrc.yml", ".pnpmfile.cjs", ".pypirc", "pip.conf", ".cargo/config.toml", ".github/workflows/ci.yml", ".gitlab-ci.yml", ".ripgreprc",
}

// Facts is what a process sees of itself and of what is around it.
type Facts struct {
	PID, PPID, UID, GID, Session int
	Cwd, RawCwd, UIDMap          string
	Env, Mounts, Processes       []string
	Root, Dev, Home              []string
	Status, Namespaces           map[string]string
	// Descriptors maps numbers to what they are: "pipe pipe:[1]".
	Descriptors map[string]string
	// Limits maps names such as "nofile" to soft and hard limit.
	Limits map[string][2]uint64
}
