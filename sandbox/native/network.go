package native

import (
	"errors"
	"fmt"
	"os"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/rights"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// planNetwork says what stage 1 has to make in the box's network namespace.
func planNetwork(plan *wire.Plan, n *sandbox.Network) {
	if n == nil {
		return
	}
	for _, s := range n.Sockets {
		plan.Sockets = append(plan.Sockets, wire.Socket(s))
	}
	if n.Address.Is4() {
		plan.Address = n.Address.AsSlice()
	}
}

// attach takes the sockets that stage 1 has made, and lets it go on when they
// are in use.
func (b *box) attach(n *sandbox.Network, offered []byte) error {
	var s wire.Sockets
	if err := wire.Unmarshal(offered, &s); err != nil || len(s.FDs) != len(n.Sockets) {
		return errors.New("stage 1: malformed list of sockets")
	}
	files, err := b.take(s.FDs)
	if err == nil {
		err = n.Attach(files)
	} else {
		closeAll(files)
	}
	if err != nil {
		return fmt.Errorf("network: %w", err)
	}
	return wire.Send(b.control, wire.TypeAttached, wire.Nothing{})
}

// sendSockets has sockets sent where they could be taken; for tests.
var sendSockets bool

// take duplicates descriptors of stage 1, which has no secret from its
// launcher. Not with SCM_RIGHTS, if it can be avoided: descriptors in flight are
// counted for the user, and any of his boxes could have used up the count.
func (b *box) take(fds []int) ([]*os.File, error) {
	files := make([]*os.File, len(fds))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pidfd < 0 {
		return nil, errors.New("stage 1 has ended")
	}
	for i, fd := range fds {
		if fd < 0 {
			continue
		}
		own, err := unix.PidfdGetfd(b.pidfd, fd, 0)
		if i == 0 && (err == unix.EPERM || err == unix.ENOSYS || sendSockets) {
			return files, b.receive(fds, files)
		}
		if err != nil {
			return files, os.NewSyscallError("pidfd_getfd", err)
		}
		files[i] = os.NewFile(uintptr(own), "from the box")
	}
	return files, nil
}

// receive has them sent.
func (b *box) receive(fds []int, files []*os.File) error {
	if err := wire.Send(b.control, wire.TypeSend, wire.Nothing{}); err != nil {
		return err
	}
	count := 0
	for _, fd := range fds {
		if fd >= 0 {
			count++
		}
	}
	conn, err := b.control.SyscallConn()
	if err != nil {
		return err
	}
	var sent []int
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		var some []int
		some, failed = rights.Receive(int(fd), wire.TypeRights, count-len(sent))
		sent = append(sent, some...)
		return failed != unix.EAGAIN
	})
	for i, fd := range fds {
		if fd >= 0 && len(sent) > 0 {
			files[i], sent = os.NewFile(uintptr(sent[0]), "from the box"), sent[1:]
		}
	}
	return errors.Join(err, failed)
}
