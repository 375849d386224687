package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/mcpbox/mcpbox/integration/servers"
)

// A jail makes the command that starts argv in it.
type jail func(argv ...string) (*exec.Cmd, error)

// jails are the three ways to start a program, in the order of the table's
// columns: bare, bubblewrap, mcpbox.
func (b *bench) jails(flags ...string) []jail {
	boxed := func(command string) []string { return append([]string{b.mcpbox, command}, flags...) }
	return []jail{
		func(argv ...string) (*exec.Cmd, error) { return exec.Command(argv[0], argv[1:]...), nil },
		func(argv ...string) (*exec.Cmd, error) {
			explain := append(append(boxed("explain"), "--spec", "--"), argv...)
			return bubblewrap(explain, argv)
		},
		func(argv ...string) (*exec.Cmd, error) {
			run := append(append(boxed("run"), "--"), argv...)
			return exec.Command(run[0], run[1:]...), nil
		},
	}
}

// filesystem is server-filesystem with the declared directory, as the tests
// start it, and the flags that its box needs.
func (b *bench) filesystem() (argv, flags []string) {
	p := servers.Place{NPM: b.npm, Work: b.work}
	s := servers.Find("filesystem")
	argv, _ = s.Bare(p)
	run := s.Boxed(b.mcpbox, p)
	return argv, run[2:slices.Index(run, "--")] // what stands between "mcpbox run" and "--"
}

// bubblewrap starts argv in a jail with the mounts of the OCI specification
// that explain prints. The specification is asked for once per call, and not
// while anything is timed.
func bubblewrap(explain, argv []string) (*exec.Cmd, error) {
	text, err := exec.Command(explain[0], explain[1:]...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(explain, " "), err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, err
	}
	cmd := exec.Command("bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--chdir", spec.Process.Cwd)
	for _, kv := range spec.Process.Env {
		k, v, _ := strings.Cut(kv, "=")
		cmd.Args = append(cmd.Args, "--setenv", k, v)
	}
	for _, m := range spec.Mounts {
		switch m.Type {
		case "tmpfs":
			for _, o := range m.Options {
				if mode, ok := strings.CutPrefix(o, "mode="); ok {
					cmd.Args = append(cmd.Args, "--perms", mode)
				}
				if size, ok := strings.CutPrefix(o, "size="); ok {
					cmd.Args = append(cmd.Args, "--size", size)
				}
			}
			cmd.Args = append(cmd.Args, "--tmpfs", m.Destination)
		case "proc":
			cmd.Args = append(cmd.Args, "--proc", m.Destination)
		case "symlink":
			cmd.Args = append(cmd.Args, "--symlink", m.Source, m.Destination)
		case "file":
			f, err := memoryFile(m.Source)
			if err != nil {
				return nil, err
			}
			cmd.Args = append(cmd.Args, "--file", fmt.Sprint(3+len(cmd.ExtraFiles)), m.Destination)
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		case "bind":
			how := "--ro-bind"
			switch {
			case strings.HasPrefix(m.Destination, "/dev/"):
				how = "--dev-bind"
			case slices.Contains(m.Options, "rw"):
				how = "--bind"
			}
			cmd.Args = append(cmd.Args, how, m.Source, m.Destination)
		default:
			return nil, fmt.Errorf("mount of type %q", m.Type)
		}
	}
	cmd.Args = append(append(cmd.Args, "--"), argv...)
	return cmd, nil
}

// memoryFile is an open file that holds text, to be read from its start.
func memoryFile(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "bench")
	if _, err := f.WriteString(text); err != nil {
		return nil, err
	}
	_, err = f.Seek(0, 0)
	return f, err
}

// done closes what cmd inherited, and waits for it.
func done(cmd *exec.Cmd) error {
	var exit *exec.ExitError
	err := cmd.Wait()
	closeInherited(cmd)
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return err
}

func closeInherited(cmd *exec.Cmd) {
	for _, f := range cmd.ExtraFiles {
		_ = f.Close() // read only
	}
}

// pin keeps this process, and all that it starts, to at most n processors, and
// says how many there are.
func pin(n int) (int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, os.NewSyscallError("sched_getaffinity", err)
	}
	if set.Count() <= n {
		return set.Count(), nil
	}
	var first unix.CPUSet
	for cpu := 0; first.Count() < n; cpu++ {
		if set.IsSet(cpu) {
			first.Set(cpu)
		}
	}
	// Go's other threads and what they start would not follow a call for this
	// thread alone: affinity is a thread's.
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		var tid int
		if _, err := fmt.Sscan(t.Name(), &tid); err != nil {
			return 0, err
		}
		if err := unix.SchedSetaffinity(tid, &first); err != nil {
			return 0, os.NewSyscallError("sched_setaffinity", err)
		}
	}
	return n, nil
}
