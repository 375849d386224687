package containerd

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"golang.org/x/sys/unix"
)

// sourceTimeout bounds the look at all mount sources: a hung FUSE or network file
// system must fail the start, not hang it.
const sourceTimeout = 5 * time.Second

// identify records what stands at the source of each bind mount, for PID 1 to
// compare with what has been mounted; gVisor, in which PID 1 cannot tell, gets it from
// pin.
func (l *lowered) identify(ctx context.Context) error {
	done := make(chan error, 1)
	checks := l.plan.Checks
	isDir := make([]bool, len(l.sources))
	go func() {
		for i, at := range l.sources {
			var err error
			if isDir[i], err = identify(l.spec.Mounts[at].Source, &checks[i].Dev, &checks[i].Ino); err != nil {
				done <- fmt.Errorf("mount source %s: %w", l.spec.Mounts[at].Source, err)
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		if err == nil && !l.plan.Kernel {
			l.pin(isDir)
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(sourceTimeout):
		return fmt.Errorf("mount sources: no answer from their file system within %s", sourceTimeout)
	}
}

func identify(source string, dev, ino *uint64) (isDir bool, err error) {
	fd, err := boxspec.OpenSource(source)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		isDir = true
	case unix.S_IFREG, unix.S_IFSOCK:
	case unix.S_IFCHR:
		if !boxspec.PlainDevice(st.Rdev) {
			return false, fmt.Errorf("it is a device other than null, zero, full, random and urandom")
		}
	default:
		return false, fmt.Errorf("it is neither a directory, a file nor a socket")
	}
	*dev, *ino = st.Dev, st.Ino
	return isDir, nil
}

// pin has the runtime take what identify has found from places in the run's directory.
// On these it is mounted before the runtime looks there, if it is still the same: the
// path that it was found at may lead to something else by then, and who follows it is
// root.
func (l *lowered) pin(isDir []bool) {
	var list []pid1.Source
	for i, at := range l.sources {
		m := &l.spec.Mounts[at]
		if strings.HasPrefix(m.Source, "/dev/") {
			continue // nobody's but root's
		}
		n := node{path: path.Join(sourcesName, fmt.Sprint(len(list))), kind: regular}
		if isDir[i] {
			n.kind = directory
		}
		l.files = append(l.files, n)
		list = append(list, pid1.Source{Dev: l.plan.Checks[i].Dev, Ino: l.plan.Checks[i].Ino, Path: m.Source})
		m.Source = path.Join(l.dir, n.path)
	}
	l.files = append(l.files, node{path.Join(sourcesName, pid1.SourcesName), regular, pid1.Sources(list)})
}
