package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// However often a program dials, and in whatever order, little is asked.
func TestLookupsAreBounded(t *testing.T) {
	const seconds, perSecond, names = 100, 100, 200
	at := time.Unix(1000, 0)
	one := []netip.Addr{netip.MustParseAddr("203.0.113.5")}
	for _, c := range []struct {
		below       bool
		names, most int
	}{
		{false, 1, nameBurst + nameRate*seconds},
		{true, 1, nameBurst + nameRate*seconds},
		{true, names, belowBurst + belowRate*seconds},
	} {
		var l lookups
		questions, unanswered := 0, 0
		for i := range seconds * perSecond {
			now := at.Add(time.Duration(i) * time.Second / perSecond)
			name := fmt.Sprintf("%d.test", i*i%c.names)
			mayAsk, addrs, known, err := l.turn(name, c.below, now)
			switch {
			case mayAsk:
				questions++
				l.learn(name, one, nil, now)
			case !known:
				unanswered++
			case !slices.Equal(addrs, one) || err != nil:
				t.Fatalf("%v, %v", addrs, err)
			}
		}
		if questions > c.most || questions < c.most/3 {
			t.Errorf("%+v: %d questions, want up to %d", c, questions, c.most)
		}
		if c.names == 1 && unanswered > 0 {
			t.Errorf("%+v: %d dials without an answer", c, unanswered)
		}
	}
	// An answer does not count for ever.
	var l lookups
	for range nameBurst {
		l.turn("a.test", false, at)
	}
	l.learn("a.test", one, nil, at)
	l.names["a.test"].limit.rate = 0
	for d, want := range map[time.Duration]bool{0: true, answerTime - 1: true, answerTime: false} {
		if mayAsk, _, known, _ := l.turn("a.test", false, at.Add(d)); mayAsk || known != want {
			t.Errorf("after %v: may ask: %v, known: %v", d, mayAsk, known)
		}
	}
}

// Whoever may not ask waits, until the dial has taken too long.
func TestLookupsWait(t *testing.T) {
	var l lookups
	lost := errors.New("no such host")
	asked := 0
	ask := func() ([]netip.Addr, error) { asked++; return nil, lost }
	for range nameBurst + 3 {
		if _, err := l.ask(t.Context(), "a.test", false, ask); err != lost {
			t.Fatal(err)
		}
	}
	if asked != nameBurst {
		t.Errorf("asked %d times", asked)
	}
	l.names["a.test"].at = time.Time{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := l.ask(ctx, "a.test", false, ask); err != errAskedOften || asked != nameBurst {
		t.Errorf("%v, asked %d times", err, asked)
	}
	if _, err := l.ask(t.Context(), "a.test", false, ask); err != lost || asked != nameBurst+1 { // a second later
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// An answer that is used again is judged again.
func TestDialOften(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	const good = "203.0.113.5"
	w.set("name.test", good)
	d := w.dialer()
	began := time.Now()
	for range 50 {
		if at, err := w.dial(t, d, "name.test"); err != nil || at.Addr().String() != good {
			t.Fatalf("%v, %v", at, err)
		}
	}
	if n, most := w.questions("name.test"), nameBurst+1+int(nameRate*time.Since(began).Seconds()); n < nameBurst || n > most {
		t.Errorf("%d questions, want up to %d", n, most)
	}
	w.since(t)
	for range nameBurst { // so that none is left
		d.asked.turn("name.test", false, time.Now())
	}
	d.own = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr(good)}, nil }
	if _, err := w.dial(t, d, "name.test"); err == nil || !strings.Contains(err.Error(), "of this machine") {
		t.Errorf("an old answer is believed: %v", err)
	}
	if heard := w.since(t); len(heard) > 0 {
		t.Errorf("%v heard", heard)
	}
}

// Which names are bounded together.
func TestBelow(t *testing.T) {
	f := New(Config{Network: policy.Network{Allow: rules(t, "a.example.com:443", "*.cdn.example.net:443", "x.cdn.example.net:80")}})
	defer f.Close()
	for name, want := range map[string]bool{"a.example.com": false, "x.cdn.example.net": false, "y.cdn.example.net": true} {
		if f.dialer.below(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
