package containerd

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/netns"
	"golang.org/x/sys/unix"
)

// The network namespace of a container is made by the launcher, before there is a
// container: the runtime enters it by its path in /proc. So the launcher has its
// sockets in it without a hook that would run as root, and whatever root of the
// container could come to be, the namespace is not its own.
//
// Root makes it with a thread. Everybody else makes it below a user namespace, as
// root of which a process of its own makes it (network_child.go); containerd, which
// runs as root, may enter that. One that does not run as root may enter those of its
// own user namespace, so there the process joins that.

// namespace is a network namespace with the sockets in it.
type namespace struct {
	ns      *os.File
	sockets []*os.File // nil where an optional one could not be made
	// child has it as its descriptor at, for those who may not look at this process's;
	// or nil.
	child *child
	at    int
}

func (n *namespace) close() {
	for _, f := range append(n.sockets, n.ns) {
		if f != nil {
			f.Close()
		}
	}
}

// path is where a runtime finds the namespace.
func (n *namespace) path() string {
	if n.child != nil {
		return fmt.Sprintf("/proc/%d/fd/%d", n.child.pid, n.at)
	}
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.ns.Fd())
}

// release lets go of the namespace, which lasts as long as somebody is in it.
func (n *namespace) release() {
	n.ns.Close()
	if n.child != nil {
		n.child.end()
	}
}

// newNamespace makes a network namespace; without a network, with nothing but
// loopback. sysctls are those of networks.
func newNamespace(network *sandbox.Network, sysctls map[string]string, r *rootless) (*namespace, error) {
	var n *namespace
	var err error
	if r == nil && os.Geteuid() == 0 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			// Never unlocked: the thread ends with the goroutine, and nothing else
			// comes to run in the namespace.
			runtime.LockOSThread()
			if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
				err = os.NewSyscallError("unshare", err)
				return
			}
			n, err = prepare(network, sysctls)
		}()
		<-done
	} else {
		n, err = fromChild(network, sysctls, r)
	}
	if err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return n, nil
}

// prepare makes the network namespace of this thread what a box needs.
func prepare(network *sandbox.Network, sysctls map[string]string) (*namespace, error) {
	if err := netns.LoopbackUp(); err != nil {
		return nil, fmt.Errorf("loopback: %w", err)
	}
	for key, value := range sysctls {
		path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
		if err := os.WriteFile(path, []byte(value), 0); err != nil {
			return nil, err
		}
	}
	n := &namespace{}
	if network != nil {
		var address []byte
		if network.Address.Is4() {
			address = network.Address.AsSlice()
		}
		if err := netns.Configure(address); err != nil {
			return nil, fmt.Errorf("rtnetlink: %w", err)
		}
		for _, s := range network.Sockets {
			fd, err := unix.Socket(s.Domain, s.Type|unix.SOCK_CLOEXEC, s.Protocol)
			if err != nil && !s.Optional {
				n.close()
				return nil, os.NewSyscallError("socket", err)
			}
			var f *os.File
			if err == nil {
				f = os.NewFile(uintptr(fd), "from the box")
			}
			n.sockets = append(n.sockets, f)
		}
	}
	var err error
	if n.ns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}
