package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// relayed is one way for messages to get from a host to a server and back.
type relayed struct {
	name string
	slow bool // so much that it is measured less often

	// start starts argv, and says which processes are between the two.
	start func(argv []string) (s *session, between []int, err error)
}

// relays are the columns of the table of relays: bare, a cat for each direction,
// which is the least that any relay costs, mcpbox, and two programs of the npm
// registry. Each of those relays between stdio and a network, so it takes both to
// get from stdio to stdio.
func (b *bench) relays(flags ...string) []relayed {
	jails := b.jails(flags...)
	return []relayed{
		{"bare", false, func(argv []string) (*session, []int, error) {
			s, err := open(exec.Command(argv[0], argv[1:]...))
			return s, nil, err
		}},
		{"a `cat` each way", false, startViaCats},
		{"mcpbox", false, func(argv []string) (*session, []int, error) {
			cmd, err := jails[2](argv...)
			if err != nil {
				return nil, nil, err
			}
			s, err := open(cmd)
			if err != nil {
				return nil, nil, err
			}
			return s, []int{cmd.Process.Pid}, nil
		}},
		{"mcp-remote and supergateway", true, b.startGateways},
	}
}

// rounds is how often to measure, not counting the first time, which warms up.
func (r relayed) rounds() int {
	if r.slow {
		return 1
	}
	return 5
}

// startViaCats starts argv behind two cats.
func startViaCats(argv []string) (*session, []int, error) {
	s, err := open(exec.Command("sh", append([]string{"-c", `cat | "$@" | cat`, "sh"}, argv...)...))
	if err != nil {
		return nil, nil, err
	}
	if err := s.ping(); err != nil { // all three are there
		return nil, nil, err
	}
	all, err := children(s.cmd.Process.Pid)
	if err != nil {
		return nil, nil, err
	}
	var cats []int
	for _, pid := range all {
		if name, err := command(pid); err == nil && name == "cat" {
			cats = append(cats, pid)
		}
	}
	if len(cats) != 2 {
		return nil, nil, s.failed(fmt.Errorf("%d cats run, want 2", len(cats)))
	}
	return s, cats, nil
}

// startGateways starts argv behind supergateway, and mcp-remote as its client.
func (b *bench) startGateways(argv []string) (*session, []int, error) {
	port, err := freePort()
	if err != nil {
		return nil, nil, err
	}
	module := func(path string) string { return filepath.Join(b.relayNPM, "node_modules", path) }
	gateway := exec.Command("node", module("supergateway/dist/index.js"), "--stdio", strings.Join(argv, " "),
		"--port", fmt.Sprint(port), "--logLevel", "none")
	var said bytes.Buffer
	gateway.Stdout, gateway.Stderr = &said, &said
	held, err := gateway.StdinPipe() // at whose end it would end
	if err != nil {
		return nil, nil, err
	}
	if err := gateway.Start(); err != nil {
		return nil, nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if err := listens(address); err != nil {
		_ = gateway.Process.Kill()
		_ = gateway.Wait() // so that what it said is complete
		return nil, nil, fmt.Errorf("supergateway: %w\n%s", err, &said)
	}
	s, err := open(exec.Command("node", module("mcp-remote/dist/proxy.js"), "http://"+address+"/sse",
		"--allow-http", "--transport", "sse-only", "--silent"))
	if err != nil {
		return nil, nil, err
	}
	s.with, s.held = gateway, held
	return s, []int{s.cmd.Process.Pid, gateway.Process.Pid}, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// listens waits until somebody does.
func listens(address string) error {
	for until := time.Now().Add(patience); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
	}
	return errors.New("nothing listens on " + address)
}
