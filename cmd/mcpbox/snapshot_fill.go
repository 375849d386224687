package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/snapshot"
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
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", r.Box.PID), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer root.Close()
	pids, err := snapshot.Members(r.Box.PID)
	if err != nil {
		return err
	}
	if !r.Box.Lives() { // the number may be another's
		return errors.New("its server has ended")
	}
	if err := s.Processes(pids, ctx.Done()); err != nil {
		return err
	}
	places, onDisk := []string{d.Policy.Home, "/tmp", "/dev/shm"}, ""
	if d.Policy.HomeDir != "" {
		// Last, since it may be of any size.
		places, onDisk = []string{"/tmp", "/dev/shm", d.Policy.Home}, d.Policy.Home
	}
	if d.Policy.Staged {
		s.LeaveOut("what it has changed in staged directories; once it has ended, mcpbox changes shows that")
	}
	if err := s.Trees(root, places, onDisk, snapshot.DefaultBounds, still, ctx.Done()); err != nil {
		return err
	}
	// Last, so that the freezing is in it.
	return copyJournal(s, r, own)
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
