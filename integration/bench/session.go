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

	with *exec.Cmd // another program, to be ended after the server; nil for none
	held io.Closer // its input, which stays open until then; nil for none
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

// request sends one request and reads lines until its answer, whose result it
// leaves in result, unless that is nil.
func (s *session) request(method, params string, result any) error {
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
			Result json.RawMessage
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return s.failed(err)
		}
		if m.Method == "" && m.ID != nil && *m.ID == s.id {
			if result == nil {
				return nil
			}
			if err := json.Unmarshal(m.Result, result); err != nil {
				return s.failed(fmt.Errorf("%w: %s", err, line))
			}
			return nil
		}
	}
}

func (s *session) initialize() error {
	err := s.request("initialize", `{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}`, nil)
	if err == nil {
		_, err = io.WriteString(s.in, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	}
	return err
}

func (s *session) ping() error { return s.request("ping", "{}", nil) }

// do has the server do t, and leaves what came of it in result.
func (s *session) do(method string, t task, result any) error {
	params, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return s.request(method, string(params), result)
}

func (s *session) close() error {
	if err := s.in.Close(); err != nil {
		return err
	}
	err := done(s.cmd)
	s.end()
	return err
}

// end ends the other program.
func (s *session) end() {
	if s.with != nil {
		_ = s.with.Process.Kill()
		_ = s.with.Wait() // it was killed
	}
}

func (s *session) failed(err error) error {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // so that stderr is complete
	s.end()
	return fmt.Errorf("%s: %w\n%s", strings.Join(s.cmd.Args, " "), err, &s.stderr)
}
