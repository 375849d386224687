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
func SendTrees(fd int, trees []int) error {
	for len(trees) > 0 {
		n := min(len(trees), maxRights)
		if err := unix.Sendmsg(fd, []byte{TypeTrees}, unix.UnixRights(trees[:n]...), nil, unix.MSG_NOSIGNAL); err != nil {
			return err
		}
		trees = trees[n:]
	}
	return nil
}

// ReceiveTrees receives count descriptors that SendTrees sent. They are
// close-on-exec.
func ReceiveTrees(fd, count int) (trees []int, err error) {
	for len(trees) < count {
		msg, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(maxRights*4))
		n, oobn, _, _, err := unix.Recvmsg(fd, msg, oob, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn])
		if n != 1 || msg[0] != TypeTrees || err != nil || len(cmsgs) != 1 {
			return nil, errMalformed
		}
		rights, err := unix.ParseUnixRights(&cmsgs[0])
		if err != nil {
			return nil, err
		}
		trees = append(trees, rights...)
	}
	return trees, nil
}
