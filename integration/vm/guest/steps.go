package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
	"golang.org/x/sys/unix"
)

// steps runs them all, reports, and powers the machine off.
func steps() error {
	defer func() {
		unix.Sync()
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	}()
	port, err := openPort()
	if err != nil {
		return err
	}
	r := reporter{json.NewEncoder(port)}
	var list []step.Step
	b, err := os.ReadFile(filepath.Join(step.Mount, step.File))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	// What udev would do, which takes an emulated processor long.
	if err := exec.Command("modprobe", "--all", "tun", "fuse", "overlay").Run(); err != nil {
		return fmt.Errorf("modprobe: %w", err)
	}
	if err := errors.Join(os.Chmod("/dev/net/tun", 0o666), os.Chmod("/dev/fuse", 0o666)); err != nil {
		return err
	}
	// Sessions come and go with the steps, and the user's systemd would follow them
	// some seconds later, together with what runs in its scopes then.
	if err := exec.Command("loginctl", "enable-linger", "user").Run(); err != nil {
		return fmt.Errorf("loginctl: %w", err)
	}
	r.say(step.Event{Kind: step.Booted, Text: about(), Took: uptime()})
	for _, s := range list {
		r.run(s)
	}
	r.say(step.Event{Kind: step.Done, Took: uptime()})
	return nil
}

// openPort opens the port for events. It can be opened only once.
func openPort() (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(b)) == step.Port {
			return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(name))), os.O_WRONLY, 0)
		}
	}
	return nil, errors.New("no port for events")
}

type reporter struct{ to *json.Encoder }

// say sends an event. Nobody could be told that it fails but the host, which
// notices what is missing.
func (r reporter) say(e step.Event) { _ = r.to.Encode(e) }

// run runs a step and reports it.
func (r reporter) run(s step.Step) {
	began := time.Now()
	r.say(step.Event{Kind: step.Begun, Step: s.Name})
	end := step.Event{Kind: step.Ended, Step: s.Name}
	end.Status, end.Text = r.execute(s)
	end.Took = time.Since(began)
	r.say(end)
}

// execute returns the exit status of a step, or -1 and why there is none.
func (r reporter) execute(s step.Step) (int, string) {
	line := command(s)
	cmd := exec.Command(line[0], line[1:]...)
	out, in, err := os.Pipe()
	if err != nil {
		return -1, err.Error()
	}
	cmd.Stdout, cmd.Stderr = in, in
	// It stays open: MCP servers end when their input does.
	if _, err := cmd.StdinPipe(); err != nil {
		return -1, err.Error()
	}
	if err = cmd.Start(); err != nil {
		return -1, err.Error()
	}
	in.Close()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		r.hear(s.Name, out)
	}()
	err = cmd.Wait()
	// A process that the step has left behind may keep the pipe open.
	select {
	case <-heard:
	case <-time.After(10 * time.Second):
		r.say(step.Event{Kind: step.Output, Step: s.Name, Text: "(something that the step has started still holds its output)"})
	}
	out.Close()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return -1, err.Error()
	}
	return cmd.ProcessState.ExitCode(), ""
}

func (r reporter) hear(name string, from io.Reader) {
	lines := bufio.NewReader(from)
	for {
		text, err := lines.ReadString('\n')
		if text != "" {
			r.say(step.Event{Kind: step.Output, Step: name, Text: strings.TrimSuffix(text, "\n")})
		}
		if err != nil {
			return
		}
	}
}

// command is a step as systemd-run starts it at its place. The status of the
// command becomes that of systemd-run.
func command(s step.Step) []string {
	run := func(more ...string) []string {
		line := append([]string{"systemd-run", "--quiet", "--wait", "--pipe", "--collect"}, more...)
		line = append(line, "--working-directory="+s.Dir)
		for _, v := range s.Env {
			line = append(line, "--setenv="+v)
		}
		return line
	}
	limit := fmt.Sprintf("--property=RuntimeMaxSec=%.0f", s.Limit.Seconds())
	login := run("--uid=user", "--property=PAMName=login", limit)
	switch s.Place {
	case step.Session:
		return append(login, s.Args...)
	case step.Manager:
		return append(append(login, run("--user")...), s.Args...)
	case step.Delegated:
		return append(append(login, run("--user", "--property=Delegate=yes")...), append([]string{self, "delegated"}, s.Args...)...)
	default:
		return append(run(limit), s.Args...)
	}
}

// about says what machine this is.
func about() string {
	var u unix.Utsname
	_ = unix.Uname(&u)
	release, _ := os.ReadFile("/etc/debian_version")
	version, _ := exec.Command("systemctl", "--version").Output()
	first, _, _ := strings.Cut(string(version), "\n")
	return fmt.Sprintf("Debian %s, Linux %s, %s", strings.TrimSpace(string(release)), unix.ByteSliceToString(u.Release[:]), first)
}

func uptime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t)
	return time.Duration(t.Nano())
}
