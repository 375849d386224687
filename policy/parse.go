package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Parse reads a policy in TOML. The name stands in errors; if it is an absolute
// path, the file is never writable in the box.
//
// Every key has to be known and of the right type; errors are [*Error] values,
// joined, in the order of the lines. Paths are only checked by [Spec], which
// knows the machine.
func Parse(name string, data []byte) (*Policy, error) {
	if len(data) > maxPolicy {
		return nil, &Error{Origin{File: name}, "larger than " + FormatSize(maxPolicy) + ", which no policy needs"}
	}
	d := &decoder{name: name, data: string(data), p: &Policy{Sources: []string{name}}}
	var top map[string]toml.Primitive
	md, err := toml.Decode(d.data, &top)
	if err != nil {
		return nil, d.syntax(err)
	}
	d.md = md
	d.keys("", top, map[string]func(value){
		"profile":      d.profile,
		"unix_sockets": d.unixSockets,
		"home":         d.home,
		"backend":      d.backend,
		"image":        d.image,
		"runtime":      d.runtime,
		"files": d.table(map[string]func(value){
			"read":       d.paths(&d.p.Files.Read),
			"write":      d.paths(&d.p.Files.Write),
			"hide":       d.paths(&d.p.Files.Hide),
			"protect":    d.paths(&d.p.Files.Protect),
			"sockets":    d.paths(&d.p.Files.Sockets),
			"noexec_tmp": d.flag(&d.p.Files.NoexecTmp),
			"staged":     d.flag(&d.p.Files.Staged),
			"volumes":    d.volumes,
		}),
		"env": d.table(map[string]func(value){
			"pass":  d.pass,
			"set":   d.set,
			"image": d.imageEnv,
		}),
		"network": d.table(map[string]func(value){
			"mode":  d.networkMode,
			"allow": d.rules(&d.p.Network.Allow),
			"proxy": d.proxy,
			"ech":   d.ech,
		}),
		"packages": d.table(map[string]func(value){
			"scripts":  d.packageNames("scripts", &d.p.Packages.Scripts),
			"unsigned": d.packageNames("unsigned", &d.p.Packages.Unsigned),
			"allow":    d.rules(&d.p.Packages.Allow),
		}),
		"limits": d.table(map[string]func(value){
			"memory":     d.size(&d.p.Limits.Memory, memorySpan),
			"cpus":       d.cpus,
			"pids":       d.count(&d.p.Limits.Pids, pidsSpan),
			"open_files": d.count(&d.p.Limits.OpenFiles, filesSpan),
			"tmp":        d.size(&d.p.Limits.Tmp, tmpSpan),
			"disk":       d.size(&d.p.Limits.Disk, diskSpan),
			"message":    d.size(&d.p.Limits.Message, messageSpan),
			"require":    d.require,
			"staged":     d.size(&d.p.Limits.Staged, tmpSpan),

			"call_timeout":  d.duration(&d.p.Runaway.CallTimeout),
			"start_timeout": d.duration(&d.p.Runaway.StartTimeout),
			"idle_cpu":      d.duration(&d.p.Runaway.IdleCPU),
			"rate":          d.count(&d.p.Runaway.Rate, rateSpan),
			"stderr":        d.size(&d.p.Runaway.Stderr, stderrSpan),
			"restarts":      d.count(&d.p.Runaway.Restarts, restartsSpan),

			"egress_bytes": d.size(&d.p.Limits.Egress, egressSpan),
		}),
		"runaway": d.runaway(),
		"journal": d.journal(),
	})
	if len(d.errs) > 0 {
		slices.SortStableFunc(d.errs, func(a, b *Error) int { return a.Origin.Line - b.Origin.Line })
		list := make([]error, len(d.errs))
		for i, e := range d.errs {
			list[i] = e
		}
		return nil, errors.Join(list...)
	}
	return d.p, nil
}

// maxPolicy bounds a policy's text: the time that the TOML decoder takes grows
// with the square of some kinds of it.
const maxPolicy = 64 << 10

// decoder reads one file.
type decoder struct {
	name string
	data string
	md   toml.MetaData
	p    *Policy
	errs []*Error
}

// value is the value of one key.
type value struct {
	key  string // with its table, such as "files.read"
	prim toml.Primitive
}

func (d *decoder) fail(line int, format string, args ...any) {
	d.errs = append(d.errs, &Error{Origin{File: d.name, Line: line}, fmt.Sprintf(format, args...)})
}

// keys hands each key of a table to what reads it.
func (d *decoder) keys(table string, found map[string]toml.Primitive, known map[string]func(value)) {
	for name, prim := range found {
		v := value{strings.TrimPrefix(table+"."+name, "."), prim}
		if read, ok := known[name]; ok {
			read(v)
			continue
		}
		d.fail(d.line(prim), "unknown key %q%s", v.key, suggestion(table, name, known))
	}
}

func (d *decoder) table(known map[string]func(value)) func(value) {
	return func(v value) {
		var found map[string]toml.Primitive
		if d.isTable(v, "a table") && d.read(v, &found, "a table") {
			d.keys(v.key, found, known)
		}
	}
}

// read decodes a value, or reports that it is not what is wanted.
func (d *decoder) read(v value, to any, want string) bool {
	if err := d.md.PrimitiveDecode(v.prim, to); err != nil {
		d.fail(d.line(v.prim), "%s has to be %s", v.key, want)
		return false
	}
	return true
}

// isTable reports whether a value is a table. The TOML decoder leaves a map as it
// is, without an error, if the value is something else.
func (d *decoder) isTable(v value, want string) bool {
	var is any
	if d.md.PrimitiveDecode(v.prim, &is) == nil {
		if _, ok := is.(map[string]any); ok {
			return true
		}
	}
	d.fail(d.line(v.prim), "%s has to be %s", v.key, want)
	return false
}

// line finds where a value was written. The decoder keeps positions to itself,
// but for its errors: so one is provoked.
func (d *decoder) line(prim toml.Primitive) int {
	var at position
	var parse toml.ParseError
	if errors.As(d.md.PrimitiveDecode(prim, &at), &parse) && parse.Position.Line > 0 {
		return parse.Position.Line
	}
	// A table that exists only through a dotted key is where its first key is.
	var table map[string]toml.Primitive
	first := 0
	if d.md.PrimitiveDecode(prim, &table) == nil {
		for _, inner := range table {
			if n := d.line(inner); n > 0 && (first == 0 || n < first) {
				first = n
			}
		}
	}
	return first
}

type position struct{}

func (*position) UnmarshalTOML(any) error { return errors.New("here") }

// syntax turns an error of the TOML decoder into one of ours.
func (d *decoder) syntax(err error) error {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return &Error{Origin{File: d.name, Line: parse.Position.Line}, parse.Message}
	}
	return &Error{Origin{File: d.name}, strings.TrimPrefix(err.Error(), "toml: ")}
}

// suggestion names the key that was probably meant.
func suggestion(table, name string, known map[string]func(value)) string {
	best, least := "", max(2, len(name)/3)+1
	var all []string
	for key := range known {
		all = append(all, key)
	}
	slices.Sort(all)
	for _, key := range all {
		if n := distance(name, key); n < least {
			best, least = key, n
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %q?", strings.TrimPrefix(table+"."+best, "."))
	}
	return "; known here: " + strings.Join(all, ", ")
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		last := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := last
			if a[i-1] != b[j-1] {
				cost++
			}
			last = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
