package pid1

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// PinArg is the first argument with which the program is not PID 1 but, on the host,
// the one that starts a runtime:
//
//	init pin DIR RUNTIME ARG...
//
// It mounts the sources that the launcher has written down in DIR ([Sources]) on
// DIR/0, DIR/1 and so on, which are there, where nobody sees it but the runtime, which
// it then becomes.
const PinArg = "pin"

// SourcesName is the file of the sources in their directory.
const SourcesName = "list"

// Source is a file of the host, and where it was found.
type Source struct {
	Dev, Ino uint64
	Path     string
}

// Sources is the content of the file SourcesName. A path has no NUL.
func Sources(list []Source) string {
	var text strings.Builder
	for _, s := range list {
		fmt.Fprintf(&text, "%d %d %s\x00", s.Dev, s.Ino, s.Path)
	}
	return text.String()
}

func parseSources(text string) (list []Source, err error) {
	if text == "" {
		return nil, nil
	}
	for one := range strings.SplitSeq(strings.TrimSuffix(text, "\x00"), "\x00") {
		var s Source
		part := strings.SplitN(one, " ", 3)
		if len(part) != 3 {
			return nil, errFrame
		}
		if _, err := fmt.Sscan(part[0]+" "+part[1], &s.Dev, &s.Ino); err != nil {
			return nil, errFrame
		}
		s.Path = part[2]
		list = append(list, s)
	}
	return list, nil
}

// open opens the source, if it is still what the launcher saw, and returns a copy of
// the mount, which may be mounted in any namespace.
func (s Source) open() (int, error) {
	changed := errors.New("source changed while the box was being built")
	fd, err := unix.Openat2(unix.AT_FDCWD, s.Path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	if err == unix.ELOOP {
		err = changed
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if st.Dev != s.Dev || st.Ino != s.Ino {
		return -1, changed
	}
	return unix.OpenTree(fd, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE|unix.AT_EMPTY_PATH)
}

// logFailure writes err where containerd's shim looks for the reason of a runtime that
// has failed: the file behind --log.
func logFailure(args []string, err error) {
	i := slices.Index(args, "--log")
	if i < 0 || i+1 >= len(args) {
		return
	}
	f, e := os.OpenFile(args[i+1], os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o644)
	if e != nil {
		return
	}
	defer f.Close()
	json.NewEncoder(f).Encode(map[string]string{"level": "error", "msg": err.Error()})
}

// pin returns only if it fails.
func pin(args []string) error {
	if len(args) < 2 {
		return errors.New("arguments: DIR COMMAND [ARG...]")
	}
	dir, command := args[0], args[1:]
	text, err := os.ReadFile(filepath.Join(dir, SourcesName))
	if err != nil {
		return err
	}
	list, err := parseSources(string(text))
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	var trees []int
	for _, s := range list {
		fd, err := s.open()
		if err != nil {
			return fmt.Errorf("mount source %s: %w", s.Path, err)
		}
		trees = append(trees, fd)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace: %w", err)
	}
	// What is unmounted outside has to go here, too.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("propagation of mounts: %w", err)
	}
	for i, fd := range trees {
		if err := unix.MoveMount(fd, "", unix.AT_FDCWD, filepath.Join(dir, fmt.Sprint(i)), unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount source %s: %w", list[i].Path, err)
		}
	}
	return unix.Exec(command[0], command, os.Environ())
}
