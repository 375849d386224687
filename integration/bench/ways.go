package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// ownSession gives a process a session, as that of a box has one: the kernel may
// share out the processors between sessions (sched(7), autogroup), and two
// processes of the same one would wait for each other where others do not.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// way is one way for a program to reach the services of this machine.
type way struct {
	name    string
	missing string // why it cannot be had, if it cannot
	host    string // the address of this machine's loopback, as seen from there

	// start starts the client there, and says which process carries its
	// connections, 0 for none.
	start func() (s *session, carrier int, err error)
}

// ways are the columns of the table of the network: bare, the two helpers that
// rootless containers use, and mcpbox.
func (b *bench) ways(o *origin) []*way {
	jails := b.jails("--egress", fmt.Sprintf("127.0.0.1:%d,%d", o.sender, o.greeter))
	started := func(cmd *exec.Cmd) (*session, int, error) {
		cmd.SysProcAttr = ownSession()
		s, err := open(cmd)
		if err != nil {
			return nil, 0, err
		}
		return s, cmd.Process.Pid, nil
	}
	list := []*way{
		{name: "bare", host: "127.0.0.1", start: func() (*session, int, error) {
			cmd, err := jails[0](b.self, "-pong")
			if err != nil {
				return nil, 0, err
			}
			s, _, err := started(cmd)
			return s, 0, err
		}},
		// The shortest way that it has: loopback to loopback, by splice(2), for
		// ports that are named; it has no way of that kind to other machines.
		{name: "pasta", host: "127.0.0.1", start: func() (*session, int, error) {
			return started(exec.Command("pasta", "--config-net", "--foreground", "--quiet",
				"--tcp-ports", "none", "--udp-ports", "none", "--udp-ns", "none",
				"--tcp-ns", fmt.Sprintf("%d,%d", o.sender, o.greeter), "--", b.self, "-pong"))
		}},
		{name: "slirp4netns", host: "10.0.2.2", start: b.slirp},
		{name: "mcpbox", host: "127.0.0.1", start: func() (*session, int, error) {
			cmd, err := jails[2](b.self, "-pong")
			if err != nil {
				return nil, 0, err
			}
			return started(cmd)
		}},
	}
	for _, w := range list[1:3] {
		if _, err := exec.LookPath(w.name); err != nil {
			w.missing = "not installed"
			continue
		}
		if err := w.try(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: without %s: %v\n", w.name, err)
			w.missing = "does not run here"
		}
	}
	return list
}

// try finds out whether a client can be started.
func (w *way) try() error {
	// Without this device pasta would wait for ever.
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	tun.Close()
	s, _, err := w.open()
	if err != nil {
		return err
	}
	return s.close()
}

// open starts a client, and waits until it answers.
func (w *way) open() (*session, int, error) {
	s, carrier, err := w.start()
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", w.name, err)
	}
	late := time.AfterFunc(patience, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	if err := s.initialize(); err != nil {
		return nil, 0, fmt.Errorf("%s: %w", w.name, err)
	}
	return s, carrier, nil
}

// address is where a port of this machine is found from there.
func (w *way) address(port int) string { return fmt.Sprintf("%s:%d", w.host, port) }

// slirp starts the client in a network namespace, which is then given a device
// that slirp4netns serves. It ends with the namespace.
func (b *bench) slirp() (*session, int, error) {
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--net", "--", b.self, "-pong")
	cmd.SysProcAttr = ownSession()
	s, err := open(cmd)
	if err != nil {
		return nil, 0, err
	}
	if err := s.ping(); err != nil { // it is in the namespace
		return nil, 0, err
	}
	ready, tell, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer ready.Close()
	// As its authors recommend for speed.
	server := exec.Command("slirp4netns", "--configure", "--mtu=65520", "--ready-fd=3", fmt.Sprint(cmd.Process.Pid), "tap0")
	server.SysProcAttr = ownSession()
	server.ExtraFiles = []*os.File{tell}
	err = server.Start()
	tell.Close()
	if err != nil {
		return nil, 0, s.failed(err)
	}
	s.with = server
	if _, err := bufio.NewReader(ready).ReadByte(); err != nil {
		return nil, 0, s.failed(errors.New("slirp4netns ended at once"))
	}
	return s, server.Process.Pid, nil
}
