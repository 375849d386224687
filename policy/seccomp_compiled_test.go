//go:build cgo && amd64

package policy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	lib "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// TestSeccompCompiled compares what libseccomp makes of the rules with what
// they say, for arguments drawn from around the values that they compare with.
func TestSeccompCompiled(t *testing.T) {
	for _, m := range modes {
		t.Run(string(m), func(t *testing.T) {
			s := mustSeccomp(t, m, "amd64")
			prog := compile(t, s)
			r := rand.New(rand.NewPCG(5, 6))
			names := map[string]bool{"openat2": true, "clone3": true, "io_uring_setup": true}
			for _, rule := range s.Syscalls {
				for _, name := range rule.Names {
					names[name] = true
				}
			}
			for name := range names {
				nr, err := lib.GetSyscallFromName(name)
				if err != nil || nr < 0 {
					continue // of another architecture, or newer than this libseccomp
				}
				for range 500 {
					args := interesting(r, s, name)
					if got, want := prog.run(t, uint32(nr), args), evaluate(s, name, args)[0]; got != want {
						t.Fatalf("%s(%#x) = %v, want %v", name, args, got, want)
					}
				}
			}
		})
	}
}

// bpf is a classic BPF program as the kernel runs it on struct seccomp_data.
type bpf []unix.SockFilter

func compile(t *testing.T, s *specs.LinuxSeccomp) bpf {
	t.Helper()
	errno := func(n *uint) lib.ScmpAction { return lib.ActErrno.SetReturnCode(int16(*n)) }
	filter, err := lib.NewFilter(errno(s.DefaultErrnoRet))
	if err != nil {
		t.Fatal(err)
	}
	defer filter.Release()
	ops := map[specs.LinuxSeccompOperator]lib.ScmpCompareOp{
		specs.OpEqualTo: lib.CompareEqual, specs.OpNotEqual: lib.CompareNotEqual,
		specs.OpGreaterThan: lib.CompareGreater, specs.OpLessThan: lib.CompareLess, specs.OpMaskedEqual: lib.CompareMaskedEqual,
	}
	for _, rule := range s.Syscalls {
		action := lib.ActAllow
		if rule.Action == specs.ActErrno {
			action = errno(rule.ErrnoRet)
		}
		var conds []lib.ScmpCondition
		for _, a := range rule.Args {
			values := []uint64{a.Value}
			if a.Op == specs.OpMaskedEqual {
				values = append(values, a.ValueTwo)
			}
			c, err := lib.MakeCondition(a.Index, ops[a.Op], values...)
			if err != nil {
				t.Fatal(err)
			}
			conds = append(conds, c)
		}
		for _, name := range rule.Names {
			nr, err := lib.GetSyscallFromName(name)
			if err != nil {
				continue
			}
			if len(conds) == 0 {
				err = filter.AddRule(nr, action)
			} else {
				err = filter.AddRuleConditional(nr, action, conds)
			}
			if err != nil {
				t.Fatalf("%s %v: %v", name, rule.Args, err)
			}
		}
	}
	out, err := os.OpenFile(t.TempDir()+"/bpf", os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := filter.ExportBPF(out); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	prog := make(bpf, len(data)/8)
	if _, err := binary.Decode(data, binary.LittleEndian, prog); err != nil {
		t.Fatal(err)
	}
	return prog
}

func (prog bpf) run(t *testing.T, nr uint32, args [6]uint64) verdict {
	var data [64]byte // number, architecture, instruction pointer, arguments
	binary.LittleEndian.PutUint32(data[0:], nr)
	binary.LittleEndian.PutUint32(data[4:], unix.AUDIT_ARCH_X86_64)
	for i, a := range args {
		binary.LittleEndian.PutUint64(data[16+8*i:], a)
	}
	var acc uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		jump := func(cond bool) {
			if cond {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			acc = binary.LittleEndian.Uint32(data[in.K:])
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= in.K
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == in.K)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(acc > in.K)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= in.K)
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
		case unix.BPF_RET | unix.BPF_K:
			switch in.K & unix.SECCOMP_RET_ACTION_FULL {
			case unix.SECCOMP_RET_ALLOW:
				return 0
			case unix.SECCOMP_RET_ERRNO:
				return verdict(in.K & unix.SECCOMP_RET_DATA)
			}
			t.Fatalf("returns %#x", in.K)
		default:
			t.Fatalf("instruction %#x", in.Code)
		}
	}
	panic(fmt.Sprint("the program has no end for call ", nr))
}
