package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// open starts a server behind a relay, and waits until it answers.
func (r relayed) open(argv []string) (*session, []int, error) {
	s, between, err := r.start(argv)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.name, err)
	}
	if err := s.initialize(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", r.name, err)
	}
	return s, between, nil
}

// roundTrips times pings through open sessions, in turns.
func (b *bench) roundTrips() error {
	filesystem, flags := b.filesystem()
	for _, server := range []struct {
		name  string
		argv  []string
		flags []string
	}{
		{"a Go program", []string{b.self, "-pong"}, nil},
		{"server-filesystem", filesystem, flags},
	} {
		relays := b.relays(server.flags...)
		times := make([]sample, len(relays))
		var sessions []*session
		for _, r := range relays {
			s, _, err := r.open(server.argv)
			if err != nil {
				return err
			}
			sessions = append(sessions, s)
		}
		if err := inTurns(sessions, times); err != nil {
			return err
		}
		if err := closeAll(sessions); err != nil {
			return err
		}
		more, cats := times[2].median()-times[0].median(), times[1].median()-times[0].median()
		b.relay.add("`ping` answered by "+server.name, "≤ bare + 40 µs", cells(times, us),
			fmt.Sprintf("%+.0f µs; the cats: %+.0f µs", more*1e6, cats*1e6), more <= 40e-6)
	}
	return nil
}

func inTurns(sessions []*session, times []sample) error {
	for round := range 21 {
		for j, s := range sessions {
			for range 200 {
				began := time.Now()
				if err := s.ping(); err != nil {
					return err
				}
				if round > 0 { // the first one warms up
					times[j].add(time.Since(began))
				}
			}
		}
	}
	return nil
}

func closeAll(sessions []*session) error {
	for _, s := range sessions {
		if err := s.close(); err != nil {
			return err
		}
	}
	return nil
}

// throughput is how fast long results get through, several of them asked for at
// once, and how much processor the relay takes for them. The journal of mcpbox
// has a digest of each message by default, which costs as much as all the rest;
// the columns are without.
func (b *bench) throughput() error {
	without := filepath.Join(filepath.Dir(b.work), "bodies.toml")
	if err := os.WriteFile(without, []byte("[journal]\nbodies = \"none\"\n"), 0o600); err != nil {
		return err
	}
	for _, size := range []int64{1 << 20, 16<<20 - 1000} {
		relays := b.relays("--policy", without)
		speeds, costs := make([]sample, len(relays)), make([]sample, len(relays))
		for i, r := range relays {
			var err error
			if speeds[i], costs[i], err = r.carry(size, []string{b.self, "-pong"}); err != nil {
				return err
			}
		}
		_, digests, err := b.relays()[2].carry(size, []string{b.self, "-pong"})
		if err != nil {
			return err
		}
		box := speeds[2].median()
		what := fmt.Sprintf("results of %d MiB", (size+1<<19)>>20)
		b.relay.add(what+", per second", "", cells(speeds, mib),
			fmt.Sprintf("%.2f × bare, %.0f × mcp-remote and supergateway", box/speeds[0].median(), box/speeds[3].median()), true)
		b.relay.add(what+", per second of one processor", "≥ 400 MiB", cells(costs, mib),
			fmt.Sprintf("with a digest of each in the journal, the default: %.0f MiB", digests.median()*mib.scale), costs[2].median() >= 400<<20)
	}
	return nil
}

// carry has results of a size go through a relay, and returns bytes per second,
// and per second of processor time.
func (r relayed) carry(size int64, argv []string) (speed, cost sample, err error) {
	s, between, err := r.open(argv)
	if err != nil {
		return nil, nil, err
	}
	count := int(256 << 20 / size)
	if r.slow {
		count = max(1, count/16)
	}
	for round := range r.rounds() + 1 {
		before, err := processorTime(between)
		if err != nil {
			return nil, nil, err
		}
		began := time.Now()
		if err := s.results(size, count); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", r.name, err)
		}
		took := time.Since(began)
		after, err := processorTime(between)
		if err != nil {
			return nil, nil, err
		}
		if round == 0 {
			continue
		}
		bytes := float64(size) * float64(count)
		speed = append(speed, bytes/took.Seconds())
		if after > before {
			cost = append(cost, bytes/(after-before).Seconds())
		}
	}
	return speed, cost, s.close()
}

