package native

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

const (
	memfdExec = 0x10   // MFD_EXEC, Linux 6.3
	sealExec  = 0x0020 // F_SEAL_EXEC, Linux 6.3
	sealAll   = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
)

// initFile returns the program of the stages as a file that no process of the
// box can change: a server whose entry is "#!/proc/self/exe" runs it again, and
// could otherwise overwrite what the host runs next (CVE-2019-5736). It is a
// sealed memfd or, where vm.memfd_noexec forbids executing those, a nameless
// file that this box alone uses.
func initFile() (*os.File, error) {
	src, err := initSource()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	f, err := sealedFile(src)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, unix.EACCES) {
		return nil, err
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return unlinkedFile(src)
}

func initSource() (io.ReadSeekCloser, error) {
	if len(initProgram) > 0 {
		return nopCloser{strings.NewReader(initProgram)}, nil
	}
	return os.Open("/proc/self/exe")
}

// nopCloser keeps the reader's WriteTo, with which io.Copy needs no buffer.
type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

// sealedFile copies src into a memfd, seals it, and returns it opened for
// reading only.
func sealedFile(src io.Reader) (*os.File, error) {
	const name = "mcpbox-init"
	flags, seals := unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|memfdExec, sealAll|sealExec
	fd, err := unix.MemfdCreate(name, flags)
	if err == unix.EINVAL { // before Linux 6.3
		flags, seals = flags&^memfdExec, sealAll
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	w := os.NewFile(uintptr(fd), name)
	defer w.Close()
	if _, err := io.Copy(w, src); err != nil {
		return nil, fmt.Errorf("fill %s: %w", name, err)
	}
	if err := addSeals(w, seals); err != nil {
		return nil, fmt.Errorf("seal %s: %w", name, err)
	}
	return reopen(w)
}

// sealTries bounds the attempts to seal a file, each of which takes up to 150 ms.
const sealTries = 20

// addSeals seals a memfd. It is EBUSY as long as somebody else refers to one of its
// pages. Nobody does that for long, but the kernel itself, which keeps pages that were
// just added in lists of each processor, gets to empty these late where all are busy
// (memfd_wait_for_pins() in mm/memfd.c).
func addSeals(f *os.File, seals int) (err error) {
	for range sealTries {
		if _, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != unix.EBUSY {
			return err
		}
	}
	return err
}

// unlinkedFile copies src into a file without a name, on a file system that
// lets it be executed.
func unlinkedFile(src io.Reader) (*os.File, error) {
	for _, dir := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/dev/shm"} {
		if dir == "" || unix.Access(dir, unix.W_OK) != nil {
			continue
		}
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) != nil || st.Flags&unix.ST_NOEXEC != 0 {
			continue
		}
		fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC|unix.O_EXCL, 0o500)
		if err != nil {
			continue
		}
		w := os.NewFile(uintptr(fd), "mcpbox-init")
		defer w.Close()
		if _, err := io.Copy(w, src); err != nil {
			return nil, fmt.Errorf("fill mcpbox-init: %w", err)
		}
		return reopen(w)
	}
	return nil, &sandbox.UnsupportedError{
		Feature: "start program",
		Reason:  "memory files may not be executed (vm.memfd_noexec=2), and no temporary directory allows it",
		Fix:     "type: sudo sysctl vm.memfd_noexec=1",
	}
}

// reopen opens f anew for reading, so that no writable descriptor of it is
// left once f is closed: a file open for writing cannot be executed.
func reopen(f *os.File) (*os.File, error) {
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY, 0)
}
