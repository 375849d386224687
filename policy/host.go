package policy

// Host is everything that this package asks of the machine. Paths given to it
// are absolute. No method follows a symbolic link in the last component.
type Host interface {
	// Lstat describes the file at path.
	Lstat(path string) (Info, error)
	// Readlink returns the text of the symbolic link at path.
	Readlink(path string) (string, error)
	// ReadDir lists a directory, in any order, without "." and "..". It reads no
	// further than needed for limit entries, which has to be positive, and
	// returns no more. The types come from the directory itself, so that no file
	// is looked at.
	ReadDir(path string, limit int) ([]Entry, error)
	// ReadFile returns the content of a small regular file.
	ReadFile(path string) ([]byte, error)
	// Mounts lists the mounts that this process sees, a later one over an
	// earlier one.
	Mounts() ([]Mount, error)
	// LookupEnv returns a variable of the launcher's environment.
	LookupEnv(name string) (string, bool)
	// Random fills p with random bytes.
	Random(p []byte) error
	// Facts returns what does not change during a run.
	Facts() Facts
}

// Facts is what a host knows about its user and about mcpbox.
type Facts struct {
	User     string // login name
	Home     string // home directory, absolute
	UID, GID int    // of this process
	Groups   []Group
	Cwd      string // working directory, absolute

	// EUID and EGID are what the box runs as: the same ids, unless mcpbox was
	// started by root. Who starts boxes overrides them.
	EUID, EGID int

	Memory int64 // of the machine, in bytes; 0 if not known
	CPUs   int   // processors that this process may use

	Dirs          // of mcpbox itself
	Binary string // the path of the mcpbox program
}

// Dirs are the directories in which mcpbox keeps its own files. They need not
// exist yet. No box may write any of them, and none may read any but Cache.
type Dirs struct {
	Config, State, Cache, Runtime string
}

// Group is a group that the user is in.
type Group struct {
	Name string
	GID  int
}

// Info describes a file.
type Info struct {
	Type     FileType
	Perm     uint32 // permission bits with set-id and sticky, 07777
	Dev, Ino uint64
	Nlink    uint64
	UID, GID uint32
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	Type FileType
	Ino  uint64
}

// Mount is one mount of the host.
type Mount struct {
	Point string // where it is mounted
	Dev   string // the file system, as "major:minor"
	Root  string // which directory of that file system is mounted
	Type  string // the file system's type
}

// FileType is the kind of a file.
type FileType uint8

const (
	Unknown FileType = iota
	Regular
	Directory
	Symlink
	Socket
	FIFO
	Device
)

func (t FileType) String() string {
	switch t {
	case Regular:
		return "file"
	case Directory:
		return "directory"
	case Symlink:
		return "symbolic link"
	case Socket:
		return "unix socket"
	case FIFO:
		return "FIFO"
	case Device:
		return "device"
	}
	return "unknown"
}