// results asks for count results of a size, four at a time, and reads them
// without looking into them.
func (s *session) results(size int64, count int) error {
	ask := func() error {
		s.id++
		_, err := fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":"result","params":{"bytes":%d}}`+"\n", s.id, size)
		return err
	}
	for range min(4, count) {
		if err := ask(); err != nil {
			return s.failed(err)
		}
	}
	for i := range count {
		n, err := skipLine(s.out)
		if err == nil && n < size {
			err = fmt.Errorf("an answer of %d bytes instead of %d", n, size)
		}
		if err == nil && i+4 < count {
			err = ask()
		}
		if err != nil {
			return s.failed(err)
		}
	}
	return nil
}

func skipLine(r *bufio.Reader) (n int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		n += int64(len(part))
		if err == nil || !errors.Is(err, bufio.ErrBufferFull) {
			return n, err
		}
	}
}

// steadily sends small messages at a pace, for a second or, where a relay cannot
// keep up, for as long as it takes, and looks at the processor time that goes
// into them.
func (b *bench) steadily() error {
	const perSecond = 10_000 // to and fro
	relays := b.relays()
	shares := make([]sample, len(relays))
	for i, r := range relays {
		s, between, err := r.open([]string{b.self, "-pong"})
		if err != nil {
			return err
		}
		for round := range r.rounds() + 1 {
			before, err := processorTime(between)
			if err != nil {
				return err
			}
			const each = perSecond / 2 / 1000
			began := time.Now()
			for ms := range 1000 {
				time.Sleep(time.Until(began.Add(time.Duration(ms) * time.Millisecond)))
				if err := s.pipeline(each); err != nil {
					return fmt.Errorf("%s: %w", r.name, err)
				}
			}
			after, err := processorTime(between)
			if err != nil {
				return err
			}
			if round > 0 && i > 0 {
				shares[i] = append(shares[i], (after - before).Seconds())
			}
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	box := shares[2].median()
	b.relay.add("processor for 10,000 small messages per second", "< 20 % of one", cells(shares, percent),
		fmt.Sprintf("%.2f × the cats, 1/%.0f of mcp-remote and supergateway", box/shares[1].median(), shares[3].median()/box), box < 0.2)
	return nil
}

// pipeline sends n pings and then reads their answers.
func (s *session) pipeline(n int) error {
	for range n {
		s.id++
		if _, err := fmt.Fprintf(s.in, `{"jsonrpc":"2.0","id":%d,"method":"ping"}`+"\n", s.id); err != nil {
			return s.failed(err)
		}
	}
	for range n {
		if _, err := skipLine(s.out); err != nil {
			return s.failed(err)
		}
	}
	return nil
}

// endlessly looks at a relay's memory early in a session and late.
func (b *bench) endlessly() error {
	relays := b.relays()
	grown := make([]sample, len(relays))
	box := relays[2]
	s, between, err := box.open([]string{b.self, "-pong"})
	if err != nil {
		return err
	}
	memory := func(messages int) (int64, error) {
		for range messages / 2 / 50 {
			if err := s.pipeline(50); err != nil {
				return 0, err
			}
		}
		return pss(between[0])
	}
	early, err := memory(10_000)
	if err != nil {
		return err
	}
	late, err := memory(1_000_000)
	if err != nil {
		return err
	}
	grown[2].addBytes(late - early)
	b.relay.add("memory that a million messages leave behind", "≤ 1 MiB", cells(grown, mib),
		fmt.Sprintf("%.1f MiB before, %.1f after", float64(early)/(1<<20), float64(late)/(1<<20)), late-early <= 1<<20)
	return s.close()
}
