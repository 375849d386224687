package native

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// Check implements sandbox.Backend.
func (b *Backend) Check() []sandbox.Layer {
	layers := []sandbox.Layer{
		checkKernel(), checkNamespaces(), checkSeccomp(), LandlockLayer(landlock.ABI()), checkStaging(), checkInitFile(), b.checkLimits(),
	}
	if os.Geteuid() == 0 {
		layers = append(layers, checkRoot())
	}
	return layers
}

// layersInForce reports what the stages have put around one box.
func layersInForce(plan *wire.Plan, s wire.Started) []sandbox.Layer {
	return []sandbox.Layer{
		{Name: "namespaces", State: sandbox.Enforced, Detail: "user (two), mount, pid, network (lo only), ipc, uts, cgroup"},
		{Name: "seccomp", State: sandbox.Enforced, Detail: fmt.Sprintf("allow-list of %d instructions", len(plan.Filter)/8)},
		LandlockLayer(s.LandlockABI),
	}
}

func checkKernel() sandbox.Layer {
	l := sandbox.Layer{Name: "kernel", State: sandbox.Enforced, Detail: "Linux " + kernelRelease()}
	if checkRelease(kernelRelease()) != nil {
		l.State, l.Fix = sandbox.Fatal, needKernel
	}
	return l
}

// checkNamespaces makes all of them, for a process that ends at once.
func checkNamespaces() sandbox.Layer {
	l := sandbox.Layer{Name: "namespaces", State: sandbox.Enforced, Detail: "user, mount, pid, network, ipc, uts, cgroup"}
	box, err := conceive()
	if err == nil {
		box.abandon()
	}
	if err != nil {
		l.State, l.Detail = sandbox.Fatal, err.Error()
		var u *sandbox.UnsupportedError
		if errors.As(err, &u) {
			l.Detail, l.Fix = u.Reason, u.Fix
		}
		return l
	}
	if reason, fix := userNamespaceObstacle(); reason != "" && os.Geteuid() != 0 {
		l.State, l.Detail, l.Fix = sandbox.Partial, reason+": allowed to make, perhaps not to use", fix
	}
	return l
}

func checkSeccomp() sandbox.Layer {
	major, minor, micro := seccomp.GetLibraryVersion()
	l := sandbox.Layer{Name: "seccomp", State: sandbox.Enforced, Detail: fmt.Sprintf("libseccomp %d.%d.%d", major, minor, micro)}
	action := uint32(unix.SECCOMP_RET_KILL_PROCESS)
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action))); errno != 0 {
		l.State, l.Detail, l.Fix = sandbox.Fatal, "seccomp filters: "+errno.Error(), "boot a kernel with CONFIG_SECCOMP_FILTER"
	}
	return l
}

// LandlockLayer is what is said of a box that is confined with that ABI of Landlock.
func LandlockLayer(abi int) sandbox.Layer {
	l := sandbox.Layer{Name: "landlock", State: sandbox.Enforced, Detail: fmt.Sprintf("ABI %d", abi)}
	switch {
	case abi == 0:
		l.State, l.Detail = sandbox.Missing, "not in force; mounts and seccomp hold without it"
		l.Fix = "boot a kernel with CONFIG_SECURITY_LANDLOCK and lsm=landlock,..."
	case abi < 3:
		l.State, l.Fix = sandbox.Partial, "Linux 6.2 or newer has the right to truncate under control as well"
	case abi < 6:
		l.State, l.Fix = sandbox.Partial, "Linux 6.12 or newer keeps signals and abstract sockets inside as well"
	}
	return l
}

// checkStaging looks whether there is overlayfs, which most systems load when it
// is first asked for, and a tmpfs that can be its upper layer.
func checkStaging() sandbox.Layer {
	l := sandbox.Layer{Name: "staging", State: sandbox.Enforced, Detail: "overlayfs on tmpfs"}
	var major, minor int
	if n, _ := fmt.Sscanf(kernelRelease(), "%d.%d", &major, &minor); n == 2 && (major < 6 || major == 6 && minor < 6) {
		l.State, l.Detail = sandbox.Missing, "only runs with staged = true need it"
		l.Fix = "Linux 6.6 or newer has attributes of users on tmpfs"
	} else if known, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(known), "\toverlay\n") {
		l.State, l.Detail = sandbox.Partial, "overlayfs is not loaded, which the first staged run may do"
		l.Fix = "type: sudo modprobe overlay"
	}
	return l
}

func checkInitFile() sandbox.Layer {
	l := sandbox.Layer{Name: "start program", State: sandbox.Enforced, Detail: "sealed memory file"}
	f, err := initFile()
	if err != nil {
		l.State, l.Detail = sandbox.Fatal, err.Error()
		var u *sandbox.UnsupportedError
		if errors.As(err, &u) {
			l.Detail, l.Fix = u.Reason, u.Fix
		}
		return l
	}
	defer f.Close()
	if seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || seals&sealAll != sealAll {
		l.State, l.Detail = sandbox.Partial, "a private file without a name, as vm.memfd_noexec forbids executing memory files"
	}
	return l
}

// checkRoot tries an idmapped mount of the root directory's file system.
func checkRoot() sandbox.Layer {
	l := sandbox.Layer{Name: "root", State: sandbox.Enforced, Detail: "started by root, boxes run as a user who owns nothing, with idmapped mounts"}
	uid, gid, err := BoxUser()
	if err == nil {
		maps := newIDMaps(identity{uid, gid})
		defer maps.close()
		_, err = maps.namespace(identity{0, 0})
	}
	if err == nil && !hasCapability(unix.CAP_SYS_ADMIN) {
		err = errors.New("root without CAP_SYS_ADMIN cannot map mounts")
	}
	if err != nil {
		l.State, l.Detail, l.Fix = sandbox.Fatal, err.Error(), "start mcpbox as an ordinary user"
	}
	return l
}

func hasCapability(c int) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[c/32].Effective&(1<<(c%32)) != 0
}
