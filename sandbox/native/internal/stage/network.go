package stage

import "golang.org/x/sys/unix"

// loopbackUp raises lo, the only interface there is, so that a server that
// talks to itself works. Nothing else is reachable: there is no other interface
// to route to, and the namespace belongs to user namespace 1.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}
