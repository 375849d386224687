package native

import (
	"errors"
	"os"
	"slices"

	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"

	"golang.org/x/sys/unix"
)

// embryo is a stage 1 that waits for its plan.
type embryo struct {
	box *box
	err error
}

// Prefork starts the first stage of the next box, while the caller still works
// out its specification: what the kernel needs to make namespaces is most of a
// start. Whoever calls it calls Start or Abandon afterwards.
func (b *Backend) Prefork() {
	b.embryo = make(chan embryo, 1)
	go func() {
		box, err := conceive()
		b.embryo <- embryo{box, err}
	}()
}

// Abandon ends what Prefork began, if Start has not used it.
func (b *Backend) Abandon() {
	if b.embryo == nil {
		return
	}
	if e := <-b.embryo; e.err == nil {
		e.box.abandon()
	}
	b.embryo = nil
}

func (b *Backend) takeEmbryo() (*box, error) {
	if b.embryo == nil {
		return conceive()
	}
	e := <-b.embryo
	b.embryo = nil
	return e.box, e.err
}

// conceive forks a stage 1.
func conceive() (*box, error) {
	uid, gid, err := BoxUser()
	if err != nil {
		return nil, err
	}
	program, err := initFile()
	if err != nil {
		return nil, err
	}
	b := &box{pidfd: -1, done: make(chan struct{}), reported: make(chan struct{}), group: cgroup.New(layersOff())}
	child, err := b.openPipes()
	if err != nil {
		program.Close()
	} else {
		// In the order of wire.FDControl and its successors.
		child = slices.Insert(child, wire.FDInit, program)
		err = b.fork(identity{uid, gid}, child)
		closeAll(child)
	}
	if err != nil {
		b.closePipes()
		b.group.Remove()
		return nil, err
	}
	b.group.Adopt(b.pid)
	return b, nil
}

// abandon ends a box that has not started.
func (b *box) abandon() {
	b.Kill()
	b.awaitEnd()
	b.closePipes()
	for _, s := range b.staged {
		s.Upper.Close()
	}
}

// sendPlan tells a waiting stage 1 what to become.
func (b *box) sendPlan(plan *wire.Plan, trees []*os.File) error {
	if err := b.sendTrees(trees); err != nil {
		return err
	}
	_, err := b.plan.Write(wire.Marshal(plan))
	return errors.Join(err, b.plan.Close())
}

func (b *box) sendTrees(trees []*os.File) error {
	if len(trees) == 0 {
		return nil
	}
	fds := make([]int, len(trees))
	for i, t := range trees {
		fds[i] = int(t.Fd())
	}
	conn, err := b.control.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = conn.Write(func(fd uintptr) bool {
		sent = wire.SendTrees(int(fd), fds)
		return sent != unix.EAGAIN
	})
	return errors.Join(err, sent)
}
