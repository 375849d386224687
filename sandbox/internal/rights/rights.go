// Package rights sends descriptors over sockets. Like the programs that run in boxes
// it imports the standard library and x/sys alone.
package rights

import (
	"errors"

	"golang.org/x/sys/unix"
)

// most is how many descriptors one message carries (unix(7), SCM_MAX_FD is 253).
const most = 200

// ErrMalformed is that something else has come than was sent.
var ErrMalformed = errors.New("malformed message")

// Send sends descriptors over the socket fd, in messages of type t.
func Send(fd int, t byte, rights []int) error {
	for len(rights) > 0 {
		n := min(len(rights), most)
		if err := unix.Sendmsg(fd, []byte{t}, unix.UnixRights(rights[:n]...), nil, unix.MSG_NOSIGNAL); err != nil {
			return err
		}
		rights = rights[n:]
	}
	return nil
}

// Receive receives count descriptors that Send sent. They are close-on-exec. Those of
// a message that came before one that failed are returned with the error.
func Receive(fd int, t byte, count int) (rights []int, err error) {
	for len(rights) < count {
		msg, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(most*4))
		n, oobn, _, _, err := unix.Recvmsg(fd, msg, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return rights, err
		}
		cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if n != 1 || msg[0] != t || err != nil || len(cmsgs) != 1 {
			return rights, ErrMalformed
		}
		some, err := unix.ParseUnixRights(&cmsgs[0])
		if err != nil {
			return rights, err
		}
		rights = append(rights, some...)
	}
	return rights, nil
}
