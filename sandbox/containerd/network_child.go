package containerd

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime"
	"syscall"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/rights"
	"golang.org/x/sys/unix"
)

// An ordinary user's network namespace is made by a process of this program:
//
//	launcher                          child, root of a user namespace
//	   │ request, as its argument        │
//	   │ ◄─────────────────────── offer  │ numbers of its descriptors
//	takes them (pidfd_getfd(2))          │
//	   │ sendThem ─────────────────────► │ only where that is not allowed
//	   │ ◄───────────────── descriptors  │
//	closes the socket                 ends
//
// With a rootless containerd the child is root of that one's user namespace, and stays
// until the runtime has entered the network namespace, by way of the child's descriptor:
// those of the launcher, who is outside, it may not look at (ptrace(2)).

// netnsArg0 is argv[0] of that process.
const netnsArg0 = "mcpbox-netns"

// sendThem asks for the descriptors, and is the type of the messages that have them.
const sendThem = 's'

// request is what the child is to make.
type request struct {
	Join    bool // it is in the user namespace of others, and makes the network namespace
	Network bool // more than loopback
	Address netip.Addr
	Sockets []sandbox.Socket
	Sysctls map[string]string
}

// offer is what it has made.
type offer struct {
	Error     string `json:",omitempty"`
	Namespace int
	Sockets   []int // -1 where an optional one could not be made
}

// fromChild has prepare done by a process in namespaces of its own.
func fromChild(network *sandbox.Network, sysctls map[string]string, of *rootless) (_ *namespace, err error) {
	r := request{Join: of != nil, Sysctls: sysctls}
	if network != nil {
		r.Network, r.Address, r.Sockets = true, network.Address, network.Sockets
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	socket := os.NewFile(uintptr(pair[0]), "socket")
	c := &child{socket: socket}
	args := []string{netnsArg0, string(text)}
	if of != nil {
		err = c.join(of.userns, pair[1], args)
	} else {
		err = c.startBelow(pair[1], args)
	}
	unix.Close(pair[1])
	if err != nil {
		socket.Close()
		return nil, err
	}
	var n *namespace
	defer func() {
		if n == nil || of == nil {
			c.end()
		}
	}()
	var o offer
	switch err := json.NewDecoder(socket).Decode(&o); {
	case errors.Is(err, io.EOF), errors.Is(err, unix.ECONNRESET):
		return nil, errors.New("the process that was to make it has ended")
	case err != nil:
		return nil, err
	case o.Error != "":
		return nil, errors.New(o.Error)
	case len(o.Sockets) != len(r.Sockets):
		return nil, rights.ErrMalformed
	}
	if n, err = o.take(c.pidfd, int(socket.Fd())); err == nil && of != nil {
		n.child, n.at = c, o.Namespace
	}
	return n, err
}

// child is that process. It ends when its socket does.
type child struct {
	pid, pidfd int
	socket     *os.File
}

func (c *child) end() {
	c.socket.Close()
	unix.Close(c.pidfd)
	syscall.Wait4(c.pid, nil, 0, nil)
}

// startBelow starts it in a user namespace below the one of this process.
func (c *child) startBelow(socket int, args []string) (err error) {
	c.pid, err = syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{0: uintptr(socket), 1: 2, 2: 2},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
			PidFD:       &c.pidfd,
		},
	})
	if err != nil {
		return &sandbox.UnsupportedError{Feature: `backend = "containerd" as an ordinary user`, Reason: "the kernel refused a network namespace: " + err.Error(),
			Fix: "to see why, type: mcpbox doctor", Err: err}
	}
	return nil
}

// sendSockets has descriptors sent where they could be taken; for tests.
var sendSockets bool

// take has the launcher have what is offered. Not with SCM_RIGHTS, if it can be
// avoided: descriptors in flight are counted for the user, and any of his boxes could
// have used up the count (unix(7), ETOOMANYREFS).
func (o offer) take(pidfd, socket int) (_ *namespace, err error) {
	var theirs, ours []int
	for _, fd := range append([]int{o.Namespace}, o.Sockets...) {
		if fd >= 0 {
			theirs = append(theirs, fd)
		}
	}
	for i, fd := range theirs {
		own, err := unix.PidfdGetfd(pidfd, fd, 0)
		if i == 0 && (err == unix.EPERM || err == unix.ENOSYS || sendSockets) {
			if err == nil {
				unix.Close(own)
			}
			if _, err = unix.Write(socket, []byte{sendThem}); err == nil {
				ours, err = rights.Receive(socket, sendThem, len(theirs))
			}
		} else if err == nil {
			ours = append(ours, own)
		}
		if err != nil {
			for _, fd := range ours {
				unix.Close(fd)
			}
			return nil, os.NewSyscallError("take descriptors", err)
		}
		if len(ours) == len(theirs) {
			break
		}
	}
	files := make([]*os.File, 0, 1+len(o.Sockets))
	for _, fd := range append([]int{o.Namespace}, o.Sockets...) {
		var f *os.File
		if fd >= 0 {
			f, ours = os.NewFile(uintptr(ours[0]), "from the box"), ours[1:]
		}
		files = append(files, f)
	}
	return &namespace{ns: files[0], sockets: files[1:]}, nil
}

// Init must be called early in main, and in TestMain of a package whose tests start
// containers, as a launcher that is not root makes network namespaces in a process
// of this program, and one that has frozen a box is watched by another. It returns unless
// this is one of them.
func Init() {
	if len(os.Args) == 2 && os.Args[0] == guardArg0 {
		watchOver(os.Args[1])
		unix.Exit(0)
	}
	if len(os.Args) == 0 || os.Args[0] != netnsArg0 {
		return
	}
	runtime.LockOSThread() // whose namespace /proc/thread-self has
	o, n := makeOffer(os.Args[len(os.Args)-1])
	socket := os.NewFile(0, "socket")
	if err := json.NewEncoder(socket).Encode(o); err == nil && n != nil {
		// Until the launcher has what it wants, or has ended.
		for word := make([]byte, 1); ; {
			if size, err := socket.Read(word); size == 0 || err != nil {
				break
			}
			if word[0] == sendThem && rights.Send(0, sendThem, n.descriptors()) != nil {
				break
			}
		}
	}
	unix.Exit(0)
}

// makeOffer makes what is asked for.
func makeOffer(text string) (offer, *namespace) {
	var r request
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return offer{Error: err.Error()}, nil
	}
	var network *sandbox.Network
	if r.Network {
		network = &sandbox.Network{Address: r.Address, Sockets: r.Sockets}
	}
	if r.Join {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return offer{Error: os.NewSyscallError("unshare", err).Error()}, nil
		}
	}
	n, err := prepare(network, r.Sysctls)
	if err != nil {
		return offer{Error: err.Error()}, nil
	}
	o := offer{Namespace: int(n.ns.Fd()), Sockets: []int{}}
	for _, s := range n.sockets {
		fd := -1
		if s != nil {
			fd = int(s.Fd())
		}
		o.Sockets = append(o.Sockets, fd)
	}
	return o, n
}

// descriptors are the namespace's and those of its sockets.
func (n *namespace) descriptors() []int {
	list := []int{int(n.ns.Fd())}
	for _, s := range n.sockets {
		if s != nil {
			list = append(list, int(s.Fd()))
		}
	}
	return list
}
