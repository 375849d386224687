package packages

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// CheckTree looks through what an installation has left below root, makes it
// readable for everybody and executable where it was, takes special permission
// bits away, and returns its size in bytes. An error means that something is not
// as a package can be: a link that leads out, a device, a file with another name
// elsewhere, more than limit bytes, where whatever has a name has minEntry at least.
func CheckTree(root string, limit int64) (int64, error) {
	var size, counted int64
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if counted += max(info.Size(), minEntry); counted > limit {
			return &TooLargeError{limit}
		}
		mode := fs.FileMode(0o644)
		switch t := info.Mode().Type(); {
		case t == fs.ModeSymlink:
			return checkLink(root, path)
		case t == fs.ModeDir:
			mode = 0o755
		case t != 0:
			return fmt.Errorf("%s is neither a file, a directory nor a link", path)
		default:
			if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Nlink != 1 {
				return fmt.Errorf("%s has another name elsewhere", path)
			}
			if info.Mode()&0o111 != 0 {
				mode = 0o755
			}
			size += info.Size()
		}
		if info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) == mode {
			return nil
		}
		return os.Chmod(path, mode)
	})
	return size, err
}

// checkLink refuses a link that leads out of root, in whatever way.
func checkLink(root, path string) error {
	text, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if filepath.IsAbs(text) {
		return fmt.Errorf("%s is a link to %s, outside the package", path, text)
	}
	// The link may go through others: each of them is checked, too, so it is
	// enough to see that none of them leaves.
	target := filepath.Join(filepath.Dir(path), text)
	if !strings.HasPrefix(target+"/", root+"/") {
		return fmt.Errorf("%s is a link to %s, outside the package", path, text)
	}
	real, err := filepath.EvalSymlinks(path)
	if os.IsNotExist(err) {
		return nil // it leads nowhere
	}
	if err != nil {
		return err
	}
	top, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(real+"/", top+"/") {
		return fmt.Errorf("%s is a link that ends at %s, outside the package", path, real)
	}
	return nil
}

// TooLargeError is a package over the limit.
type TooLargeError struct{ Limit int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("it has more than %d MiB with its dependencies, which is the limit", e.Limit>>20)
}

// minEntry is what a file, link or directory counts, in bytes, if it has less:
// without bytes it takes an inode, of which a file system has so many.
const minEntry = 4 << 10

// Size sums what is below dir, for as long as it is being filled.
func Size(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			// What a file occupies: one that is all holes costs next to nothing.
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				size += max(st.Blocks*512, minEntry)
			}
		}
		return nil
	})
	return size
}

// removeAll removes a tree whose directories may have lost their permissions.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !os.IsPermission(err) {
		return err
	}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
