package containerd

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

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
// root of which a process of its own makes it; containerd, which runs as root, may
// enter that.

// netnsArg0 is argv[0] of that process.
const netnsArg0 = "mcpbox-netns"

// namespace is a network namespace with the sockets in it.
type namespace struct {
	ns      *os.File
	sockets []*os.File // nil where an optional one could not be made
}

func (n *namespace) close() {
	for _, f := range append(n.sockets, n.ns) {
		if f != nil {
			f.Close()
		}
	}
}

// path is where a runtime finds the namespace.
func (n *namespace) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), n.ns.Fd()) }

// newNamespace makes a network namespace; without a network, with nothing but
// loopback. sysctls are those of networks.
func newNamespace(network *sandbox.Network, sysctls map[string]string) (*namespace, error) {
	var n *namespace
	var err error
	if os.Geteuid() == 0 {
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
		n, err = fromChild(network, sysctls)
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

// fromChild has prepare done by a process in namespaces of its own, which sends what
// it has made.
func fromChild(network *sandbox.Network, sysctls map[string]string) (*namespace, error) {
	args := []string{netnsArg0}
	if network != nil {
		args = append(args, "-", network.Address.String())
		for _, s := range network.Sockets {
			args = append(args, fmt.Sprintf("%d,%d,%d,%t", s.Domain, s.Type, s.Protocol, s.Optional))
		}
	}
	for key, value := range sysctls {
		args = append(args, key+"="+value)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	pid, err := syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Env:   []string{},
		Files: []uintptr{0: uintptr(pair[1]), 1: uintptr(pair[1]), 2: 2},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		},
	})
	unix.Close(pair[1])
	if err != nil {
		return nil, &sandbox.UnsupportedError{Feature: `backend = "containerd" as an ordinary user`, Reason: "the kernel refused a network namespace: " + err.Error(),
			Fix: "to see why, type: mcpbox doctor", Err: err}
	}
	defer func() { syscall.Wait4(pid, nil, 0, nil) }()
	return receive(pair[0], network)
}

// receive takes what the child sends: which sockets it has made, or what went
// wrong, and the descriptors, the namespace's first.
func receive(fd int, network *sandbox.Network) (*namespace, error) {
	const most = 64
	text, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4*most))
	size, oobn, _, _, err := unix.Recvmsg(fd, text, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var rights []int
	if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for _, m := range messages {
			if some, err := unix.ParseUnixRights(&m); err == nil {
				rights = append(rights, some...)
			}
		}
	}
	var files []*os.File
	for _, fd := range rights {
		files = append(files, os.NewFile(uintptr(fd), "from the box"))
	}
	made, ok := strings.CutPrefix(string(text[:size]), "ok ")
	count := 0
	if network != nil {
		count = len(network.Sockets)
	}
	if !ok || len(made) != count || len(files) != 1+strings.Count(made, "1") {
		for _, f := range files {
			f.Close()
		}
		if size == 0 {
			return nil, errors.New("the process that was to make it has ended")
		}
		return nil, errors.New(string(text[:size]))
	}
	n := &namespace{ns: files[0]}
	files = files[1:]
	for _, c := range made {
		var f *os.File
		if c == '1' {
			f, files = files[0], files[1:]
		}
		n.sockets = append(n.sockets, f)
	}
	return n, nil
}

// Init must be called early in main, and in TestMain of a package whose tests start
// containers, as a launcher that is not root makes network namespaces in a process
// of this program. It returns unless this is that process.
func Init() {
	if len(os.Args) == 0 || os.Args[0] != netnsArg0 {
		return
	}
	text, rights := "", []int{}
	n, err := asChild(os.Args[1:])
	if err != nil {
		text = err.Error()
	} else {
		text, rights = "ok ", []int{int(n.ns.Fd())}
		for _, s := range n.sockets {
			if s == nil {
				text += "0"
				continue
			}
			text += "1"
			rights = append(rights, int(s.Fd()))
		}
	}
	unix.Sendmsg(1, []byte(text), unix.UnixRights(rights...), nil, 0)
	unix.Exit(0)
}

func asChild(args []string) (*namespace, error) {
	runtime.LockOSThread()
	var network *sandbox.Network
	sysctls := map[string]string{}
	for i := 0; i < len(args); i++ {
		if key, value, ok := strings.Cut(args[i], "="); ok {
			sysctls[key] = value
			continue
		}
		if args[i] == "-" && i+1 < len(args) {
			i++
			address, _ := netip.ParseAddr(args[i]) // none is the zero one
			network = &sandbox.Network{Address: address}
			continue
		}
		part := strings.Split(args[i], ",")
		if network == nil || len(part) != 4 {
			return nil, fmt.Errorf("unknown argument %q", args[i])
		}
		var number [3]int
		for j := range number {
			var err error
			if number[j], err = strconv.Atoi(part[j]); err != nil {
				return nil, err
			}
		}
		network.Sockets = append(network.Sockets, sandbox.Socket{Domain: number[0], Type: number[1], Protocol: number[2], Optional: part[3] == "true"})
	}
	return prepare(network, sysctls)
}
