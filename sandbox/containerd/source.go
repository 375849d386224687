package containerd

import (
	"context"
	"fmt"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"golang.org/x/sys/unix"
)

// sourceTimeout bounds the look at all mount sources: a hung FUSE or network file
// system must fail the start, not hang it.
const sourceTimeout = 5 * time.Second

// identify records what stands at the source of each bind mount, for PID 1 to
// compare with what has been mounted.
func (l *lowered) identify(ctx context.Context) error {
	done := make(chan error, 1)
	checks := l.plan.Checks
	go func() {
		for i, at := range l.sources {
			if err := identify(l.spec.Mounts[at].Source, &checks[i].Dev, &checks[i].Ino); err != nil {
				done <- fmt.Errorf("mount source %s: %w", l.spec.Mounts[at].Source, err)
				return
			}
		}
		done <- nil
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(sourceTimeout):
		return fmt.Errorf("mount sources: no answer from their file system within %s", sourceTimeout)
	}
}

func identify(source string, dev, ino *uint64) error {
	fd, err := boxspec.OpenSource(source)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR, unix.S_IFREG, unix.S_IFSOCK:
	case unix.S_IFCHR:
		if !boxspec.PlainDevice(st.Rdev) {
			return fmt.Errorf("it is a device other than null, zero, full, random and urandom")
		}
	default:
		return fmt.Errorf("it is neither a directory, a file nor a socket")
	}
	*dev, *ino = st.Dev, st.Ino
	return nil
}
