package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// retryTime is how often writing is tried again while something is lost and
// nothing new comes.
const retryTime = time.Second

// losses are records that could not be written and of which no record tells yet.
type losses struct {
	counts   map[string]int64 // by event
	from, to time.Time
	cause    error // of the first
}

// String says what is lost.
func (l losses) String() string {
	var total int64
	var kinds []string
	for _, event := range slices.Sorted(maps.Keys(l.counts)) {
		total += l.counts[event]
		kinds = append(kinds, fmt.Sprintf("%d %s", l.counts[event], event))
	}
	const clock = "15:04:05"
	return fmt.Sprintf("records that could not be written and are lost: %d (%s), from %s to %s: %v",
		total, strings.Join(kinds, ", "), l.from.Local().Format(clock), l.to.Local().Format(clock), l.cause)
}

// lose counts records that are lost.
func (j *Journal) lose(event string, n int, err error) {
	now := j.now()
	if j.lost.counts == nil {
		j.lost = losses{counts: map[string]int64{}, from: now, cause: err}
		select {
		case <-j.failed:
		default:
			j.cause = err
			close(j.failed)
		}
		j.retry = time.AfterFunc(retryTime, j.tryAgain)
	}
	j.lost.counts[event] += int64(n)
	j.lost.to = now
}

// tell writes what is lost, if anything is, before anything else is written.
func (j *Journal) tell(last bool) error {
	if j.lost.counts == nil {
		return nil
	}
	text, err := j.encode(Gap{Lost: j.lost.counts, From: j.lost.from.UTC(), To: j.lost.to.UTC(), Cause: j.lost.cause.Error()})
	if err == nil {
		_, err = j.run.write(batch{text, []int{len(text)}}, last)
	}
	if err != nil {
		return errors.New(j.lost.String())
	}
	j.retry.Stop()
	j.lost = losses{}
	return nil
}

func (j *Journal) tryAgain() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed && j.tell(false) != nil {
		j.retry.Reset(retryTime)
	}
}

// Cause is why a record could not be written for the first time, once Failed is
// closed.
func (j *Journal) Cause() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.cause
}
