package runs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// State is what is known of a run once its server has started, and does not
// change afterwards. Values of the environment are no part of it.
type State struct {
	Name     string          `json:"name"`
	ID       string          `json:"id"`
	Launcher Process         `json:"launcher"`
	Box      Process         `json:"box"` // its PID 1
	Started  time.Time       `json:"started"`
	Argv     []string        `json:"argv"`
	Client   string          `json:"client,omitempty"` // name of the process that started the launcher
	Policy   string          `json:"policy"`           // digest, as in the journal
	Journal  string          `json:"journal"`
	Layers   []sandbox.Layer `json:"layers"`
	Tier     string          `json:"tier"`              // by what its limits hold: a [sandbox.Tier]
	Cgroups  []string        `json:"cgroups,omitempty"` // the box's own
}

// maxState is more than argv can have (execve(2), 6 MiB) takes in JSON.
const maxState = 64 << 20

func (s State) encode() ([]byte, error) {
	data, err := json.Marshal(s)
	return append(data, '\n'), err
}

// check refuses a state that cannot be this run's.
func (s State) check(id string) error {
	switch {
	case s.ID != id:
		return fmt.Errorf("state of another run: %q", s.ID)
	case !s.Launcher.valid() || !s.Box.valid():
		return errors.New("state without processes")
	}
	return journal.CheckName(s.Name)
}

// Run is a live run, seen by another process.
type Run struct {
	State
	path string
}

// Control is the path of its control socket.
func (r *Run) Control() string { return filepath.Join(r.path, controlName) }

func read(path string) (*Run, error) {
	file, err := os.OpenFile(filepath.Join(path, stateName), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxState+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxState {
		return nil, errors.New("state is too long")
	}
	r := &Run{path: path}
	if err := json.Unmarshal(data, &r.State); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return r, r.check(filepath.Base(path))
}

// Ended reports whether the launcher has gone, and the box with it.
func (r *Run) Ended() bool {
	live, err := locked(r.path)
	return err == nil && !live || errors.Is(err, os.ErrNotExist)
}

// pollTime is how often a lock is looked at that one waits for.
const pollTime = 5 * time.Millisecond

// Await waits until the run has ended, and reports whether it has within d.
func (r *Run) Await(d time.Duration) bool {
	for end := time.Now().Add(d); ; time.Sleep(pollTime) {
		if r.Ended() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

func sortByAge(list []*Run) {
	slices.SortFunc(list, func(a, b *Run) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
}
