package stage

import (
	"errors"
	"os"

	"github.com/mcpbox/mcpbox/sandbox/internal/netns"
	"github.com/mcpbox/mcpbox/sandbox/internal/rights"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// offerSockets makes every address local, and the sockets that the launcher
// wants to listen at them. The launcher takes them while the mounts are made.
func offerSockets(control *os.File, plan *wire.Plan) ([]int, error) {
	if len(plan.Sockets) == 0 {
		return nil, nil
	}
	if err := netns.Configure(plan.Address); err != nil {
		return nil, fail("rtnetlink", "", err)
	}
	fds := make([]int, len(plan.Sockets))
	for i, s := range plan.Sockets {
		fd, err := unix.Socket(s.Domain, s.Type|unix.SOCK_CLOEXEC, s.Protocol)
		if err != nil && !s.Optional {
			return nil, fail("socket", "", err)
		}
		fds[i] = fd // -1 on error
	}
	return fds, wire.Send(control, wire.TypeSockets, &wire.Sockets{FDs: fds})
}

// handOver waits until the launcher has its sockets and listens, so that no
// program runs before there is somebody to refuse it, and closes them here.
func handOver(control *os.File, fds []int) error {
	if fds == nil {
		return nil
	}
	made := make([]int, 0, len(fds))
	for _, fd := range fds {
		if fd >= 0 {
			made = append(made, fd)
		}
	}
	t, _, err := wire.Receive(control)
	if err == nil && t == wire.TypeSend {
		// The machine lets nobody take a descriptor (Yama, ptrace_scope 3).
		if err = rights.Send(wire.FDControl, wire.TypeRights, made); err == nil {
			t, _, err = wire.Receive(control)
		}
	}
	if err == nil && t != wire.TypeAttached {
		err = errors.New("unknown message")
	}
	for _, fd := range made {
		unix.Close(fd)
	}
	return err
}
