package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
)

// aliveWithin is how long a guest may take until its kernel runs our program, and
// bootedWithin until the steps can begin. Under KVM these are 2 and 5 seconds, if
// KVM works; there are machines where it can be opened and nothing runs.
var (
	aliveWithin  = map[string]time.Duration{"kvm": 15 * time.Second, "tcg": time.Minute}
	bootedWithin = map[string]time.Duration{"kvm": time.Minute, "tcg": 3 * time.Minute}
)

// masked are units of Debian that cost an emulated processor seconds, and that no
// program can tell are missing.
var masked = []string{
	"systemd-udevd.service", "systemd-udev-trigger.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket",
	"systemd-hwdb-update.service", "systemd-pstore.service", "systemd-random-seed.service", "ldconfig.service",
	"systemd-journal-catalog-update.service", "systemd-journal-flush.service", "systemd-tmpfiles-clean.timer",
	"apparmor.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer",
	"dev-hugepages.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"modprobe@configfs.service", "modprobe@drm.service", "modprobe@efi_pstore.service",
}

// machine is one virtual machine, not booted.
type machine struct {
	image   string // directory with disk.ext4 and vmlinuz, of scripts/vm-image
	initrd  string
	things  string // disk with our things
	console string // file that takes what kernel and systemd print
	memory  int    // MiB

	pid int // of QEMU, once it runs
}

// errNotBooted is that a machine has not come as far as its first step.
var errNotBooted = errors.New("the guest has not booted")

// boot runs the machine with an accelerator until it powers off or deadline has
// passed, and hands on each event.
func (m *machine) boot(accel string, deadline time.Duration, each func(step.Event)) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	args, err := m.arguments(accel)
	if err != nil {
		return err
	}
	if err := os.WriteFile(m.console, nil, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// It ends with this program, whatever ends that: with the thread that starts it,
	// to be exact.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := &complaints{fatal: cancel}
	cmd.Stderr = said
	// The port for events is there as long as this end of it is open.
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m.pid = cmd.Process.Pid
	late := func(what string, after time.Duration, unless func() bool) *time.Timer {
		return time.AfterFunc(after, func() {
			if unless == nil || !unless() {
				cancel(fmt.Errorf("%s after %v", what, after))
			}
		})
	}
	defer late("its kernel does not run", aliveWithin[accel], m.alive).Stop()
	unbooted := late("systemd does not run the steps", bootedWithin[accel], nil)
	defer unbooted.Stop()
	defer late("it has not ended", deadline, nil).Stop()

	booted, done := false, false
	err = decode(events, func(e step.Event) {
		switch e.Kind {
		case step.Booted:
			booted = true
			unbooted.Stop()
		case step.Done:
			done = true
		}
		each(e)
	})
	ended := cmd.Wait()
	if cause := context.Cause(ctx); cause != nil {
		ended = cause // it was we who killed it
	}
	switch {
	case booted && done:
		return nil
	case !booted:
		return fmt.Errorf("%w: %w %s", errNotBooted, errors.Join(ended, err), said.text)
	default:
		return fmt.Errorf("the guest ended early: %w %s", errors.Join(ended, err), said.text)
	}
}

// complaints are what QEMU says on its stderr, at most so much of it. After a KVM
// internal error it would just stand there.
type complaints struct {
	text  []byte
	fatal context.CancelCauseFunc
}

func (c *complaints) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("KVM internal error")) {
		c.fatal(errors.New("KVM internal error"))
	} else {
		c.text = append(c.text, p[:min(len(p), 4096-len(c.text))]...)
	}
	return len(p), nil
}

// decode hands on the events of r until its end.
func decode(r io.Reader, each func(step.Event)) error {
	for dec := json.NewDecoder(r); ; {
		var e step.Event
		if err := dec.Decode(&e); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		each(e)
	}
}

func (m *machine) alive() bool {
	b, _ := os.ReadFile(m.console)
	return bytes.Contains(b, []byte(step.Alive))
}

// spent is how much processor time QEMU has used: what the guest would have taken
// if nothing else had been running, and had it one processor.
func (m *machine) spent() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.pid))
	_, after, ok := strings.Cut(string(b), ") ")
	if err != nil || !ok {
		return 0
	}
	var ticks time.Duration // of 10 ms each, see proc_pid_stat(5): fields 14 and 15
	for _, field := range strings.Fields(after)[11:13] {
		n, _ := strconv.Atoi(field)
		ticks += time.Duration(n)
	}
	return ticks * 10 * time.Millisecond
}

// arguments are QEMU and its arguments.
func (m *machine) arguments(accel string) ([]string, error) {
	const qemu = "qemu-system-x86_64"
	cpu := "host"
	if accel == "tcg" {
		accel, cpu = "tcg,thread=multi,tb-size=512", "max"
		version, err := exec.Command(qemu, "--version").Output()
		if err != nil {
			return nil, err
		}
		if major(string(version)) < 8 {
			// It spoils the flags at cmpxchg16b, upon which kernels of these days
			// fault now and then.
			cpu += ",cx16=off"
		}
	}
	kernel := []string{
		"console=ttyS0", "panic=-1", "quiet", "no_timer_check", "mitigations=off", "random.trust_cpu=on", "audit=0",
		"systemd.unit=steps.target", "systemd.show_status=0", "systemd.mask=" + strings.Join(masked, " systemd.mask="),
	}
	return []string{
		qemu, "-accel", accel, "-machine", "q35,hpet=off", "-cpu", cpu, "-smp", "2", "-m", strconv.Itoa(m.memory),
		"-display", "none", "-nodefaults", "-no-user-config", "-no-reboot", "-monitor", "none",
		"-kernel", filepath.Join(m.image, "vmlinuz"), "-initrd", m.initrd, "-append", strings.Join(kernel, " "),
		"-serial", "file:" + m.console,
		"-drive", "file=" + filepath.Join(m.image, "disk.ext4") + ",format=raw,if=virtio,snapshot=on,cache=unsafe",
		"-drive", "file=" + m.things + ",format=raw,if=virtio,readonly=on",
		"-device", "virtio-serial-pci", "-chardev", "stdio,id=events,signal=off", "-device", "virtserialport,chardev=events,name=" + step.Port,
		"-device", "virtio-rng-pci",
	}, nil
}

// major is the first number of what `qemu --version` says.
func major(version string) int {
	n, _ := strconv.Atoi(regexp.MustCompile(`[0-9]+`).FindString(version))
	return n
}
