package escape

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fingerprint describes every file of the home that a box has no business to
// change: content, owner, mode and time of change.
func (w *world) fingerprint() map[string]string {
	print := map[string]string{}
	w.must(filepath.WalkDir(w.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(w.Home, path)
		switch {
		case name == "out", name == ".local/state/mcpbox/changes", name == ".local/state/mcpbox/journal/probe", name == ".local/state/mcpbox/journal/probe-name":
			return fs.SkipDir // the attacker's own room, and the launcher's
		case filepath.Dir(name) == ".cache/mcpbox/filters" && len(filepath.Base(name)) > 64:
			return nil // the launcher's
		case name == "tools/scenario.json", strings.HasPrefix(filepath.Base(name), "late."):
			return nil // the tests' own
		}
		print[name], err = describe(path)
		return err
	}))
	return print
}

// describe says what a file is.
func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	switch {
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%v %d %x %d", info.Mode(), owner(info), sha256.Sum256(b), info.ModTime().UnixNano()), nil
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return "-> " + target, err
	default:
		return fmt.Sprintf("%v %d", info.Mode(), owner(info)), nil
	}
}

// changes lists what differs between two fingerprints.
func changes(before, after map[string]string) []string {
	var list []string
	for name, is := range after {
		if was, ok := before[name]; !ok {
			list = append(list, name+" is new")
		} else if was != is {
			list = append(list, name+" changed")
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			list = append(list, name+" is gone")
		}
	}
	slices.Sort(list)
	return list
}

// setID lists files in the home that run as their owner, but for the one that
// the tests put there.
func (w *world) setID() []string {
	var list []string
	w.must(filepath.WalkDir(w.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 && path != w.In("tools/setuid") {
			list = append(list, path)
		}
		return err
	}))
	return list
}

// resident is a process of the host that lives in a box.
type resident struct {
	pid   int
	uids  string
	state string
}

// residents lists the processes of a process id namespace, as the host sees
// them. A zombie is dead and not listed.
func residents(t *testing.T, pidns string) []resident {
	t.Helper()
	var list []resident
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if ns, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err != nil || ns != pidns {
			continue
		}
		b, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if err != nil {
			continue
		}
		r := resident{pid: pid}
		for line := range strings.Lines(string(b)) {
			k, v, _ := strings.Cut(line, ":")
			switch k {
			case "Uid":
				r.uids = strings.TrimSpace(v)
			case "State":
				r.state = strings.TrimSpace(v)
			}
		}
		if !strings.HasPrefix(r.state, "Z") {
			list = append(list, r)
		}
	}
	return list
}

// facts reads what the probe saw around it.
func (w *world) facts(path string) Facts {
	w.t.Helper()
	var f Facts
	b, err := os.ReadFile(path)
	w.must(err)
	w.must(json.Unmarshal(b, &f))
	return f
}

// owner is the user id of a file's owner.
func owner(info fs.FileInfo) int { return int(info.Sys().(*syscall.Stat_t).Uid) }

// read returns the content of a file.
func (w *world) read(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(path)
	w.must(err)
	return string(b)
}
