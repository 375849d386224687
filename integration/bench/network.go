package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// network measures what a program sends and receives by each way.
type network struct {
	origin *origin
	ways   []*way
	table  *table
}

// overNetwork makes a part of the benchmark from one that needs the network.
func (b *bench) overNetwork(measure func(*network) error) func() error {
	return func() error {
		o, err := b.startOrigin()
		if err != nil {
			return err
		}
		n := &network{origin: o, ways: b.ways(o), table: &b.network}
		n.table.columns = nil
		for _, w := range n.ways {
			n.table.columns = append(n.table.columns, w.name)
		}
		return errors.Join(measure(n), o.close())
	}
}

// Where the first and the last of the ways stand.
func (n *network) bare(s []sample) sample   { return s[0] }
func (n *network) mcpbox(s []sample) sample { return s[len(s)-1] }

// each measures by all ways, in turns, after a round that warms up. Each way has
// one client for all of it.
func (n *network) each(rounds int, measure func(*session, *way) (sample, error)) ([]sample, error) {
	samples := make([]sample, len(n.ways))
	sessions := make([]*session, len(n.ways))
	for i, w := range n.ways {
		if w.missing != "" {
			continue
		}
		var err error
		if sessions[i], _, err = w.open(); err != nil {
			return nil, err
		}
	}
	for round := range rounds + 1 {
		for i, w := range n.ways {
			if w.missing != "" {
				continue
			}
			s, err := measure(sessions[i], w)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			if round > 0 {
				samples[i] = append(samples[i], s...)
			}
		}
	}
	for i, s := range sessions {
		if s == nil {
			continue
		}
		if err := s.close(); err != nil {
			return nil, fmt.Errorf("%s: %w", n.ways[i].name, err)
		}
	}
	return samples, nil
}

// columns are cells, with the reason where there is nothing.
func (n *network) columns(samples []sample, u unit) []string {
	columns := cells(samples, u)
	for i, w := range n.ways {
		if w.missing != "" {
			columns[i] = w.missing
		}
	}
	return columns
}

// downloads measures how fast much arrives.
func (n *network) downloads() error {
	rates, err := n.each(5, func(s *session, w *way) (sample, error) {
		var took float64
		err := s.do("download", task{Address: w.address(n.origin.sender), Bytes: downloadBytes}, &took)
		return sample{downloadBytes / took}, err
	})
	if err != nil {
		return err
	}
	box := n.mcpbox(rates).median()
	ratio := box / n.bare(rates).median()
	met, goal := ratio >= 0.5, "≥ 0.5 × bare"
	compared := []string{fmt.Sprintf("%.2f × bare", ratio)}
	for i, w := range n.ways[1 : len(n.ways)-1] {
		if w.missing != "" {
			continue
		}
		than := box / rates[i+1].median()
		met = met && than > 1
		goal += ", > " + w.name
		compared = append(compared, fmt.Sprintf("%.2f × %s", than, w.name))
	}
	n.table.add("download of 3 GiB over loopback", goal, n.columns(rates, gbs), strings.Join(compared, ", "), met)
	return nil
}

// connects measures connections one after the other.
func (n *network) connects() error {
	times, err := n.each(20, func(s *session, w *way) (sample, error) {
		var times sample
		err := s.do("connect", task{Address: w.address(n.origin.greeter), Count: 100}, &times)
		return times, err
	})
	if err != nil {
		return err
	}
	more := n.mcpbox(times).median() - n.bare(times).median()
	n.table.add("connect, and the first byte", "≤ bare + 300 µs", n.columns(times, us), fmt.Sprintf("%+.0f µs", more*1e6), more <= 300e-6)
	return nil
}

// crowds measures many connections at once, and what each costs the process that
// carries it when it is idle again. Each time the client and its box are new.
func (n *network) crowds() error {
	const count, rounds = 256, 5
	times, growth := make([]sample, len(n.ways)), make([]sample, len(n.ways))
	served := make([]int, len(n.ways)) // the fewest
	files := 0
	for round := range rounds {
		for i, w := range n.ways {
			if w.missing != "" {
				continue
			}
			s, carrier, err := w.open()
			if err != nil {
				return err
			}
			time.Sleep(settled)
			before, err := footprint(carrier)
			if err != nil {
				return err
			}
			var c crowd
			if err := s.do("hold", task{Address: w.address(n.origin.greeter), Count: count}, &c); err != nil {
				return err
			}
			if round == 0 || c.Served < served[i] {
				served[i] = c.Served
			}
			times[i] = append(times[i], c.Seconds)
			time.Sleep(settled)
			after, err := footprint(carrier)
			if err != nil {
				return err
			}
			if before.pss > 0 {
				growth[i] = append(growth[i], float64(after.pss-before.pss)/count)
				files = (after.files - before.files) / count
			}
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	columns := n.columns(times, ms)
	for i, w := range n.ways {
		if w.missing == "" {
			columns[i] = fmt.Sprintf("%d in %s", served[i], columns[i])
		}
	}
	box := len(n.ways) - 1
	n.table.add(fmt.Sprintf("%d connections at once, 64 KiB to and fro on each", count), "all served", columns, "", served[box] == count)
	n.table.add("what such a connection, idle again, adds to the process that carries it (Pss)", "≤ 64 KiB", n.columns(growth, kib),
		fmt.Sprintf("%d descriptors each", files), n.mcpbox(growth).median() <= 64<<10)
	return nil
}
