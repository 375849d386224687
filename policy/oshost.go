package policy

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

type osHost struct{ facts Facts }

// OSHost is the machine that this program runs on. Where mcpbox keeps
// its files is decided elsewhere. It fails where a fact that decisions rest on
// cannot be had: a home directory, a working directory.
func OSHost(own Dirs) (Host, error) {
	h := &osHost{}
	f := &h.facts
	f.UID, f.GID = os.Geteuid(), os.Getegid()
	f.EUID, f.EGID = f.UID, f.GID
	f.User, f.Home = h.account(f.UID)
	if home := os.Getenv("HOME"); filepath.IsAbs(home) {
		f.Home = filepath.Clean(home)
	}
	if f.Home == "" {
		return nil, errors.New("find the home directory: HOME is not set and /etc/passwd has no entry; set HOME")
	}
	cwd, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w; change to a directory that exists", err)
	}
	f.Cwd = cwd
	if f.Groups, err = h.groups(); err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	f.CPUs = runtime.NumCPU()
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		f.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	f.Dirs = own
	if f.Binary, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find mcpbox itself: %w", err)
	}
	return h, nil
}

// account finds the login name and home of uid in /etc/passwd. It is not asked
// of the name service, which would load foreign code into the launcher.
func (h *osHost) account(uid int) (name, home string) {
	name = "user"
	if env := os.Getenv("USER"); validUser(env) {
		name = env
	}
	data, err := h.ReadFile("/etc/passwd")
	if err != nil {
		return name, ""
	}
	for line := range strings.Lines(string(data)) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(field) == 7 && field[2] == strconv.Itoa(uid) && validUser(field[0]) {
			return field[0], field[5]
		}
	}
	return name, ""
}

func validUser(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsAny(s, ":\n\x00/ ")
}

func (h *osHost) groups() ([]Group, error) {
	ids, err := os.Getgroups()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	if data, err := h.ReadFile("/etc/group"); err == nil {
		for line := range strings.Lines(string(data)) {
			field := strings.SplitN(line, ":", 4)
			if len(field) < 3 {
				continue
			}
			if gid, err := strconv.Atoi(field[2]); err == nil {
				names[gid] = field[0]
			}
		}
	}
	list := make([]Group, 0, len(ids))
	for _, id := range ids {
		list = append(list, Group{Name: names[id], GID: id})
	}
	return list, nil
}

func (h *osHost) Facts() Facts                         { return h.facts }
func (h *osHost) LookupEnv(name string) (string, bool) { return os.LookupEnv(name) }
func (h *osHost) Readlink(path string) (string, error) { return os.Readlink(path) }

func (h *osHost) Random(p []byte) error {
	_, err := rand.Read(p)
	return err
}
