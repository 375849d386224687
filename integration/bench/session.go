package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// session is a server that runs, spoken to line by line and without a client
// library, whose own cost would hide what is measured.
type session struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	id     int
}

func open(cmd *exec.Cmd) (*session, error) {
	s := &session{cmd: cmd}
	return s, s.open()
}

func (s *session) open() error {
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.in, s.out = in, bufio.NewReaderSize(out, 1<<20)
	s.cmd.Stderr = &s.stderr
	return s.cmd.Start()
}

// request sends one request and reads lines until its answer.
func (s *session) request(method, params string) error {
	s.id++
	if _, err := fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`+"\n", s.id, method, params); err != nil {
		return s.failed(err)
	}
	for {
		line, err := s.out.ReadBytes('\n')
		if err != nil {
			return s.failed(err)
		}
		var m struct {
			ID     *int
			Method string
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return s.failed(err)
		}
		if m.Method == "" && m.ID != nil && *m.ID == s.id {
			return nil
		}
	}
}

func (s *session) initialize() error {
	err := s.request("initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`)
	if err == nil {
		_, err = io.WriteString(s.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	}
	return err
}

func (s *session) ping() error { return s.request("ping", "{}") }

func (s *session) close() error {
	if err := s.in.Close(); err != nil {
		return err
	}
	return done(s.cmd)
}

func (s *session) failed(err error) error {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // so that stderr is complete
	return fmt.Errorf("%s: %w\n%s", strings.Join(s.cmd.Args, " "), err, &s.stderr)
}

// answerEveryLine is a server: it gives every request an empty result.
func answerEveryLine(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var m struct{ ID json.RawMessage }
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return err
		}
		if m.ID == nil {
			continue
		}
		if _, err := fmt.Fprintf(out, `{"jsonrpc":"2.0","id":%s,"result":{}}`+"\n", m.ID); err != nil {
			return err
		}
	}
	return lines.Err()
}
