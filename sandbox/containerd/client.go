package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/log"
	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// Namespace is the one of containerd's namespaces that is mcpbox's.
const Namespace = "mcpbox"

// Snapshotter keeps the files of images.
const Snapshotter = "overlayfs"

// Client is a connection to containerd. Its methods may be called from any
// goroutine.
type Client struct {
	// Address is the path of containerd's socket.
	Address string

	c        *containerd.Client
	rootless *rootless // nil if containerd is root's
}

// dialTimeout is how long containerd may take to answer.
const dialTimeout = 5 * time.Second

// Dial connects to containerd. An empty address is the one that
// CONTAINERD_ADDRESS names, or else the first there is of the user's own and the
// machine's. Where there is none, or none that this user may use, the error is a
// [*sandbox.UnsupportedError].
func Dial(ctx context.Context, address string) (*Client, error) {
	address, err := find(address)
	if err != nil {
		return nil, err
	}
	// What goes wrong is in the errors. On stderr mcpbox speaks, and nobody else.
	if err := log.SetLevel("panic"); err != nil {
		return nil, err
	}
	c, err := containerd.New(address, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(dialTimeout))
	if err != nil {
		return nil, unavailable(address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if serving, err := c.IsServing(ctx); err != nil || !serving {
		c.Close()
		return nil, unavailable(address, err)
	}
	r, err := findRootless(address)
	if err != nil {
		c.Close()
		return nil, err
	}
	return &Client{Address: address, c: c, rootless: r}, nil
}

// Close ends the connection.
func (c *Client) Close() error {
	if c.rootless != nil {
		c.rootless.userns.Close()
	}
	return c.c.Close()
}

// Version is the version of containerd itself, such as "1.6.20~ds1".
func (c *Client) Version(ctx context.Context) (string, error) {
	v, err := c.c.Version(ctx)
	return strings.TrimPrefix(v.Version, "v"), err
}

// awayError is a containerd that was there and does not answer any more.
type awayError struct{ address string }

func (e *awayError) Error() string { return "containerd does not answer at " + e.address }

// startAgain is what to type to have it back.
func (e *awayError) startAgain() string {
	if e.address == defaultAddress {
		return howToStart()
	}
	return "start it again, in the way that it was started"
}

// servingTimeout is how long containerd may take to say that it is there.
const servingTimeout = 2 * time.Second

// away looks whether containerd is there, and returns nil if it is.
func (c *Client) away() *awayError {
	conn, err := net.DialTimeout("unix", c.Address, servingTimeout)
	if err != nil {
		return &awayError{c.Address}
	}
	conn.Close()
	// gRPC, which has found it away before, may let seconds pass until it looks again.
	if again, ok := c.c.Conn().(interface{ ResetConnectBackoff() }); ok {
		again.ResetConnectBackoff()
	}
	ctx, cancel := context.WithTimeout(context.Background(), servingTimeout)
	defer cancel()
	if serving, err := c.c.IsServing(ctx); err != nil || !serving {
		return &awayError{c.Address}
	}
	return nil
}

// find returns the socket to use, once somebody has answered there.
func find(address string) (string, error) {
	named := address != ""
	if !named {
		address = os.Getenv("CONTAINERD_ADDRESS")
		named = address != ""
	}
	places := []string{strings.TrimPrefix(address, "unix://")}
	if named && !filepath.IsAbs(places[0]) {
		return "", &sandbox.UnsupportedError{Feature: "containerd", Reason: fmt.Sprintf("%q is not the path of a socket", address), Fix: "set CONTAINERD_ADDRESS to one, such as /run/containerd/containerd.sock"}
	}
	if !named {
		places = places[:0]
		if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
			places = append(places, filepath.Join(dir, "containerd", "containerd.sock"))
		}
		places = append(places, defaultAddress)
	}
	var last error
	for _, at := range places {
		conn, err := net.DialTimeout("unix", at, dialTimeout)
		if err == nil && !named {
			err = trusted(conn)
		}
		if conn != nil {
			conn.Close()
		}
		if err == nil {
			return at, nil
		}
		if last == nil || !errors.Is(err, fs.ErrNotExist) {
			address, last = at, err
		}
	}
	return "", unavailable(address, last)
}

var errForeign = errors.New("another user listens there")

// trusted refuses a containerd that nobody has named and that is neither root's nor this
// user's. XDG_RUNTIME_DIR may be left over from another user, who then would say what is
// run, and which process is the box that root ends.
func trusted(conn net.Conn) error {
	peer, err := peerOf(conn)
	if err != nil {
		return err
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return errForeign
	}
	return nil
}

// peerOf says who listens (unix(7), SO_PEERCRED).
func peerOf(conn net.Conn) (*unix.Ucred, error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, os.NewSyscallError("getsockopt", err)
	}
	return peer, nil
}

func unavailable(address string, err error) error {
	u := &sandbox.UnsupportedError{Feature: "containerd", Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		u.Reason = fmt.Sprintf("there is no socket %s", address)
		u.Fix = howToStart() + "; if its socket is elsewhere, set CONTAINERD_ADDRESS to that"
	case errors.Is(err, fs.ErrPermission):
		u.Reason = fmt.Sprintf("this user may not use %s", address)
		u.Fix = "whoever may use it is as good as root: give that right with care ([grpc] gid in /etc/containerd/config.toml), or run a containerd of your own, rootless, and set CONTAINERD_ADDRESS to its socket"
	case errors.Is(err, errForeign):
		u.Reason = fmt.Sprintf("%s is another user's, and was found by XDG_RUNTIME_DIR only", address)
		u.Fix = "type: unset XDG_RUNTIME_DIR; or set CONTAINERD_ADDRESS to it if you mean it"
	case err == nil:
		u.Reason = fmt.Sprintf("it does not serve at %s", address)
		u.Fix = "look at its log, and start it anew"
	default:
		u.Reason = fmt.Sprintf("it does not answer at %s: %v", address, err)
		u.Fix = howToStart()
	}
	return u
}

// defaultAddress is where root's containerd is found if nobody says otherwise.
const defaultAddress = "/run/containerd/containerd.sock"

// howToStart is what to type to have a containerd of root's.
func howToStart() string {
	if _, err := exec.LookPath("containerd"); err != nil {
		return "to install it on Debian or Ubuntu, type: sudo apt-get install containerd"
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		return "to start it, type: sudo systemctl start containerd"
	}
	return "to start it, type: sudo containerd &"
}
