package policy

import (
	"math/bits"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A seccomp profile is a set, not a list: libseccomp promises no order among
// the rules of one system call, so rules of different actions must never match
// the same arguments, and "all but these" has to be written out. One rule
// compares each argument at most once. The functions here write rules under
// these restrictions; the tests check with an evaluator of their own that no
// arguments match two actions.
//
// A register has 64 bits, but the kernel reads an int from its lower half. A
// rule that allows may compare all 64 bits, since what it misses is denied. A
// rule that denies must look at the lower half only, or it would be passed by
// setting a bit that the kernel ignores (CVE-2019-10063).

// arg is a condition on one argument.
type arg = specs.LinuxSeccompArg

// masked holds if the bits of argument i that mask selects equal value.
func masked(i uint, mask, value uint64) arg {
	return arg{Index: i, Value: mask, ValueTwo: value, Op: specs.OpMaskedEqual}
}

func equal(i uint, value uint64) arg {
	return arg{Index: i, Value: value, Op: specs.OpEqualTo}
}

func notEqual(i uint, value uint64) arg {
	return arg{Index: i, Value: value, Op: specs.OpNotEqual}
}

func less(i uint, value uint64) arg {
	return arg{Index: i, Value: value, Op: specs.OpLessThan}
}

func greater(i uint, value uint64) arg {
	return arg{Index: i, Value: value, Op: specs.OpGreaterThan}
}

// ruleSet collects the rules of a profile.
type ruleSet struct{ rules []specs.LinuxSyscall }

// allow permits the named calls where every condition holds.
func (r *ruleSet) allow(names []string, args ...arg) {
	r.rules = append(r.rules, specs.LinuxSyscall{Names: names, Action: specs.ActAllow, Args: args})
}

// deny makes the named calls fail with errno where every condition holds.
func (r *ruleSet) deny(errno uint, names []string, args ...arg) {
	r.rules = append(r.rules, specs.LinuxSyscall{Names: names, Action: specs.ActErrno, ErrnoRet: &errno, Args: args})
}

// block is the set of numbers whose bits under mask equal value.
type block struct{ mask, value uint64 }

// outside returns blocks that together hold exactly the numbers of width bits
// that are not in points: it halves the range until a half is free of points.
// The blocks do not overlap.
func outside(points []uint64, width uint) []block {
	return split(points, 0, 0, 1<<width)
}

// split covers what points leave free of the size numbers from base, all of
// whose bits under mask equal those of base.
func split(points []uint64, mask, base, size uint64) []block {
	var in []uint64
	for _, p := range points {
		if p >= base && p-base < size {
			in = append(in, p)
		}
	}
	switch {
	case len(in) == 0:
		return []block{{mask, base}}
	case size == 1:
		return nil
	}
	half := size / 2
	list := split(in, mask|half, base, half)
	return append(list, split(in, mask|half, base+half, half)...)
}

// differs returns a block for each bit of mask, that holds the numbers in which
// this bit is not as in value: together, all numbers that do not equal value
// under mask.
func differs(mask, value uint64) []block {
	var list []block
	for m := mask; m != 0; m &= m - 1 {
		bit := uint64(1) << bits.TrailingZeros64(m)
		list = append(list, block{bit, ^value & bit})
	}
	return list
}
