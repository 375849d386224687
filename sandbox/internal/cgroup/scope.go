package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// scopeTime bounds all that is asked of systemd. An emulated machine needs a
// second.
const scopeTime = 10 * time.Second

// systemd is the address of a bus on which the user's systemd listens, or, for
// root, the machine's: the documented one or, where no bus runs, its own socket,
// on which systemctl(1) speaks to it.
func systemd() string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		dir = "/run/user/" + strconv.Itoa(os.Geteuid())
	}
	sockets := []string{dir + "/bus", dir + "/systemd/private"}
	if os.Geteuid() == 0 {
		sockets = []string{"/run/dbus/system_bus_socket", "/run/systemd/private"}
		if unix.Access("/run/systemd/system", unix.F_OK) != nil { // sd_booted(3)
			return ""
		}
	} else if unix.Access(sockets[1], unix.F_OK) != nil {
		return "" // a bus alone is not the user's systemd
	}
	for _, s := range sockets {
		if unix.Access(s, unix.W_OK) == nil {
			return s
		}
	}
	return ""
}

// scopeCall is a connection to systemd, made while there is no process yet to
// make a scope for.
type scopeCall struct {
	unit   string
	ctx    context.Context
	cancel context.CancelFunc
	conn   chan *dbus.Conn // of one, or none with err
	err    error
}

func newScopeCall(unit string) *scopeCall {
	c := &scopeCall{unit: unit, conn: make(chan *dbus.Conn, 1)}
	c.ctx, c.cancel = context.WithTimeout(context.Background(), scopeTime)
	go func() {
		defer close(c.conn)
		conn, err := dial(c.ctx, systemd())
		if c.err = err; err == nil {
			c.conn <- conn
		}
	}()
	return c
}

func dial(ctx context.Context, socket string) (*dbus.Conn, error) {
	conn, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(socket), dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Geteuid()))})
	if err == nil && !strings.HasSuffix(socket, "/systemd/private") { // which is no bus
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *scopeCall) close() {
	c.cancel()
	if conn := <-c.conn; conn != nil {
		conn.Close()
	}
}

// start has systemd make the scope around the process pid and this one, and returns
// its directory once both are in it (org.freedesktop.systemd1(5),
// StartTransientUnit).
func (c *scopeCall) start(pid int) (string, error) {
	defer c.cancel()
	conn := <-c.conn
	if conn == nil {
		return "", fmt.Errorf("systemd: %w", c.err)
	}
	defer conn.Close()
	type property struct {
		Name  string
		Value dbus.Variant
	}
	var job dbus.ObjectPath
	err := conn.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").CallWithContext(c.ctx,
		"org.freedesktop.systemd1.Manager.StartTransientUnit", 0, c.unit, "fail", []property{
			{"Description", dbus.MakeVariant("MCP server in a box of mcpbox")},
			{"PIDs", dbus.MakeVariant([]uint32{uint32(pid), uint32(os.Getpid())})},
			{"Delegate", dbus.MakeVariant(true)},
			{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
		}, []struct {
			Name       string
			Properties []property
		}{}).Store(&job)
	if err != nil {
		return "", fmt.Errorf("systemd: %w", err)
	}
	// The job moves the processes; where to is up to systemd.
	for {
		dir, err := unifiedOf(pid)
		if err != nil {
			return "", err
		}
		own, err := unifiedOf(os.Getpid())
		if err != nil {
			return "", err
		}
		if filepath.Base(dir) == c.unit && own == dir {
			if !writable(dir, filepath.Join(dir, "cgroup.procs"), filepath.Join(dir, "cgroup.subtree_control")) ||
				!offers(words(dir, "cgroup.controllers")) {
				return "", errors.New("systemd has made a scope without the controllers memory and pids")
			}
			return dir, nil
		}
		select {
		case <-c.ctx.Done():
			return "", errors.New("systemd has not made a scope within " + scopeTime.String())
		case <-time.After(time.Millisecond / 2):
		}
	}
}

// unifiedOf is the directory of the cgroup of v2 that a process is in, where there is
// nothing but v2.
func unifiedOf(pid int) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	return locate(string(text), unified)[""], nil
}
