package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
	"golang.org/x/sys/unix"
)

// system is where the initramfs has Debian's disk.
const system = "/system"

// self is where the guest lies once Debian runs.
const self = "/run/guest"

// unit runs the steps once everything that a login session needs is there.
const unit = `[Unit]
Requires=dbus.service systemd-logind.service systemd-user-sessions.service
After=basic.target dbus.service systemd-logind.service systemd-user-sessions.service
[Service]
ExecStart=` + self + ` steps
StandardOutput=journal+console
StandardError=journal+console
`

// target is what systemd boots to: the basic system, and the steps.
const target = `[Unit]
Requires=basic.target
Wants=steps.service
After=basic.target
AllowIsolate=yes
`

// start is the first process: it loads the drivers of the disks, mounts them,
// leaves its units in /run, which systemd looks at, and becomes systemd. It
// returns only if that failed, upon which the kernel panics.
func start() error {
	fmt.Println(step.Alive)
	for _, m := range []struct{ source, at, kind, data string }{
		{"devtmpfs", "/dev", "devtmpfs", "mode=755"},
		{"proc", "/proc", "proc", ""},
	} {
		if err := mount(m.source, m.at, m.kind, 0, m.data); err != nil {
			return err
		}
	}
	if err := insert("/modules"); err != nil {
		return err
	}
	if err := mountDisk("/dev/vda", system, 0); err != nil {
		return err
	}
	if err := mountDisk("/dev/vdb", system+step.Mount, unix.MS_RDONLY); err != nil {
		return err
	}
	if err := mount("tmpfs", system+"/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return err
	}
	me, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	units := filepath.Join(system, "run/systemd/system")
	if err := errors.Join(os.WriteFile(system+self, me, 0o755), os.MkdirAll(units, 0o755),
		os.WriteFile(filepath.Join(units, "steps.service"), []byte(unit), 0o644),
		os.WriteFile(filepath.Join(units, "steps.target"), []byte(target), 0o644)); err != nil {
		return err
	}
	if err := errors.Join(unix.Unmount("/proc", 0), unix.Mount("/dev", system+"/dev", "", unix.MS_MOVE, "")); err != nil {
		return err
	}
	if err := errors.Join(unix.Chdir(system), unix.Mount(".", "/", "", unix.MS_MOVE, ""), unix.Chroot("."), unix.Chdir("/")); err != nil {
		return err
	}
	return unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=/usr/sbin:/usr/bin", "TERM=linux"})
}

func mount(source, at, kind string, flags uintptr, data string) error {
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, at, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, at, err)
	}
	return nil
}

// mountDisk mounts a disk once its driver has found it.
func mountDisk(dev, at string, flags uintptr) error {
	for range 500 {
		if _, err := os.Stat(dev); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return mount(dev, at, "ext4", flags, "")
}

// insert loads all modules of a directory, in the order of their names.
func insert(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		flags := 0
		if !strings.HasSuffix(name, ".ko") {
			flags = unix.MODULE_INIT_COMPRESSED_FILE
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", flags)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
