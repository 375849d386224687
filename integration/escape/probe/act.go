package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// act behaves in one way, for tests of what happens around a server.
//
//	sleep               sleeps until it is killed
//	echo                copies standard input to standard output
//	exit N              exits with status N
//	die N               ends itself with signal N
//	stubborn            says "up", ignores signals and the end of its input
//	tree N              says "up" when N children of children, each in a session
//	                    of its own and ignoring signals, run; then is stubborn
//	daemon              leaves a stubborn grandchild that holds its output; exits 0
//	orphans N           makes N orphans that exit at once, prints how many zombies stay
//	signal-init         sends every signal to process 1, prints "alive"
//	no-namespaces E ARG..  executes ARG under a filter that refuses user
//	                    namespaces with error number E
//	hammer N            tries for N seconds to write to programs that run
//	hoard               takes all inotify instances and processes it can get, says
//	                    how many, keeps them until the end of its input
//	print TEXT          writes TEXT, a Go string literal, to standard error
func act(name string, args []string) error {
	n := 0
	if len(args) > 0 {
		n, _ = strconv.Atoi(args[0])
	}
	switch name {
	case "sleep":
		time.Sleep(time.Hour)
	case "echo":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "exit":
		return exitStatus(n)
	case "die":
		signal.Reset()
		// Not kill: the runtime has handlers for some.
		return die(syscall.Signal(n))
	case "stubborn":
		signal.Ignore()
		fmt.Println("up")
		time.Sleep(time.Hour)
	case "tree":
		return tree(n)
	case "daemon":
		return detach("stubborn")
	case "orphans":
		return orphans(n)
	case "signal-init":
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			_ = unix.Kill(1, sig)
		}
		time.Sleep(100 * time.Millisecond)
		fmt.Println("alive")
	case "no-namespaces":
		return withoutNamespaces(n, args[1:])
	case "hoard":
		return hoard()
	case "hammer":
		return hammer(time.Duration(n) * time.Second)
	case "print":
		text, err := strconv.Unquote(args[0])
		if err != nil {
			return err
		}
		_, err = os.Stderr.WriteString(text)
		return err
	default:
		return fmt.Errorf("cannot act %q", name)
	}
	return nil
}

// exitStatus is an error that only carries the status to exit with.
type exitStatus int

func (s exitStatus) Error() string { return "exit status " + strconv.Itoa(int(s)) }

// die ends the process with a signal, past the runtime's handlers.
func die(sig syscall.Signal) error {
	calls := []call{
		sys(unix.SYS_GETPID),
		sys(unix.SYS_KILL, result(1), int(sig)),
	}
	if sig != unix.SIGKILL {
		_ = raw(unix.SYS_RT_SIGACTION, int(sig), make([]byte, 32), nil, 8)
	}
	slots := make([]slot, len(calls))
	follow(calls, slots)
	time.Sleep(time.Second)
	return fmt.Errorf("survived signal %d", sig)
}

// tree starts n stubborn processes that are no longer children of this one.
func tree(n int) error {
	for range n {
		if err := detach("stubborn"); err != nil {
			return err
		}
	}
	return act("stubborn", nil)
}

// detach starts a copy of the probe in a session of its own, twice removed.
func detach(behaviour string) error {
	if os.Getenv("PROBE_DETACHED") == "" {
		cmd := exec.Command(os.Args[0], "act", "daemon", behaviour)
		cmd.Env = append(os.Environ(), "PROBE_DETACHED=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd.Run()
	}
	cmd := exec.Command(os.Args[0], "act", behaviour)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// orphans makes n grandchildren whose parent does not wait for them, and counts
// the zombies that are left.
func orphans(n int) error {
	for range n {
		// The child forks; the grandchild sleeps a moment and finds itself
		// an orphan.
		if _, _, err := forked(sys(unix.SYS_CLONE, int(unix.SIGCHLD))); err != nil {
			return err
		}
	}
	zombies := 0
	for range 100 {
		zombies = 0
		left := pids()
		for _, pid := range left {
			if s := status(pid, "State"); s != "" && s[0] == 'Z' {
				zombies++
			}
		}
		if zombies == 0 && len(left) <= 3 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]int{"zombies": zombies, "processes": len(pids())})
}

// hoard takes what it can get and keeps it until the end of its input.
func hoard() error {
	instances := 0
	for ; ; instances++ {
		if _, err := unix.InotifyInit1(unix.IN_CLOEXEC); err != nil {
			break
		}
	}
	var children []*exec.Cmd
	for len(children) < 1000 {
		cmd := exec.Command(os.Args[0], "act", "sleep")
		if cmd.Start() != nil {
			break
		}
		children = append(children, cmd)
	}
	fmt.Printf("%d inotify instances, %d processes\n", instances, len(children))
	_, _ = io.Copy(io.Discard, os.Stdin)
	for _, cmd := range children {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return nil
}
