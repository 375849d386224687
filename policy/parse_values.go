package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

func (d *decoder) profile(v value) {
	if d.read(v, &d.p.Profile, "a string: the name of a profile") && d.p.Profile == "" {
		d.fail(d.line(v.prim), "profile cannot be empty; take the line out")
	}
}

func (d *decoder) unixSockets(v value) {
	word(d, v, &d.p.UnixSockets, `"none", "private" or "host"`, SocketsNone, SocketsPrivate, SocketsHost)
}

// word reads one of a few words; want lists them for a person.
func word[T ~string](d *decoder, v value, to *T, want string, known ...T) {
	var s string
	if !d.read(v, &s, want) {
		return
	}
	if !slices.Contains(known, T(s)) {
		d.fail(d.line(v.prim), "%s cannot be %q; it has to be %s", v.key, s, want)
		return
	}
	*to = T(s)
}

func (d *decoder) flag(to **bool) func(value) {
	return func(v value) {
		var b bool
		if d.read(v, &b, "true or false") {
			*to = &b
		}
	}
}

// paths reads a list of paths, each with the line that it stands in.
func (d *decoder) paths(to *[]Path) func(value) {
	return func(v value) {
		var texts []string
		if !d.read(v, &texts, "a list of strings") {
			return
		}
		lines := d.elementLines(d.line(v.prim), len(texts))
		for i, text := range texts {
			*to = append(*to, Path{text, Origin{File: d.name, Line: lines[i]}})
		}
	}
}

func (d *decoder) pass(v value) {
	var names []string
	if !d.read(v, &names, "a list of strings") {
		return
	}
	lines := d.elementLines(d.line(v.prim), len(names))
	for i, name := range names {
		if !validName(name) {
			d.fail(lines[i], "env.pass: %q is not the name of a variable", name)
		}
	}
	d.p.Env.Pass = names
}

// packageNames reads names of packages. They become words of a command line.
func (d *decoder) packageNames(key string, into *[]string) func(value) {
	return func(v value) {
		var names []string
		if !d.read(v, &names, `a list of strings: names of packages`) {
			return
		}
		lines := d.elementLines(d.line(v.prim), len(names))
		for i, name := range names {
			if name == "" || strings.Trim(name[:1], ".-") == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@/._~-") != "" {
				d.fail(lines[i], "packages.%s: %q is not the name of a package", key, name)
			}
		}
		*into = names
	}
}

func (d *decoder) set(v value) {
	const want = `a table of strings, such as { LOG_LEVEL = "info" }`
	var set map[string]string
	if !d.isTable(v, want) || !d.read(v, &set, want) {
		return
	}
	for name, text := range set {
		if !validName(name) {
			d.fail(d.line(v.prim), "env.set: %q is not the name of a variable", name)
		}
		if strings.ContainsRune(text, 0) {
			d.fail(d.line(v.prim), "env.set: the value of %s holds a NUL byte", name)
		}
	}
	d.p.Env.Set = set
}

func (d *decoder) cpus(v value) {
	if d.read(v, &d.p.Limits.CPUs, "a number of processors, such as 1.5") && !ValidCPUs(d.p.Limits.CPUs) {
		d.fail(d.line(v.prim), "%s has to be from %g to %g", v.key, leastCPUs, mostCPUs)
	}
}

func (d *decoder) require(v value) {
	var s string
	if !d.read(v, &s, `"cgroup"`) {
		return
	}
	if d.p.Limits.Require = Requirement(s); d.p.Limits.Require != RequireCgroup {
		d.fail(d.line(v.prim), `%s cannot be %q; it has to be "cgroup", or left out`, v.key, s)
	}
}

func (d *decoder) count(to *int64, s span) func(value) {
	return func(v value) {
		if d.read(v, to, "a number") && (*to < s.least || *to > s.most) {
			d.fail(d.line(v.prim), "%s has to be from %d to %d", v.key, s.least, s.most)
		}
	}
}

func (d *decoder) size(to *int64, s span) func(value) {
	return func(v value) {
		const want = `a size, such as "256MiB" or a number of bytes`
		if d.md.PrimitiveDecode(v.prim, to) != nil {
			var text string
			if !d.read(v, &text, want) {
				return
			}
			n, ok := ParseSize(text)
			if !ok {
				d.fail(d.line(v.prim), "%s cannot be %q; it has to be %s", v.key, text, want)
				return
			}
			*to = n
		}
		if *to < s.least || *to > s.most {
			d.fail(d.line(v.prim), "%s has to be from %s to %s", v.key, FormatSize(s.least), FormatSize(s.most))
		}
	}
}

var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads a number of bytes with a unit: B, kB, MB, GB, TB in powers of
// 1000, KiB, MiB, GiB, TiB in powers of 1024, or none. There are no fractions.
func ParseSize(s string) (int64, bool) {
	unit := int64(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSuffix(rest, " "), u.size
			break
		}
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, false
	}
	return n * unit, true
}

// FormatSize writes a number of bytes in the largest unit of 1024 that divides
// it.
func FormatSize(n int64) string {
	for _, u := range units[:4] {
		if n != 0 && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}

// elementLines returns the line of each of n strings in the array whose key
// stands in a line. The TOML decoder has accepted the array, so that only what
// can stand in one has to be told apart: strings, comments and the rest.
func (d *decoder) elementLines(line, n int) []int {
	lines := make([]int, 0, n)
	rest := d.data
	for range line - 1 {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	_, rest, _ = strings.Cut(rest, "[")
	for len(lines) < n && rest != "" {
		switch quote := rest[0]; quote {
		case '"', '\'':
			lines = append(lines, line)
			end := stringEnd(rest)
			line += strings.Count(rest[:end], "\n")
			rest = rest[end:]
			continue
		case '#':
			_, rest, _ = strings.Cut(rest, "\n")
			line++
			continue
		case '\n':
			line++
		}
		rest = rest[1:]
	}
	for len(lines) < n { // a key with a bracket in it; the first line has to do
		lines = append(lines, line)
	}
	return lines
}

// stringEnd returns the length of the TOML string that s starts with.
func stringEnd(s string) int {
	quote := s[:1]
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s, triple) {
		quote = triple
	}
	for i := len(quote); i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote[0] == '"':
			i++
		case strings.HasPrefix(s[i:], quote):
			return i + len(quote)
		}
	}
	return len(s)
}
