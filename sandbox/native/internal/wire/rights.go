package wire

import (
	"golang.org/x/sys/unix"
)

// maxRights is how many descriptors one message carries (unix(7), SCM_MAX_FD is
// 253).
const maxRights = 200

// SendTrees sends the descriptors of detached mounts over the socket fd. Only a
// launcher that is root does: descriptors in flight are counted for the user,
// and for an ordinary one any of his boxes could have used up the count
// (unix(7), ETOOMANYREFS).
func SendTrees(fd int, trees []int) error { return SendRights(fd, TypeTrees, trees) }

// ReceiveTrees receives count descriptors that SendTrees sent.
func ReceiveTrees(fd, count int) ([]int, error) { return ReceiveRights(fd, TypeTrees, count) }

// SendRights sends descriptors over the socket fd, in messages of type t.
func SendRights(fd int, t byte, rights []int) error {
	for len(rights) > 0 {
		n := min(len(rights), maxRights)
		if err := unix.Sendmsg(fd, []byte{t}, unix.UnixRights(rights[:n]...), nil, unix.MSG_NOSIGNAL); err != nil {
			return err
		}
		rights = rights[n:]
	}
	return nil
}

// ReceiveRights receives count descriptors that SendRights sent. They are
// close-on-exec. Those of a message that came before one that failed are
// returned with the error.
func ReceiveRights(fd int, t byte, count int) (rights []int, err error) {
	for len(rights) < count {
		msg, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(maxRights*4))
		n, oobn, _, _, err := unix.Recvmsg(fd, msg, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return rights, err
		}
		cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if n != 1 || msg[0] != t || err != nil || len(cmsgs) != 1 {
			return rights, errMalformed
		}
		some, err := unix.ParseUnixRights(&cmsgs[0])
		if err != nil {
			return rights, err
		}
		rights = append(rights, some...)
	}
	return rights, nil
}
