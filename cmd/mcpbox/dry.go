package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/program"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox/native"
)

// The bounds of a dry start.
const (
	dryTime  = 30 * time.Second
	dryBytes = 64 << 20 // of what the server writes
	dryPages = 100      // of the list of tools
)

// dryTools starts what a pin names, to ask it for its tools and nothing else. It
// has no network and may write nothing; it sees for reading what its policy
// declares and what its command line names. Of variables that the policy passes
// it gets the names. The answer is each tool as JSON, by name.
func (in *installation) dryTools(ctx context.Context, pin *packages.Pin) (map[string]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, dryTime, fmt.Errorf("no answer within %s", dryTime))
	defer cancel()
	ctx, free, err := in.whileFree(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	p := &provided{store: in.store, request: pin.Request, pin: pin}
	facts := in.host.Facts()
	query := program.Query{Argv: p.argv(), Env: os.Getenv, Cwd: facts.Cwd, Home: facts.Home, Own: withoutStore(in.dirs)}
	p.distrust(&query)
	prog, err := program.Find(query)
	if err != nil {
		return nil, err
	}
	prog.PathDirs = append(prog.PathDirs, p.pathDir())
	rules, err := in.dryPolicy(p)
	if err != nil {
		return nil, err
	}
	spec, _, err := policy.Spec(rules, prog, in.host)
	if err != nil {
		return nil, err
	}
	box, err := (&native.Backend{CacheDir: filepath.Join(in.dirs.Cache, "filters")}).Start(ctx, spec, nil)
	if err != nil {
		return nil, err
	}
	defer box.Kill()
	defer context.AfterFunc(ctx, func() { box.Kill() })()
	last := make(chan string, 1)
	go func() { last <- readBounded(box.Stderr(), 4<<10) }()
	tools, err := listTools(box.Stdin(), io.LimitReader(box.Stdout(), dryBytes))
	box.Kill()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err == nil:
		return tools, nil
	}
	if lines := strings.Split(strings.TrimSpace(<-last), "\n"); lines[len(lines)-1] != "" {
		err = fmt.Errorf("%w: %s", err, cut(lines[len(lines)-1]))
	}
	return nil, err
}

// dryPolicy is the server's policy, with all taken away that has an effect.
func (in *installation) dryPolicy(p *provided) (*policy.Policy, error) {
	profile, _ := p.profile()
	inv := &invocation{name: in.server}
	file, err := inv.readFile(in.host, in.dirs, in.server)
	if err != nil {
		return nil, err
	}
	if file != nil && file.Profile != "" {
		profile = file.Profile
	}
	base, err := loadProfile(profile, in.host.Facts())
	if err != nil {
		return nil, err
	}
	all := policy.Extend(base, file)
	all.Backend, all.Image, all.Runtime = policy.Said[policy.BackendName]{}, policy.Said[string]{}, policy.Said[policy.RuntimeName]{}
	all.Files.Volumes, all.Env.Image = nil, nil
	all.Files.Read = append(all.Files.Read, all.Files.Write...)
	all.Files.Write, all.Files.Sockets = nil, nil
	if all.Mode() == policy.SocketsHost {
		all.UnixSockets = policy.SocketsPrivate
	}
	for _, path := range existing(p.request.Args, in.host.Facts()) {
		// What no policy may open is left out; the server may do without.
		one := &policy.Policy{Files: policy.Files{Read: []policy.Path{{Text: path}}}}
		if _, _, err := policy.Spec(one, policy.Program{Exec: "/bin/true"}, in.host); err == nil {
			all.Files.Read = append(all.Files.Read, one.Files.Read...)
		}
	}
	all.Network = policy.Network{Mode: policy.NetworkNone}
	for _, name := range all.Env.Pass {
		if all.Env.Set == nil {
			all.Env.Set = map[string]string{}
		}
		all.Env.Set[name] = "dry-start"
	}
	all.Env.Pass = nil
	return all, nil
}

// message is what of JSON-RPC a client needs that only asks.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result struct {
		Tools      []json.RawMessage `json:"tools"`
		NextCursor string            `json:"nextCursor"`
	} `json:"result"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// listTools is a client of MCP (2025-06-18) that asks for the tools.
func listTools(to io.Writer, from io.Reader) (map[string]string, error) {
	lines := bufio.NewReaderSize(from, 64<<10)
	answer := func(id string) (*message, error) {
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return nil, errors.New("it ends without an answer")
			}
			m := new(message)
			if json.Unmarshal(line, m) != nil {
				continue
			}
			switch {
			case m.Method != "" && m.ID != nil: // it asks in turn
				fmt.Fprintf(to, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"not in a dry start"}}`+"\n", m.ID)
			case m.Method == "" && string(m.ID) == id && m.Error != nil:
				return nil, fmt.Errorf("it answers: %s", cut(m.Error.Message))
			case m.Method == "" && string(m.ID) == id:
				return m, nil
			}
		}
	}
	fmt.Fprintf(to, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"mcpbox","version":"1"}}}`+"\n")
	if _, err := answer("1"); err != nil {
		return nil, err
	}
	fmt.Fprintf(to, `{"jsonrpc":"2.0","method":"notifications/initialized"}`+"\n")
	tools, params := map[string]string{}, "{}"
	for page := range dryPages {
		id := fmt.Sprint(page + 2)
		fmt.Fprintf(to, `{"jsonrpc":"2.0","id":%s,"method":"tools/list","params":%s}`+"\n", id, params)
		m, err := answer(id)
		if err != nil {
			return nil, err
		}
		for _, raw := range m.Result.Tools {
			var tool map[string]any
			if err := json.Unmarshal(raw, &tool); err != nil {
				return nil, err
			}
			text, err := json.Marshal(tool) // with sorted keys
			if err != nil {
				return nil, err
			}
			tools[fmt.Sprint(tool["name"])] = string(text)
		}
		if m.Result.NextCursor == "" {
			return tools, nil
		}
		params = `{"cursor":` + jsonString(m.Result.NextCursor) + `}`
	}
	return nil, errors.New("its list of tools has no end")
}
