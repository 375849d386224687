package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	b := &bench{}
	flag.StringVar(&b.mcpbox, "mcpbox", "", "the mcpbox `program`")
	flag.StringVar(&b.npm, "npm", "", "`directory` whose node_modules has server-filesystem")
	flag.StringVar(&b.relayNPM, "relays", "", "`directory` whose node_modules has supergateway and mcp-remote")
	flag.IntVar(&b.runs, "runs", 100, "how often to start `true`, and a fifth as often a server, or half as often a package")
	flag.IntVar(&b.crowd, "crowd", 100, "how many boxes at once")
	flag.BoolVar(&b.root, "root", false, "measure what only root can, and nothing else")
	flag.StringVar(&b.only, "only", "", "measure the parts whose names contain this `text`")
	pong := flag.Bool("pong", false, "be the server that is measured: answer every line")
	world := flag.Bool("origin", false, "be what that server connects to")
	flag.Parse()

	err := error(nil)
	switch {
	case *pong:
		err = answerEveryLine(os.Stdin, os.Stdout)
	case *world:
		err = serveOrigin(os.Stdin, os.Stdout)
	default:
		err = b.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what to measure, and the rows so far.
type bench struct {
	mcpbox        string
	npm, relayNPM string
	runs, crowd   int
	only          string
	root          bool

	self string // this program, also the server that answers every line
	work string // the declared directory
	load string // before the start

	processors int

	jailed, packages, containered, relay, network table
}

func (b *bench) run() error {
	b.load = load()
	var err error
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	if home, err = filepath.EvalSymlinks(home); err != nil {
		return err
	}
	b.work = filepath.Join(home, "project")
	if err := os.MkdirAll(b.work, 0o700); err != nil {
		return err
	}
	if b.processors, err = pin(2); err != nil {
		return err
	}
	for _, r := range b.relays() {
		b.relay.columns = append(b.relay.columns, r.name)
	}
	b.jailed.columns = []string{"bare", "bubblewrap, same mounts", "mcpbox"}
	for _, part := range []struct {
		name    string
		measure func() error
		root    bool
	}{
		{"starting true", b.startTrue, false},
		{"starting a server", b.startServer, false},
		{"packages: npx", b.runners, false},
		{"containers", b.containers, true},
		{"a crowd", b.manyAtOnce, false},
		{"the relay: round trips", b.roundTrips, false},
		{"the relay: long results", b.throughput, false},
		{"the relay: a steady stream", b.steadily, false},
		{"the relay: a million messages", b.endlessly, false},
		{"the network: downloads", b.overNetwork((*network).downloads), false},
		{"the network: connections", b.overNetwork((*network).connects), false},
		{"the network: a crowd of them", b.overNetwork((*network).crowds), false},
	} {
		if part.root != b.root || !strings.Contains(part.name, b.only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s ...\n", part.name)
		if err := part.measure(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.print(os.Stdout)
	return nil
}
