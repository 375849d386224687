package snapshot

import (
	"errors"
	"fmt"
	"os"
)

// ErrHost says that something belongs to the host as well, not to a box alone.
var ErrHost = errors.New("it is the host's as well")

// Sight is what of a box can be seen through the process that it began with. An error
// is why not: [ErrHost], or what keeps this user from looking ([fs.ErrPermission]).
type Sight struct {
	Processes error // those of its PID namespace
	Files     error // what is mounted, and lies there
	Network   error // its sockets
}

// See looks at the namespaces of the process box. A container that gVisor runs has a
// process of the host's, in namespaces of the host's, in the place of its PID 1: what is
// in those is never the box's. One that is not PID 1 of its namespace says nothing of
// the box's files either.
func See(box int) Sight {
	s := Sight{private(box, "pid"), private(box, "mnt"), private(box, "net")}
	if s.Processes == nil {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", box))
		if err == nil && boxPID(status) != 1 {
			err = ErrHost
		}
		s.Processes = err
	}
	if s.Files == nil {
		s.Files = s.Processes
	}
	return s
}

// private is an error if the process shares a namespace with this process.
func private(pid int, name string) error {
	of, err := os.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
	if err != nil {
		return err
	}
	own, err := os.Stat("/proc/self/ns/" + name)
	if err != nil {
		return err
	}
	if os.SameFile(of, own) {
		return ErrHost
	}
	return nil
}
