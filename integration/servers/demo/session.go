package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// session is a client connected to a running server.
type session struct {
	*mcp.ClientSession
	ctx    context.Context
	cancel context.CancelFunc
	stderr *bytes.Buffer // complete once closed
}

// bare starts argv as any host would; boxed starts it by mcpbox with the flags.
func (d *demo) bare(argv ...string) (*session, error) { return connect(argv) }

func (d *demo) boxed(flags []string, argv ...string) (*session, error) {
	return connect(append(append(append([]string{d.mcpbox, "run"}, flags...), "--"), argv...))
}

func connect(argv []string) (*session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	s := &session{ctx: ctx, cancel: cancel, stderr: &bytes.Buffer{}}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = s.stderr
	// No roots: server-filesystem would serve those, and not its arguments.
	client := mcp.NewClient(&mcp.Implementation{Name: "mcpbox-demo", Version: "1"},
		&mcp.ClientOptions{Capabilities: &mcp.ClientCapabilities{}})
	var err error
	if s.ClientSession, err = client.Connect(ctx, &mcp.CommandTransport{Command: cmd}, nil); err != nil {
		cancel()
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, s.stderr)
	}
	return s, nil
}

func (s *session) close() {
	_ = s.Close() // how the server exits is no part of the demonstration
	s.cancel()
}

// refusals is what mcpbox said on stderr about connections, once s is closed.
func (s *session) refusals() string {
	said := ""
	for line := range strings.Lines(s.stderr.String()) {
		if strings.HasPrefix(line, "mcpbox: ") && strings.Contains(line, ": refused ") {
			said += strings.TrimSpace(line) + " "
		}
	}
	return said
}

// call is the text of the tool's answer, and whether it did what was asked.
func (s *session) call(tool string, args map[string]any) (text string, done bool) {
	res, err := s.CallTool(s.ctx, &mcp.CallToolParams{Name: tool, Arguments: args})
	if err != nil {
		return err.Error(), false
	}
	for _, c := range res.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			text += t.Text
		}
	}
	return text, !res.IsError
}
