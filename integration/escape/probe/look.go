package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// status returns a field of /proc/PID/status, or "".
func status(pid, field string) string {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// opened is the outcome of opening path and nothing more.
func opened(path string, flags int) outcome {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return by(err)
	}
	unix.Close(fd)
	return outcome{ok: true, detail: path}
}

// stolen is the outcome of reading path: success needs content. A masked file
// opens, and is empty.
func stolen(path string) outcome {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	b := make([]byte, 64)
	n, err := unix.Read(fd, b)
	if err != nil {
		return by(err)
	}
	return saw(n > 0, fmt.Sprintf("%d bytes", n))
}

// planted is the outcome of writing text at the end of path, which is made if
// need be.
func planted(path, text string) outcome {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return by(err)
}

// rewritten is the outcome of writing text into a file of /proc.
func rewritten(path, text string) outcome {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return by(err)
}

// decode reads one JSON object.
func decode(b []byte, v any) error { return json.NewDecoder(bytes.NewReader(b)).Decode(v) }

// pids lists the processes that /proc shows.
func pids() []string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") == "" {
			list = append(list, e.Name())
		}
	}
	return list
}

// secondLine is the outcome of reading a table that has a headline.
func secondLine(path string) outcome {
	b, err := os.ReadFile(path)
	if err != nil {
		return by(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	line, _, _ := strings.Cut(rest, "\n")
	return saw(line != "", line)
}
