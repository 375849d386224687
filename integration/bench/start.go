package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// startTrue times a whole life: start, run a program that does nothing, end. Of
// what a box costs it tells the network apart: mcpbox without any, and with a
// rule that needs more sockets than others do.
func (b *bench) startTrue() error {
	none := filepath.Join(filepath.Dir(b.work), "none.toml")
	if err := os.WriteFile(none, []byte("[network]\nmode = \"none\"\n"), 0o600); err != nil {
		return err
	}
	jails := slices.Concat(b.jails(), b.jails("--policy", none)[2:], b.jails("--egress", "*.example.com:443")[2:])
	times := make([]sample, len(jails))
	for i := range b.runs + 3 {
		for j, start := range jails {
			cmd, err := start("/usr/bin/true")
			if err != nil {
				return err
			}
			began := time.Now()
			if err := cmd.Start(); err != nil {
				return err
			}
			if err := done(cmd); err != nil {
				return err
			}
			if i >= 3 { // the first ones find cold caches
				times[j].add(time.Since(began))
			}
		}
	}
	bwrap, box, silent, suffix := times[1].median(), times[2].median(), times[3].median(), times[4].median()
	columns := cells(times, ms)
	b.jailed.add("start and end `true`", "≤ 2.5 × bwrap", columns[:3], fmt.Sprintf("%.2f × bwrap", box/bwrap), box <= 2.5*bwrap)
	b.jailed.add("the same with `mode = \"none\"`, no network to filter", "", []string{"–", "–", columns[3]}, fmt.Sprintf("the filter: %+.1f ms", (box-silent)*1e3), true)
	b.jailed.add("the same with a rule `*.example.com:443`", "", []string{"–", "–", columns[4]}, fmt.Sprintf("the rule: %+.1f ms", (suffix-box)*1e3), true)
	return nil
}

// settled is how long after the first answer memory is looked at: what counts is
// what stays while the server runs.
const settled = 2 * time.Second

// startServer times server-filesystem from its start to its answer to
// initialize, and now and then looks at the memory of the processes around it.
func (b *bench) startServer() error {
	argv, flags := b.filesystem()
	times, memory := make([]sample, 3), make([]sample, 3)
	for i := range b.runs/5 + 1 {
		for j, start := range b.jails(flags...) {
			cmd, err := start(argv...)
			if err != nil {
				return err
			}
			began := time.Now()
			s, err := open(cmd)
			if err != nil {
				return err
			}
			if err := s.initialize(); err != nil {
				return err
			}
			if i >= 1 {
				times[j].add(time.Since(began))
			}
			if i%10 == 1 {
				time.Sleep(settled)
				around, err := jailMemory(cmd.Process.Pid)
				if err != nil {
					return err
				}
				memory[j].addBytes(around)
			}
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	more := times[2].median() - times[0].median()
	b.jailed.add("`initialize` answered by server-filesystem", "≤ bare + 30 ms", cells(times, ms), fmt.Sprintf("%+.1f ms", more*1e3), more <= 0.030)
	pss := memory[2].median()
	around := cells(memory, mib)
	around[0] = "–"
	b.jailed.add("memory around one server (Pss)", "≤ 15 MiB", around, "", pss <= 15<<20)
	return nil
}

// manyAtOnce starts a crowd of servers at the same moment, and looks at them
// once the last one has answered.
func (b *bench) manyAtOnce() error {
	times, memory := make([]sample, 3), make([]sample, 3)
	for range 3 {
		for j, start := range b.jails() {
			took, around, err := b.together(start)
			if err != nil {
				return err
			}
			times[j].add(took / time.Duration(b.crowd))
			memory[j].addBytes(around / int64(b.crowd))
		}
	}
	pss := memory[2].median()
	around := cells(memory, mib)
	around[0] = "–"
	b.jailed.add(fmt.Sprintf("%d at once: until the last answers, per box", b.crowd), "", cells(times, ms), fmt.Sprintf("%.2f × bwrap", times[2].median()/times[1].median()), true)
	b.jailed.add(fmt.Sprintf("%d at once: memory around each server (Pss)", b.crowd), "≤ 15 MiB", around, "", pss <= 15<<20)
	return nil
}

// together is how long a crowd took until the last one answered, and the
// memory around all of them.
func (b *bench) together(start jail) (took time.Duration, around int64, err error) {
	sessions := make([]*session, b.crowd)
	for i := range sessions {
		cmd, err := start(b.self, "-pong")
		if err != nil {
			return 0, 0, err
		}
		sessions[i] = &session{cmd: cmd}
	}
	began := time.Now()
	answers := make(chan error, len(sessions))
	for _, s := range sessions {
		go func() {
			err := s.open()
			if err == nil {
				err = s.ping()
			}
			answers <- err
		}()
	}
	var failures []string
	for range sessions {
		if err := <-answers; err != nil {
			failures = append(failures, err.Error())
		}
	}
	took = time.Since(began)
	if failures != nil {
		return 0, 0, fmt.Errorf("%d of %d did not answer, the first: %s", len(failures), len(sessions), strings.TrimSpace(failures[0]))
	}
	time.Sleep(settled)
	for _, s := range sessions {
		bytes, err := jailMemory(s.cmd.Process.Pid)
		if err != nil {
			return 0, 0, err
		}
		around += bytes
	}
	for _, s := range sessions {
		if err := s.close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	return took, around, nil
}
