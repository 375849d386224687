// Package dirs says where mcpbox keeps its files, after the XDG Base Directory
// Specification 0.8.
package dirs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Dirs are mcpbox's own directories, absolute and clean. None of them needs to
// exist.
type Dirs struct {
	Config  string // user policies: $XDG_CONFIG_HOME/mcpbox
	State   string // journals, pins, backups: $XDG_STATE_HOME/mcpbox
	Cache   string // package store: $XDG_CACHE_HOME/mcpbox
	Runtime string // live runs: $XDG_RUNTIME_DIR/mcpbox
}

// Resolve names the directories for a user with this home directory and user
// id. It touches no file.
//
// "All paths set in these environment variables must be absolute. If an
// implementation encounters a relative path in any of these variables it should
// consider the path invalid and ignore it." An ignored or missing variable gives
// the default below home; for the runtime directory, for which the
// specification has none, mcpbox-UID below $TMPDIR or /tmp.
func Resolve(env func(string) string, home string, uid int) (Dirs, error) {
	var d Dirs
	for _, x := range []struct {
		dir            *string
		variable, home string
	}{
		{&d.Config, "XDG_CONFIG_HOME", ".config"},
		{&d.State, "XDG_STATE_HOME", ".local/state"},
		{&d.Cache, "XDG_CACHE_HOME", ".cache"},
	} {
		base := env(x.variable)
		if !filepath.IsAbs(base) {
			if !filepath.IsAbs(home) {
				return Dirs{}, fmt.Errorf("find mcpbox's directories: the home directory is %q, which is not an absolute path; set HOME, or %s", home, x.variable)
			}
			base = filepath.Join(home, x.home)
		}
		*x.dir = filepath.Join(base, "mcpbox")
	}
	switch run, tmp := env("XDG_RUNTIME_DIR"), env("TMPDIR"); {
	case filepath.IsAbs(run):
		d.Runtime = filepath.Join(run, "mcpbox")
	case filepath.IsAbs(tmp):
		d.Runtime = filepath.Join(tmp, "mcpbox-"+strconv.Itoa(uid))
	default:
		d.Runtime = "/tmp/mcpbox-" + strconv.Itoa(uid)
	}
	return d, nil
}

// Environment corrects what an environment says about run-time files, so that a
// command in any terminal looks where a host started by something else has put
// them. XDG_RUNTIME_DIR counts if it is the user's own ("The directory MUST be
// owned by the user"), or not there yet; sudo -E leaves somebody else's. Without
// it, it is the directory that systemd makes for each user who is logged in, if
// that is there.
func Environment(env func(string) string, uid int) func(string) string {
	run := env("XDG_RUNTIME_DIR")
	if owner, there := ownerOf(run); there && owner != uid {
		run = ""
	}
	if systemd := fmt.Sprintf("/run/user/%d", uid); run == "" {
		if owner, there := ownerOf(systemd); there && owner == uid {
			run = systemd
		}
	}
	return func(name string) string {
		if name == "XDG_RUNTIME_DIR" {
			return run
		}
		return env(name)
	}
}

func ownerOf(path string) (uid int, there bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), ok
}

// All lists the directories, for checks that no box may reach them.
func (d Dirs) All() []string { return []string{d.Config, d.State, d.Cache, d.Runtime} }

// NotPrivateError says that a directory could be changed or read by somebody
// else.
type NotPrivateError struct {
	Path   string
	Reason string
	Fix    string // the line to type
}

func (e *NotPrivateError) Error() string {
	return fmt.Sprintf("use directory %s: %s; %s", e.Path, e.Reason, e.Fix)
}

// Private makes path a directory for this user alone, with any missing parents,
// all with mode 0700 ("If, when attempting to write a file, the destination
// directory is non-existent an attempt should be made to create it with
// permission 0700"). A path that is there already must be a directory, not a
// symbolic link, owned by this user, with no permission for anybody else, or
// the error is a [*NotPrivateError]: below /tmp, whoever makes it first would
// choose who reads it.
func Private(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	return Check(path)
}

// Check is Private for a directory that is there, and changes nothing. One that
// is not there is an [fs.ErrNotExist].
func Check(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("check directory: %w", err)
	}
	switch stat, ok := info.Sys().(*syscall.Stat_t); {
	case !info.IsDir():
		return &NotPrivateError{path, "it is not a directory", "move it away: mv " + path + " " + path + ".old"}
	case !ok || int(stat.Uid) != os.Geteuid():
		return &NotPrivateError{path, "it belongs to another user", "remove it as that user, or set XDG_RUNTIME_DIR, XDG_STATE_HOME, XDG_CONFIG_HOME or XDG_CACHE_HOME to a directory of your own"}
	case info.Mode().Perm()&0o077 != 0:
		return &NotPrivateError{path, fmt.Sprintf("others may use it (mode %04o)", info.Mode().Perm()), "chmod 700 " + path}
	}
	return nil
}
