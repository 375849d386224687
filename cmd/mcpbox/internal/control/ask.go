package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrSilent is a launcher that does not answer in time.
var ErrSilent = errors.New("its launcher does not answer")

// ErrGone is a launcher that has ended, or has not begun to answer.
var ErrGone = errors.New("it has ended")

// RefusedError is the launcher's own word for why it has not done it.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// Ask has the launcher at the socket do what v says, within d. The status is
// that of Query and Describe. An error is [ErrSilent], [ErrGone], a [*RefusedError], or one
// of this process's own.
func Ask(socket string, v Verb, d time.Duration) (Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	c, err := dial(ctx, socket)
	if err != nil {
		return Status{}, failure(err)
	}
	defer c.Close()
	end, _ := ctx.Deadline()
	c.SetDeadline(end)
	if _, err := c.Write(encode(request{v})); err != nil {
		return Status{}, failure(err)
	}
	data, err := io.ReadAll(io.LimitReader(c, maxReply))
	if err != nil {
		return Status{}, failure(err)
	}
	var r reply
	switch err := json.Unmarshal(data, &r); {
	case len(data) == 0:
		return Status{}, ErrGone
	case err != nil:
		return Status{}, fmt.Errorf("its launcher's answer: %w", err)
	case r.Error != "":
		return Status{}, &RefusedError{r.Error}
	case (v == Query || v == Describe) && r.Status == nil:
		return Status{}, errors.New("its launcher's answer has no status")
	case r.Status == nil:
		return Status{}, nil
	}
	return *r.Status, nil
}

// dial connects by way of the directory, as the whole path may be longer than
// an address can be.
func dial(ctx context.Context, socket string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(socket)))
}

func failure(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EAGAIN):
		return ErrSilent // EAGAIN: the queue of those who wait is full (connect(2))
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return ErrGone
	}
	return err
}
