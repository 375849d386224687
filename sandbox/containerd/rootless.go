package containerd

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
)

// A containerd that an ordinary user runs is in a user namespace, in which rootlesskit(1)
// has made it root, with the ids of the host that stand in /etc/subuid beside the user's
// own. What differs:
//
//   - Ids in a specification are those of that namespace. The box's user is still the
//     user, who is root there; files of the image that belong to root are his, too.
//   - The network namespace belongs to that user namespace, so that the runtime may enter
//     it (network_child.go). The launcher has every capability in a user namespace that
//     its own user has made (user_namespaces(7)), there as over the box.
//   - The runtime has no cgroup of its own for limits, and gets none that it might have:
//     they hold as in a native box without cgroups (watchdog.go).
//
// Which kind it is says the kernel, by the user who listens at the socket (unix(7),
// SO_PEERCRED).

// rootlessFeature is what is refused where one cannot be used.
const rootlessFeature = "rootless containerd"

// rootless is what is known of one.
type rootless struct {
	userns *os.File
	// uid and gid are in that namespace what the user is outside, rootUID and
	// rootGID what root of a container is to be: an id that owns nothing.
	uid, gid, rootUID, rootGID uint32
}

// findRootless looks who serves at a socket; nil is root, or this very namespace.
func findRootless(address string) (*rootless, error) {
	conn, err := net.Dial("unix", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	peer, err := peerOf(conn)
	if err != nil {
		return nil, err
	}
	if peer.Uid == 0 {
		return nil, nil
	}
	refuse := func(reason, fix string) error {
		return &sandbox.UnsupportedError{Feature: rootlessFeature, Reason: reason, Fix: fix}
	}
	if int(peer.Uid) != os.Geteuid() {
		return nil, refuse(fmt.Sprintf("the one at %s is that of user %d", address, peer.Uid), "start mcpbox as that user, or set CONTAINERD_ADDRESS to another one")
	}
	dir := fmt.Sprintf("/proc/%d/", peer.Pid)
	// In one above this it has the number 0.
	own, err := proc.Namespace(os.Getpid())
	if err != nil {
		return nil, err
	}
	if ns, err := proc.Namespace(int(peer.Pid)); peer.Pid == 0 || err == nil && ns != own {
		return nil, refuse("it is in another PID namespace than mcpbox, and numbers processes otherwise", "start rootlesskit without --pidns")
	}
	theirs, err := os.Readlink(dir + "ns/user")
	if err != nil {
		return nil, refuse("its user namespace cannot be looked at: "+err.Error(), "")
	}
	if ours, err := os.Readlink("/proc/self/ns/user"); err != nil || ours == theirs {
		return nil, err
	}
	r := &rootless{}
	if r.uid, r.rootUID, err = pickIDs(dir+"uid_map", os.Geteuid()); err == nil {
		r.gid, r.rootGID, err = pickIDs(dir+"gid_map", os.Getegid())
	}
	if err != nil {
		return nil, refuse(err.Error(), "give the user some, as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME; then start containerd anew")
	}
	if r.userns, err = os.Open(dir + "ns/user"); err != nil {
		return nil, refuse("its user namespace cannot be opened: "+err.Error(), "")
	}
	return r, nil
}

// pickIDs finds in a map (user_namespaces(7)) what an id outside is inside, and the
// last one of all others.
func pickIDs(file string, outside int) (own, other uint32, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	found, more := false, false
	for s := bufio.NewScanner(strings.NewReader(string(data))); s.Scan(); {
		var first, start, count int
		if _, err := fmt.Sscan(s.Text(), &first, &start, &count); err != nil {
			return 0, 0, fmt.Errorf("%s: %w", file, err)
		}
		if outside >= start && outside-start < count {
			found, own = true, uint32(first+outside-start)
			continue
		}
		more, other = true, max(other, uint32(first+count-1))
	}
	switch {
	case !found:
		return 0, 0, fmt.Errorf("%s: %w", file, fs.ErrNotExist)
	case !more:
		return 0, 0, fmt.Errorf("its user namespace has no ids but the user's own, and a container needs one more")
	}
	return own, other, nil
}
