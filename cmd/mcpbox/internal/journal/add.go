package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Add writes an event into the journal at path, for a launcher that cannot and
// has ended. The file has to be there.
func Add(path string, e Event) error { return add(path, e, false) }

// AddEnd is Add for a run that has no record of its end, and does nothing for one
// that has.
func AddEnd(path string, e Event) error { return add(path, e, true) }

func add(path string, e Event, unlessEnded bool) error {
	if err := tryAdd(path, e, unlessEnded); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func tryAdd(path string, e Event, unlessEnded bool) error {
	first, ok := parseName(filepath.Dir(path), filepath.Base(path))
	if !ok {
		return fmt.Errorf("%s is no journal", path)
	}
	lock, err := lockFile(path, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	sets, err := setsOf(filepath.Dir(path))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(sets, func(s set) bool { return s.run == first.run })
	if i < 0 {
		return fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	last := sets[i].last()
	if line, _, err := lastLine(last.Path); unlessEnded && err == nil {
		var r chained
		if json.Unmarshal(line, &r) == nil && r.ends() {
			return nil
		}
	}
	s := &stream{base: strings.TrimSuffix(path, extension), most: math.MaxInt64, now: time.Now}
	if err := s.reopen(last); err != nil {
		return err
	}
	list := []record{e}
	if info, err := s.file.Stat(); err == nil && info.Size() > s.size {
		now := s.now().UTC()
		list = []record{Gap{Lost: map[string]int64{"record": 1}, From: now, To: now, Cause: "mcpbox was killed while it wrote it"}, e}
	}
	for _, r := range list {
		var text []byte
		if text, err = encode(r, s.now()); err == nil {
			_, err = s.write(batch{text, []int{len(text)}}, true)
		}
	}
	return errors.Join(err, s.close())
}
