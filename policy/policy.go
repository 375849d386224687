// Package policy answers one question: what may this program do?
//
// A [Policy] is what a person wrote: the directories that a server may read and
// write, the variables it may see, the limits it has. It is read from TOML by
// [Parse], put together from a profile, a file and flags by [Extend], and
// turned into an OCI runtime specification by [Spec]. [Explain] says in English
// what came out.
//
// The zero Policy allows nothing: no file of the user's, no variable, no
// socket, no connection. Every function here is pure. What has to be known about
// the machine is asked of a [Host]; [OSHost] is the one that asks the kernel,
// and the only input and output in the package.
//
// # The file
//
//	profile      = "node"                 # the profile to start from
//	unix_sockets = "none"                 # or "private", or "host" with files.sockets
//	home         = "temporary"            # or "persistent": kept for the next run
//	backend      = "native"               # or "containerd", which runs an image
//	image        = "example.com/x:1.0"    # an OCI image, of containerd's
//	runtime      = "runc"                 # or "runsc" (gVisor), of containerd's
//
//	[files]
//	read       = ["~/docs"]
//	write      = ["~/projects/x"]
//	hide       = ["~/projects/x/.env"]    # beats read and write
//	protect    = ["deploy.sh"]            # never writable; adds to a built-in list
//	sockets    = []                       # unix sockets of the host, one by one
//	noexec_tmp = false                    # no execution from /tmp, /dev/shm, home
//	staged     = false                    # true: changes inside write are kept apart
//	volumes    = ["/data"]                # directories of the image: writable, in memory
//
//	[env]
//	pass = ["GITHUB_TOKEN"]
//	set  = { LOG_LEVEL = "info" }
//	image = ["NODE_ENV"]                  # variables to take from the image; "*" is all
//
//	[network]
//	mode  = "filtered"                    # or "none": only a loopback interface
//	allow = ["api.github.com:443"]        # see ParseRule; nothing else is reached
//	proxy = "http://proxy.example:3128"   # the host's own way out, if it needs one
//	ech   = "deny"                        # or "allow", for browsers
//
//	[limits]
//	memory       = "2GiB"                 # all processes together; no swap
//	cpus         = 1.5                    # processors, by time
//	pids         = 256
//	open_files   = 4096
//	tmp          = "256MiB"               # each of /tmp, /dev/shm and home
//	disk         = "10GiB"                # what writable directories may grow by
//	staged       = "256MiB"               # changes to each staged directory
//	message      = "16MiB"                # longest JSON-RPC line
//	egress_bytes = "1GiB"                 # over the network in one run; no limit
//	require      = "cgroup"               # no start where the kernel does not keep the limits
//
//	[journal]
//	max    = "64MiB"                      # of one run
//	keep   = "256MiB"                     # of all runs of a server
//	full   = "stop"                       # or "continue": when it cannot be written
//	bodies = "digest"                     # or "none", "full": of messages
//
//	[packages]                            # of servers that npx and the like start
//	scripts = ["sqlite3"]                 # packages whose install scripts are run
//	allow   = ["github.com:443"]          # reached when installing, besides the registry
//
// Any other key is an error that names the file, the line and the nearest key
// there is.
package policy

import "strconv"

// Policy is what a program may do. Its zero value allows nothing.
type Policy struct {
	// Profile is the name of the profile to start from, or "".
	Profile string
	// Why says in a few words how Profile was chosen; [Explain] repeats it.
	Why string
	// UnixSockets says which unix sockets there are; "" means [SocketsNone].
	UnixSockets SocketMode
	// Home says what becomes of the home directory; "" means [HomeTemporary].
	Home HomeMode
	// HomeDir is the directory on the host for [HomePersistent]. It comes from
	// whoever starts the box, and from no file.
	HomeDir string `json:"-"`
	// Backend makes the box; nobody having said one means [BackendNative].
	Backend Said[BackendName]
	// Image is the reference of what [BackendContainerd] runs.
	Image Said[string]
	// Runtime is what containerd makes the box with; [RuntimeRunc] if not said.
	Runtime  Said[RuntimeName]
	Files    Files
	Env      Env
	Network  Network
	Limits   Limits
	Runaway  Runaway
	Journal  Journal
	Packages Packages
	// Sources are the files that this policy was read from. Those with an
	// absolute path are never writable in the box.
	Sources []string
}

