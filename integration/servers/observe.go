package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Observation is what a client sees of a server.
type Observation struct {
	Server    string // name and version, by its own account
	Tools     []string
	Prompts   []string
	Resources []string
	Outcomes  []Outcome
	Asked     []string // requests of the server that the client answered
}

// Outcome is the answer to one call.
type Outcome struct {
	Tool   string
	Failed bool   // the result is an error, or there was no result
	Text   string // the content, as JSON, with what varies blanked out
}

// Observe starts s by cmd, asks it for everything that it lists and for its
// test calls, calls last, and ends it.
func Observe(ctx context.Context, s Server, p Place, cmd *exec.Cmd, last func()) (seen *Observation, err error) {
	seen = &Observation{}
	client := newClient(p, func(method string) { seen.Asked = append(seen.Asked, method) })
	session, err := client.Connect(ctx, transport{mcp.CommandTransport{Command: cmd, TerminateDuration: time.Second}}, nil)
	if err != nil {
		return nil, fmt.Errorf("initialize: %w", err)
	}
	// The exit status is not compared: some servers end by our SIGTERM only.
	defer session.Close()

	hello := session.InitializeResult()
	seen.Server = hello.ServerInfo.Name + " " + hello.ServerInfo.Version
	for t, err := range session.Tools(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("tools/list: %w", err)
		}
		seen.Tools = append(seen.Tools, t.Name)
	}
	if hello.Capabilities.Prompts != nil {
		for t, err := range session.Prompts(ctx, nil) {
			if err != nil {
				return nil, fmt.Errorf("prompts/list: %w", err)
			}
			seen.Prompts = append(seen.Prompts, t.Name)
		}
	}
	if hello.Capabilities.Resources != nil {
		for r, err := range session.Resources(ctx, nil) {
			if err != nil {
				return nil, fmt.Errorf("resources/list: %w", err)
			}
			seen.Resources = append(seen.Resources, r.URI)
		}
	}
	slices.Sort(seen.Tools)
	for _, c := range s.Calls {
		seen.Outcomes = append(seen.Outcomes, call(ctx, session, s, p, c))
	}
	last()
	slices.Sort(seen.Asked)
	return seen, nil
}

func call(ctx context.Context, session *mcp.ClientSession, s Server, p Place, c Call) Outcome {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	out := Outcome{Tool: c.Tool}
	res, err := session.CallTool(ctx, &mcp.CallToolParams{Name: c.Tool, Arguments: c.arguments(p)})
	if err != nil {
		out.Failed, out.Text = true, err.Error()
	} else {
		content, _ := json.Marshal(res.Content)
		out.Failed, out.Text = res.IsError, string(content)
	}
	for _, pattern := range s.Varies {
		out.Text = regexp.MustCompile(pattern).ReplaceAllString(out.Text, "~")
	}
	return out
}
