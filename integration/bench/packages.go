package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// runners times server-filesystem from its start to its answer to initialize, as
// a line of npx starts it whose package is there already, beside the same server
// started by node. mcpbox and node, which are a few hundredths of a second apart, are
// started more often. It needs the registry that npm is set up for, once.
func (b *bench) runners() error {
	const name = "@modelcontextprotocol/server-filesystem"
	text, err := os.ReadFile(filepath.Join(b.npm, "node_modules", name, "package.json"))
	if err != nil {
		return err
	}
	var pkg struct{ Version string }
	if err := json.Unmarshal(text, &pkg); err != nil {
		return err
	}
	line := []string{"npx", "-y", name + "@" + pkg.Version, b.work}
	ways := [][]string{
		{"node", filepath.Join(b.npm, "node_modules", name, "dist/index.js"), b.work},
		line,
		append([]string{b.mcpbox, "run", "--name", "runner", "--rw", b.work, "--"}, line...),
	}
	times, memory := make([]sample, len(ways)), make([]sample, len(ways))
	for i := range b.runs/2 + 1 {
		for j, argv := range ways {
			if j == 1 && i%5 != 0 { // a second, of which milliseconds do not matter
				continue
			}
			began := time.Now()
			s, err := open(exec.Command(argv[0], argv[1:]...))
			if err != nil {
				return err
			}
			if err := s.initialize(); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
			}
			if i >= 1 { // the first one installs
				times[j].add(time.Since(began))
			}
			if i%10 == 5 {
				time.Sleep(settled)
				beside, err := besideMemory(s.cmd.Process.Pid)
				if err != nil {
					return err
				}
				memory[j].addBytes(beside)
			}
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	node, npx, box := times[0].median(), times[1].median(), times[2].median()
	b.packages.columns = []string{"`node`", "`npx`, warm, no box", "`mcpbox run -- npx`"}
	b.packages.add("`initialize` answered by server-filesystem", "≤ 0.6 × npx, ≤ node + 40 ms", cells(times, ms),
		fmt.Sprintf("%.2f × npx, node %+.1f ms", box/npx, (box-node)*1e3), box <= 0.6*npx && box <= node+0.040)
	around := cells(memory, mib)
	around[0] = "–"
	b.packages.add("memory beside the server (Pss)", "< npx", around, fmt.Sprintf("%.2f × npx", memory[2].median()/memory[1].median()), memory[2].median() < memory[1].median())
	return nil
}

// besideMemory sums Pss over the processes below pid, itself included, that have
// children: what stands between a host and the program, which has none.
func besideMemory(pid int) (int64, error) {
	below, err := children(pid)
	if err != nil || len(below) == 0 {
		return 0, err
	}
	sum, err := pss(pid)
	for _, child := range below {
		more, childErr := besideMemory(child)
		if sum += more; err == nil {
			err = childErr
		}
	}
	return sum, err
}
