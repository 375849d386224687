package containerd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"golang.org/x/sys/unix"
)

// fill makes in the run's directory what the container is made of besides the
// image: the skeleton with PID 1 in it, and the files that are mounted.
func (l *lowered) fill(dir string, program io.Reader) error {
	skeleton := filepath.Join(dir, skeletonName)
	for _, d := range []string{skeleton, filepath.Join(dir, filesName)} {
		if err := mkdir(d); err != nil {
			return err
		}
	}
	for _, n := range l.skeleton {
		if err := n.make(skeleton); err != nil {
			return err
		}
	}
	for _, n := range l.files {
		if err := n.make(dir); err != nil {
			return err
		}
	}
	return writeFile(filepath.Join(skeleton, pid1.Init), program, 0o555)
}

// make makes a node below base. What leads to it is made, too; a node that is there
// already, as the place of another, stays.
func (n node) make(base string) error {
	at := filepath.Join(base, n.path)
	if !strings.HasPrefix(at, base+"/") {
		return fmt.Errorf("%s is not below %s", n.path, base)
	}
	dir := base
	for _, name := range strings.Split(filepath.Dir(strings.TrimPrefix(at, base+"/")), "/") {
		dir = filepath.Join(dir, name)
		if err := mkdir(dir); err != nil {
			return err
		}
	}
	switch n.kind {
	case directory:
		return mkdir(at)
	case symlink:
		return os.Symlink(n.text, at)
	}
	return writeFile(at, strings.NewReader(n.text), 0o444)
}

// mkdir makes a directory that everybody can look into, whatever the umask. The
// run's directory around it is the user's alone.
func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		if info, e := os.Lstat(dir); e == nil && info.IsDir() {
			return nil
		}
		return err
	}
	return os.Chmod(dir, 0o755)
}

func writeFile(path string, content io.Reader, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return f.Close()
}

// pipes are the FIFOs between launcher and PID 1.
type pipes struct {
	dir  string
	hold []*os.File // both ends of each, until PID 1 has opened its own

	control, status       *os.File
	stdin, stdout, stderr *os.File
}

// makePipes makes the FIFOs in the run's directory, those of the program for the
// box's user alone, and those of PID 1 for it, or for root inside. They are held open
// at both ends, so that whoever opens one does not have to wait.
func makePipes(dir string, plan *pid1.Plan) (*pipes, error) {
	p := &pipes{dir: dir}
	for _, d := range p.dirs() {
		if err := mkdir(d); err != nil {
			return nil, err
		}
	}
	for _, name := range []string{pid1.Control, pid1.Status, pid1.Stdin, pid1.Stdout, pid1.Stderr} {
		at := p.path(name)
		if err := unix.Mkfifo(at, 0o600); err != nil {
			return nil, errors.Join(&os.PathError{Op: "mkfifo", Path: at, Err: err}, p.close())
		}
		ofPID1 := name == pid1.Control || name == pid1.Status
		if os.Geteuid() != plan.UID && (plan.Kernel || !ofPID1) {
			if err := os.Lchown(at, plan.UID, plan.GID); err != nil {
				return nil, errors.Join(err, p.close())
			}
		}
		f, err := os.OpenFile(at, os.O_RDWR|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.hold = append(p.hold, f)
	}
	p.control, p.status = p.hold[0], p.hold[1]
	return p, nil
}

// dirs are the directories of the FIFOs.
func (p *pipes) dirs() []string {
	return []string{filepath.Join(p.dir, filepath.Base(pid1.In)), filepath.Join(p.dir, filepath.Base(pid1.Out))}
}

// path is where the FIFO name lies on the host.
func (p *pipes) path(name string) string {
	at := pid1.Path(name)
	return filepath.Join(p.dir, filepath.Base(filepath.Dir(at)), name)
}

// settle leaves the launcher with one end of each FIFO, and nobody with a name of
// it, once PID 1 has all of its ends. From then on the end of one side is seen at
// the other.
func (p *pipes) settle() (err error) {
	open := func(name string, flags int) *os.File {
		f, e := os.OpenFile(p.path(name), flags|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
		err = errors.Join(err, e)
		return f
	}
	control, status := open(pid1.Control, os.O_WRONLY), open(pid1.Status, os.O_RDONLY)
	p.stdin, p.stdout, p.stderr = open(pid1.Stdin, os.O_WRONLY), open(pid1.Stdout, os.O_RDONLY), open(pid1.Stderr, os.O_RDONLY)
	for _, f := range p.hold {
		f.Close()
	}
	p.hold, p.control, p.status = nil, control, status
	// In a directory that is removed nothing can be made, whoever may write to it.
	for _, d := range p.dirs() {
		err = errors.Join(err, os.RemoveAll(d))
	}
	return err
}

func (p *pipes) close() error {
	for _, f := range append(p.hold, p.control, p.status, p.stdin, p.stdout, p.stderr) {
		if f != nil {
			f.Close()
		}
	}
	return nil
}

// program is PID 1 of a container, a static program.
func (b *Backend) program() (io.ReadCloser, error) {
	switch {
	case b.Init != "":
		return os.Open(b.Init)
	case initProgram != "":
		return io.NopCloser(strings.NewReader(initProgram)), nil
	}
	return nil, &sandbox.UnsupportedError{Feature: `backend = "containerd"`, Reason: "this mcpbox was built without the program that containers start with",
		Fix: "build it with: make build"}
}
