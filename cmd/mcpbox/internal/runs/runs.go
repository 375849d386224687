// Package runs keeps a directory for each live run, by which it can be found and
// reached from any other terminal of the same user.
//
//	RUNTIME/ID/lock        locked by the launcher with flock(2) for as long as it lives
//	RUNTIME/ID/state.json  what is running, see State; there once the server runs
//	RUNTIME/ID/control     a UNIX stream socket, see package control
//
// The kernel releases a lock with its process, so a directory whose lock is free
// is what a launcher has left that was killed: whoever sees it removes it. The
// lock appears under its name when it is held already, and nobody who looks takes
// it for itself alone, so that none is taken for another.
//
// All of it can be read and written by its user only, and no policy can show it
// to a box: who can write there can have processes killed.
package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"golang.org/x/sys/unix"
)

const (
	lockName    = "lock"
	stateName   = "state.json"
	controlName = "control"
)

// Reaper ends and removes what a backend outside of this process, such as
// containerd, has of a run that is over, by what stands in the run's directory.
// After an error the directory stays, for whoever looks next. A nil Reaper is for
// runs that have nothing of the kind.
type Reaper func(dir string) error

// List returns the live runs, oldest first, and removes what others have left.
// Runs that cannot be read are told in the error, beside the rest. Without the
// runtime directory there is none.
func List(runtime string, reap Reaper) ([]*Run, error) {
	paths, err := sweep(runtime, reap)
	bad := []error{err}
	var list []*Run
	for _, path := range paths {
		r, err := read(path)
		switch {
		case err == nil:
			list = append(list, r)
		case !errors.Is(err, fs.ErrNotExist): // which begins or ends
			bad = append(bad, fmt.Errorf("run %s: %w", filepath.Base(path), err))
		}
	}
	sortByAge(list)
	return list, errors.Join(bad...)
}

// Sweep removes what killed launchers have left.
func Sweep(runtime string, reap Reaper) error {
	_, err := sweep(runtime, reap)
	return err
}

// makingTime is how long a directory may be without a lock: it is being made, or
// being removed. A launcher that was held up for longer fails.
const makingTime = 5 * time.Second

// sweep returns the directories of live runs, and removes the others.
func sweep(runtime string, reap Reaper) (paths []string, err error) {
	if err := dirs.Check(runtime); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err // whatever stands there is somebody else's word
	}
	entries, err := os.ReadDir(runtime)
	if err != nil {
		return nil, err
	}
	var bad []error
	for _, e := range entries {
		if !isID(e.Name()) {
			continue
		}
		path := filepath.Join(runtime, e.Name())
		switch live, err := locked(path); {
		case errors.Is(err, fs.ErrNotExist):
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > makingTime {
				os.RemoveAll(path)
			}
		case err != nil:
			bad = append(bad, err)
		case live:
			paths = append(paths, path)
		default:
			bury(path, reap)
		}
	}
	return paths, errors.Join(bad...)
}

// bury removes what a launcher has left that was killed, and has its journal say
// so.
func bury(path string, reap Reaper) {
	if r, err := read(path); err == nil {
		native.Sweep(r.Cgroups...)
		// A journal that is not there any more, or cannot be written, keeps
		// nothing from being removed.
		_ = journal.AddEnd(r.Journal, journal.Event{
			Kind: journal.LauncherDied, Detail: fmt.Sprintf("mcpbox, process %d, was killed or has crashed, and the server has ended with it", r.Launcher.PID),
		})
	}
	if reap == nil || reap(path) == nil {
		os.RemoveAll(path)
	}
}

// locked reports whether the launcher of a run lives. The look is a shared lock,
// which others who look may have at the same time.
func locked(path string) (bool, error) {
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	switch err := unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB); err {
	case nil:
		return false, nil
	case unix.EWOULDBLOCK:
		return true, nil
	default:
		return false, os.NewSyscallError("flock", err)
	}
}

// isID reports whether name is the ID of a run, as journals give it.
func isID(name string) bool {
	if len(name) != 8 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
