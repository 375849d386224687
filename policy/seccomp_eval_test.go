package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// verdict is what a filter answers: 0 to allow, else an errno.
type verdict uint

func (v verdict) String() string {
	if v == 0 {
		return "allow"
	}
	return unix.ErrnoName(unix.Errno(v))
}

// evaluate applies a rule list as the OCI specification describes it, and
// reports every verdict that some matching rule gives.
func evaluate(s *specs.LinuxSeccomp, name string, args [6]uint64) []verdict {
	var list []verdict
	for _, rule := range s.Syscalls {
		if !slices.Contains(rule.Names, name) || !matches(rule.Args, args) {
			continue
		}
		v := verdict(0)
		if rule.Action == specs.ActErrno {
			v = verdict(*rule.ErrnoRet)
		} else if rule.Action != specs.ActAllow {
			panic("action " + rule.Action)
		}
		if !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	if len(list) == 0 {
		list = append(list, verdict(*s.DefaultErrnoRet))
	}
	return list
}

func matches(conds []specs.LinuxSeccompArg, args [6]uint64) bool {
	for _, c := range conds {
		a := args[c.Index]
		var ok bool
		switch c.Op {
		case specs.OpEqualTo:
			ok = a == c.Value
		case specs.OpNotEqual:
			ok = a != c.Value
		case specs.OpLessThan:
			ok = a < c.Value
		case specs.OpGreaterThan:
			ok = a > c.Value
		case specs.OpMaskedEqual:
			ok = a&c.Value == c.ValueTwo
		default:
			panic("operator " + c.Op)
		}
		if !ok {
			return false
		}
	}
	return true
}

// modes are all the socket modes.
var modes = []SocketMode{SocketsNone, SocketsPrivate, SocketsHost}

func mustSeccomp(t testing.TB, m SocketMode, goarch string) *specs.LinuxSeccomp {
	t.Helper()
	s, err := Seccomp(m, goarch)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// interesting draws arguments near the values that rules compare with.
func interesting(r *rand.Rand, s *specs.LinuxSeccomp, name string) [6]uint64 {
	values := [6][]uint64{}
	for _, rule := range s.Syscalls {
		if slices.Contains(rule.Names, name) {
			for _, c := range rule.Args {
				values[c.Index] = append(values[c.Index], c.Value, c.ValueTwo)
			}
		}
	}
	var args [6]uint64
	for i := range args {
		switch n := r.IntN(8); {
		case n == 0:
			args[i] = r.Uint64()
		case n == 1:
			args[i] = r.Uint64N(64)
		case n == 2:
			args[i] = r.Uint64N(1 << 32)
		case len(values[i]) > 0:
			args[i] = values[i][r.IntN(len(values[i]))]
			if n > 4 {
				args[i] |= values[i][r.IntN(len(values[i]))]
			}
		}
		switch r.IntN(6) {
		case 0:
			args[i] ^= 1 << r.IntN(64)
		case 1:
			args[i] += 1 << 32
		case 2:
			args[i] += r.Uint64N(5) - 2
		}
	}
	return args
}

// TestSeccompDisjoint checks what libseccomp wants: no arguments match rules of
// two actions, no rule without conditions swallows others, no rule compares an
// argument twice, and none repeats the default.
func TestSeccompDisjoint(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, m := range modes {
			t.Run(fmt.Sprint(goarch, "/", m), func(t *testing.T) {
				s := mustSeccomp(t, m, goarch)
				plain, ruled := map[string]int{}, map[string]int{}
				for _, rule := range s.Syscalls {
					if rule.Action == specs.ActErrno && *rule.ErrnoRet == *s.DefaultErrnoRet {
						t.Errorf("%v: repeats the default action", rule.Names)
					}
					var seen []uint
					for _, a := range rule.Args {
						if slices.Contains(seen, a.Index) {
							t.Errorf("%v: compares argument %d twice", rule.Names, a.Index)
						}
						seen = append(seen, a.Index)
						if a.Op == specs.OpMaskedEqual && a.ValueTwo&^a.Value != 0 {
							t.Errorf("%v: argument %d can never equal %#x under %#x", rule.Names, a.Index, a.ValueTwo, a.Value)
						}
					}
					for _, name := range rule.Names {
						if len(rule.Args) == 0 {
							plain[name]++
						} else {
							ruled[name]++
						}
					}
				}
				for name, n := range plain {
					if n > 1 || ruled[name] > 0 {
						t.Errorf("%s: has a rule without conditions among others", name)
					}
				}
				r := rand.New(rand.NewPCG(1, 2))
				for name := range ruled {
					for range 4000 {
						args := interesting(r, s, name)
						if v := evaluate(s, name, args); len(v) > 1 {
							t.Fatalf("%s(%#x) has verdicts %v", name, args, v)
						}
					}
				}
			})
		}
	}
}
