package policy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readLimit bounds [Host.ReadFile]: what is read here are lists of users and
// files named .git, never data.
const readLimit = 1 << 20

func (h *osHost) Lstat(path string) (Info, error) {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Lstat(path, &st) }); err != nil {
		return Info{}, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return Info{
		Type:  typeOfMode(st.Mode),
		Perm:  st.Mode & 0o7777,
		Dev:   uint64(st.Dev),
		Ino:   st.Ino,
		Nlink: uint64(st.Nlink),
		UID:   st.Uid,
		GID:   st.Gid,
	}, nil
}

func (h *osHost) ReadFile(path string) ([]byte, error) {
	// O_NONBLOCK: opening a FIFO that was put in the file's place must not hang.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, readLimit+1))
	if err == nil && len(data) > readLimit {
		err = &os.PathError{Op: "read", Path: path, Err: errors.New("larger than 1 MiB")}
	}
	return data, err
}

// Mounts reads mountinfo, whose lines are described in proc(5): numbers, device,
// root, mount point, options, optional fields up to a dash, type, and so on.
func (h *osHost) Mounts() ([]Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var list []Mount
	for line := range strings.Lines(string(data)) {
		left, right, ok := strings.Cut(line, " - ")
		field, kind := strings.Fields(left), strings.Fields(right)
		if !ok || len(field) < 6 || len(kind) < 1 {
			return nil, fmt.Errorf("read /proc/self/mountinfo: malformed line %q", line)
		}
		list = append(list, Mount{Dev: field[2], Root: unescape(field[3]), Point: unescape(field[4]), Type: kind[0]})
	}
	return list, nil
}

// unescape undoes the kernel's escapes of white space and backslashes: a
// backslash and three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if n, err := strconv.ParseUint(rest[:min(3, len(rest))], 8, 8); err == nil && len(rest) >= 3 {
			b.WriteByte(byte(n))
			s = rest[3:]
		} else {
			b.WriteByte('\\')
			s = rest
		}
	}
}

// ReadDir reads the directory's own records, which hold the type and the inode
// number: os.ReadDir would drop the number and sort.
func (h *osHost) ReadDir(path string, limit int) ([]Entry, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var list []Entry
	buf := make([]byte, 16<<10)
	for {
		var n int
		err := retry(func() (err error) { n, err = unix.Getdents(fd, buf); return err })
		if err != nil {
			return nil, &os.PathError{Op: "read directory", Path: path, Err: err}
		}
		if n == 0 {
			return list, nil
		}
		if list, err = appendEntries(list, buf[:n], fd); err != nil {
			return nil, &os.PathError{Op: "read directory", Path: path, Err: err}
		}
		if len(list) >= limit {
			return list[:limit], nil
		}
	}
}

// appendEntries decodes linux_dirent64 records: inode, offset, record length,
// type, name; see getdents64(2).
func appendEntries(list []Entry, rec []byte, fd int) ([]Entry, error) {
	for len(rec) > 0 {
		if len(rec) < 20 {
			return nil, errors.New("short directory record")
		}
		size := int(binary.NativeEndian.Uint16(rec[16:]))
		if size < 20 || size > len(rec) {
			return nil, errors.New("malformed directory record")
		}
		name, _, _ := strings.Cut(string(rec[19:size]), "\x00")
		e := Entry{Name: name, Type: typeOfDirent(rec[18]), Ino: binary.NativeEndian.Uint64(rec)}
		rec = rec[size:]
		if name == "." || name == ".." {
			continue
		}
		if e.Type == Unknown { // a file system that keeps no types
			var st unix.Stat_t
			if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == unix.ENOENT {
				continue
			} else if err != nil {
				return nil, err
			}
			e.Type = typeOfMode(st.Mode)
		}
		list = append(list, e)
	}
	return list, nil
}

func typeOfMode(mode uint32) FileType { return typeOfDirent(uint8(mode >> 12 & 0xf)) }

// typeOfDirent maps a d_type, which is the file type bits of a mode shifted
// down by 12.
func typeOfDirent(t uint8) FileType {
	switch t {
	case unix.DT_REG:
		return Regular
	case unix.DT_DIR:
		return Directory
	case unix.DT_LNK:
		return Symlink
	case unix.DT_SOCK:
		return Socket
	case unix.DT_FIFO:
		return FIFO
	case unix.DT_CHR, unix.DT_BLK:
		return Device
	}
	return Unknown
}

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
