package runs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"golang.org/x/sys/unix"
)

// Own is the directory of the run that this process is the launcher of.
type Own struct {
	path   string
	dir    *os.File
	lock   *os.File
	listen *net.UnixListener
}

// Create makes the directory of the run id, which is eight hexadecimal digits,
// below the runtime directory. It is not listed before Publish.
func Create(runtime, id string) (*Own, error) {
	o, err := create(runtime, id)
	if err != nil {
		return nil, fmt.Errorf("make the run's directory: %w", err)
	}
	return o, nil
}

func create(runtime, id string) (*Own, error) {
	if !isID(id) {
		return nil, fmt.Errorf("%q is not an ID", id)
	}
	if err := Check(runtime); err != nil {
		return nil, err
	}
	o := &Own{path: filepath.Join(runtime, id)}
	if err := os.Mkdir(o.path, 0o700); err != nil {
		return nil, err
	}
	err := o.fill()
	if err != nil {
		o.Remove(nil)
		return nil, err
	}
	return o, nil
}

// Check makes the runtime directory, if it is not there, and says why it cannot
// be used, if that is so.
func Check(runtime string) error {
	err := dirs.Private(runtime)
	if private := (*dirs.NotPrivateError)(nil); err != nil && !errors.As(err, &private) {
		err = fmt.Errorf("%w; set XDG_RUNTIME_DIR to a directory of your own, or unset it", err)
	}
	return err
}

func (o *Own) fill() (err error) {
	if o.dir, err = os.Open(o.path); err != nil {
		return err
	}
	// For systemd-tmpfiles(8), which clears /tmp of what has not changed for
	// days, and leaves locked directories alone.
	if err := unix.Flock(int(o.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return os.NewSyscallError("flock", err)
	}
	lock := filepath.Join(o.path, lockName)
	if o.lock, err = os.OpenFile(lock+".new", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	if err := unix.Flock(int(o.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return os.NewSyscallError("flock", err)
	}
	if err := os.Rename(lock+".new", lock); err != nil {
		return err
	}
	// The path may be longer than the 107 bytes that an address has.
	at := net.UnixAddr{Net: "unix", Name: fmt.Sprintf("/proc/self/fd/%d/%s", o.dir.Fd(), controlName)}
	if o.listen, err = net.ListenUnix("unix", &at); err != nil {
		return err
	}
	o.listen.SetUnlinkOnClose(false)
	return os.Chmod(filepath.Join(o.path, controlName), 0o600)
}

// Listener is the control socket. Closing it is left to its user.
func (o *Own) Listener() *net.UnixListener { return o.listen }

// Publish writes the state, at once or not at all, and so lists the run.
func (o *Own) Publish(s State) error {
	data, err := s.encode()
	if err != nil {
		return fmt.Errorf("write the run's state: %w", err)
	}
	file := filepath.Join(o.path, stateName)
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return fmt.Errorf("write the run's state: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write the run's state: %w", err)
	}
	return nil
}

// Path is the directory, in which a backend may keep files of its own.
func (o *Own) Path() string { return o.path }

// Remove ends it. The state goes first: from then on the run is not listed.
func (o *Own) Remove(reap Reaper) {
	os.Remove(filepath.Join(o.path, stateName))
	if reap == nil || reap(o.path) == nil {
		os.RemoveAll(o.path)
	}
	if o.listen != nil {
		o.listen.Close()
	}
	for _, f := range []*os.File{o.lock, o.dir} {
		if f != nil {
			f.Close()
		}
	}
}
