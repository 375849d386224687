package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// sample is a set of measurements, in seconds or bytes.
type sample []float64

func (s *sample) add(d time.Duration)  { *s = append(*s, d.Seconds()) }
func (s *sample) addBytes(bytes int64) { *s = append(*s, float64(bytes)) }
func (s sample) median() float64       { return s.quantile(0.5) }
func (s sample) quantile(q float64) float64 {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// unit is how a column shows a measurement.
type unit struct {
	name  string
	scale float64
}

var (
	ms  = unit{"ms", 1e3}
	us  = unit{"µs", 1e6}
	mib = unit{"MiB", 1.0 / (1 << 20)}
	kib = unit{"KiB", 1.0 / (1 << 10)}
	gbs = unit{"GB/s", 1e-9}

	percent = unit{"%", 100}
)

// cells shows each sample as its median and its spread.
func cells(samples []sample, u unit) []string {
	var out []string
	for _, s := range samples {
		if len(s) == 0 {
			out = append(out, "–")
			continue
		}
		out = append(out, fmt.Sprintf("%.1f %s (%.1f–%.1f)", s.median()*u.scale, u.name, s.quantile(0.1)*u.scale, s.quantile(0.9)*u.scale))
	}
	return out
}

// table is a set of rows with the same columns.
type table struct {
	columns []string
	rows    []row
}

type row struct {
	what, goal string
	columns    []string
	compared   string
	met        bool
}

func (t *table) add(what, goal string, columns []string, compared string, met bool) {
	t.rows = append(t.rows, row{what, goal, columns, compared, met})
}

// print writes the tables, with what is needed to read them.
func (b *bench) print(w io.Writer) {
	if len(b.jailed.rows)+len(b.packages.rows)+len(b.containered.rows)+len(b.relay.rows)+len(b.network.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s, TCP by %s, %d processors in use, load %s before the start, uid %d; %s; %s\n",
		kernel(), congestion(), b.processors, b.load, os.Geteuid(), version("bwrap", "--version"), version("node", "--version"))
	b.jailed.print(w)
	b.packages.print(w)
	b.containered.print(w)
	b.relay.print(w)
	b.network.print(w)
}

func (t *table) print(w io.Writer) {
	if len(t.rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| | %s | compared | goal |\n", strings.Join(t.columns, " | "))
	fmt.Fprintln(w, strings.Repeat("|---", len(t.columns)+3)+"|")
	for _, r := range t.rows {
		goal := r.goal
		switch {
		case goal == "":
		case r.met:
			goal += ": met"
		default:
			goal += ": **missed**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", r.what, strings.Join(r.columns, " | "), r.compared, goal)
	}
}

// load is the machine's load average over a minute. With much else going on the
// figures compare little.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "Linux"
	}
	// What follows the numbers names somebody's machine.
	number, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return "Linux " + number
}

// congestion is how TCP of this machine decides when to send: bbr waits between
// packets, also on loopback, where others do not.
func congestion() string {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

func version(program, flag string) string {
	out, err := exec.Command(program, flag).Output()
	if err != nil {
		return program + ": " + err.Error()
	}
	return strings.TrimSpace(program + " " + strings.TrimPrefix(strings.TrimSpace(string(out)), "bubblewrap "))
}
