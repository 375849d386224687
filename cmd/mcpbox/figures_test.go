package main

import (
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 59*time.Minute + 59*time.Second: "59m",
		time.Hour: "1h", 47 * time.Hour: "47h", 49 * time.Hour: "2d", 300 * 24 * time.Hour: "300d",
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0.00s", 1234 * time.Millisecond: "1.23s", 61 * time.Second: "1m01s", 59*time.Minute + 59*time.Second: "59m59s",
		3*time.Hour + 4*time.Minute: "3h04m", 100 * time.Hour: "100h00m",
	} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%v) = %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{
		0: "0B", 1023: "1023B", 1024: "1.0KiB", 1536: "1.5KiB", 200 << 10: "200KiB", 5 << 20: "5.0MiB", 3 << 30: "3.0GiB", 1 << 50: "1024TiB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestParseSince(t *testing.T) {
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "0s": 0, "7d": 7 * 24 * time.Hour, "0d": 0} {
		if got, err := parseDays("--since", text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "1", "-1h", "-1d", "1.5d", "99999d", "x", "1w", "1 d"} {
		if got, err := parseDays("--since", text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
