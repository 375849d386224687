package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/snapshot"
	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// fill takes everything. The run is still means that nothing of it runs.
func fill(ctx context.Context, s *snapshot.Snapshot, r *runs.Run, status control.Status, still bool, own dirs.Dirs) error {
	d, err := readDescription(status.Description)
	if err != nil {
		return err
	}
	run := struct {
		runs.State
		Status control.Status `json:"status"`
	}{r.State, status}
	run.Status.Description = nil
	if err := errors.Join(s.JSON("run.json", run), s.JSON("description.json", status.Description)); err != nil {
		return err
	}
	if err := fromBox(ctx, s, r, d, still); err != nil {
		return err
	}
	// Last, so that the freezing is in it.
	return copyJournal(s, r, own)
}

// fromBox takes what is to be had of the box itself. What cannot be seen, or is the
// host's as well, is left out.
func fromBox(ctx context.Context, s *snapshot.Snapshot, r *runs.Run, d described, still bool) error {
	seen := snapshot.See(r.Box.PID)
	var root *os.File
	var pids []int
	var err error
	if seen.Files == nil {
		if root, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", r.Box.PID), unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			return err
		}
		defer root.Close()
	}
	if seen.Processes == nil {
		if pids, err = snapshot.Members(r.Box.PID); err != nil {
			return err
		}
	}
	if !r.Box.Lives() { // the number may be another's
		return errors.New("its server has ended")
	}
	leaveOut(s, r, d, seen)
	if seen.Processes == nil {
		if err := s.Processes(pids, ctx.Done()); err != nil {
			return err
		}
	}
	if seen.Network == nil {
		if err := s.Network(r.Box.PID, ctx.Done()); err != nil {
			return err
		}
	}
	if d.Policy.Staged {
		s.LeaveOut("what it has changed in staged directories; once it has ended, mcpbox changes shows that")
	}
	if seen.Files != nil {
		return nil
	}
	if err := s.Mounts(r.Box.PID); err != nil {
		return err
	}
	places, onDisk := []string{d.Policy.Home, "/tmp", "/dev/shm"}, ""
	if d.Policy.HomeDir != "" {
		// Last, since it may be of any size.
		places, onDisk = []string{"/tmp", "/dev/shm", d.Policy.Home}, d.Policy.Home
	}
	return s.Trees(root, places, onDisk, snapshot.DefaultBounds, still, ctx.Done())
}

// leaveOut says what is not seen, why, and what can be done, in one line for each
// reason.
func leaveOut(s *snapshot.Snapshot, r *runs.Run, d described, seen snapshot.Sight) {
	missing := map[string][]string{}
	var order []string
	for _, part := range []struct {
		what string
		err  error
	}{{"processes and their memory maps", seen.Processes}, {"mounts", seen.Files}, {"files", seen.Files}, {"sockets", seen.Network}} {
		if part.err == nil {
			continue
		}
		why := whyUnseen(s, r, d, part.err)
		if missing[why] == nil {
			order = append(order, why)
		}
		missing[why] = append(missing[why], part.what)
	}
	for _, why := range order {
		s.LeaveOut("its %s: %s", listOf(missing[why]), why)
	}
}

// whyUnseen is why something of a box is not in its snapshot.
func whyUnseen(s *snapshot.Snapshot, r *runs.Run, d described, err error) string {
	gvisor := d.Policy.Image != nil && d.Policy.Image.Runtime == string(policy.RuntimeRunsc)
	switch {
	case gvisor:
		return "gVisor keeps them to itself, and the host does not see them"
	case errors.Is(err, fs.ErrPermission) && d.Policy.Image != nil && os.Geteuid() != 0:
		// Root's mcpbox does not reach another user's runs.
		at, home, to := fmt.Sprintf("/proc/%d/root", r.Box.PID), "."+d.Policy.Home, filepath.Join(s.Path(), "files.tar")
		return "a container of root's containerd shows them to root alone, whose mcpbox does not reach your servers; to have its files while it runs or is frozen, type: sudo tar --one-file-system -C " + at + " -c " + shellQuote(home) + " ./tmp ./dev/shm >" + shellQuote(to)
	case errors.Is(err, snapshot.ErrHost):
		return "they are not the box's alone, but the host's as well"
	default:
		return err.Error()
	}
}

// listOf is "a", "a and b", or "a, b and c".
func listOf(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	last := len(list) - 1
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// copyJournal takes the files of the run's journal.
func copyJournal(s *snapshot.Snapshot, r *runs.Run, own dirs.Dirs) error {
	files, err := journal.Files(own.State)
	if err != nil {
		return err
	}
	if err := s.Dir("journal"); err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(f journal.File) bool { return f.ID != r.ID || f.Name != r.Name })
	for _, f := range files {
		file, err := os.OpenFile(f.Path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed to make room
		}
		if err != nil {
			return err
		}
		info, err := file.Stat()
		if err == nil {
			err = s.Copy("journal/"+filepath.Base(f.Path), file, info.Size())
		}
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// described is what a snapshot itself has to know of a description.
type described struct {
	Policy struct {
		Home    string
		HomeDir string `json:"home_dir"` // where a persistent one is, on the host
		Staged  bool
		Write   []string
		Image   *struct{ Runtime string } // of a container
	}
}

func readDescription(data []byte) (d described, err error) {
	if err := json.Unmarshal(data, &d); err != nil {
		return d, fmt.Errorf("its launcher's description: %w", err)
	}
	if !filepath.IsAbs(d.Policy.Home) {
		return d, errors.New("its launcher's description has no home")
	}
	return d, nil
}

// inside reports whether path is dir, or below it.
func inside(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