// Files is what a program sees of the host's files.
type Files struct {
	Read    []Path // readable, with everything below
	Write   []Path // readable and writable, with everything below
	Hide    []Path // not there, even inside Read or Write
	Protect []Path // never writable inside Write; relative ones hold in each
	Sockets []Path // unix sockets to connect to; only with SocketsHost
	// Volumes are directories of the image, not of the host, that are writable,
	// empty at the start, and gone with the box.
	Volumes []Path `json:",omitempty"`
	// NoexecTmp forbids execution from /tmp, /dev/shm and the home directory.
	// nil leaves it allowed, which installers and wheels need.
	NoexecTmp *bool
	// Staged keeps what a program changes inside Write apart: the directories
	// stay as they are until a person has it applied. nil is false.
	Staged *bool
}

// Env is what a program sees of the environment.
type Env struct {
	Pass []string          // names to take from the host
	Set  map[string]string // names with a value of the policy's own
	// Image are names that the image may set; "*" is all.
	Image []string `json:",omitempty"`
}

// Packages is about the installation of a server that a package runner such as
// npx starts. What it says has no effect on the box that the server runs in.
type Packages struct {
	Scripts []string `json:",omitempty"` // packages whose install scripts are run
	// Unsigned are packages that need no signature of a registry that signs.
	Unsigned []string `json:",omitempty"`
	Allow    []Rule   `json:",omitempty"` // what is reached besides the registry
}

// SocketMode says which unix sockets a program may use.
type SocketMode string

const (
	// SocketsNone: no unix sockets but connected stream pairs.
	SocketsNone SocketMode = "none"
	// SocketsPrivate: sockets among the processes of the box.
	SocketsPrivate SocketMode = "private"
	// SocketsHost: those, and the host's sockets that Files.Sockets lists.
	SocketsHost SocketMode = "host"
)

// AnnotationUnixSockets is the annotation of the specification that holds the
// [SocketMode]. It is the same string as in package sandbox, which this package
// does not import.
const AnnotationUnixSockets = "dev.mcpbox.unix-sockets"

// AnnotationHostDirectories is the annotation that says, with "true", that files
// of the host other than programs are in the box. It is the same string as in
// package sandbox.
const AnnotationHostDirectories = "dev.mcpbox.host-directories"

// AnnotationRequire is the annotation that holds Limits.Require, where that is
// set. It is the same string as in package sandbox.
const AnnotationRequire = "dev.mcpbox.limits-require"

// Mode returns the socket mode, with the default for a policy that names none.
func (p *Policy) Mode() SocketMode {
	if p.UnixSockets == "" {
		return SocketsNone
	}
	return p.UnixSockets
}

// Path is a path as a person wrote it, and where.
type Path struct {
	Text   string
	Origin Origin
}

func (p Path) String() string { return p.Text }

// Origin is where a value was written, so that an error can name the place to
// change. Paths from a file have to be absolute or start with "~"; those from
// elsewhere may be relative to the current directory.
type Origin struct {
	File string // a file's name, or ""
	Line int    // 1-based; 0 if not known
	Flag string // a command-line flag such as "--rw", or ""
}

func (o Origin) String() string {
	switch {
	case o.File != "" && o.Line > 0:
		return o.File + ":" + strconv.Itoa(o.Line)
	case o.File != "":
		return o.File
	case o.Flag != "":
		return o.Flag
	}
	return "policy"
}

// Error is a policy that cannot be used, and the place to change.
type Error struct {
	Origin Origin
	Msg    string
}

func (e *Error) Error() string { return e.Origin.String() + ": " + e.Msg }
