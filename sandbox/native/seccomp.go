package native

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	seccomp "github.com/seccomp/libseccomp-golang"
)

var archs = map[specs.Arch]seccomp.ScmpArch{
	specs.ArchX86_64:  seccomp.ArchAMD64,
	specs.ArchAARCH64: seccomp.ArchARM64,
	specs.ArchRISCV64: seccomp.ArchRISCV64,
	specs.ArchPPC64LE: seccomp.ArchPPC64LE,
	specs.ArchS390X:   seccomp.ArchS390X,
}

var operators = map[specs.LinuxSeccompOperator]seccomp.ScmpCompareOp{
	specs.OpNotEqual: seccomp.CompareNotEqual, specs.OpLessThan: seccomp.CompareLess, specs.OpLessEqual: seccomp.CompareLessOrEqual,
	specs.OpEqualTo: seccomp.CompareEqual, specs.OpGreaterEqual: seccomp.CompareGreaterEqual,
	specs.OpGreaterThan: seccomp.CompareGreater, specs.OpMaskedEqual: seccomp.CompareMaskedEqual,
}

// compileSeccomp makes the filter's program with libseccomp. A system call that
// this libseccomp does not know keeps the default action.
func compileSeccomp(s *specs.LinuxSeccomp) ([]byte, error) {
	if len(s.Flags) > 0 || s.ListenerPath != "" || len(s.Architectures) != 1 {
		return nil, errors.New("seccomp: flags, listeners and foreign architectures are not for a native box")
	}
	arch, ok := archs[s.Architectures[0]]
	if native, err := seccomp.GetNativeArch(); !ok || err != nil || native != arch {
		return nil, fmt.Errorf("seccomp: architecture %s is not this machine's", s.Architectures[0])
	}
	def, err := seccompAction(s.DefaultAction, s.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	filter, err := seccomp.NewFilter(def)
	if err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	defer filter.Release()
	// A call through another ABI (int 0x80, x32) would be judged by the wrong
	// numbers, and nothing legitimate makes one.
	if err := filter.SetBadArchAction(seccomp.ActKillProcess); err != nil {
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	if err := filter.SetOptimize(2); err != nil { // a binary tree, not a list
		return nil, fmt.Errorf("seccomp: %w", err)
	}
	for _, call := range s.Syscalls {
		if err := addRules(filter, call, def); err != nil {
			return nil, err
		}
	}
	return export(filter)
}

func addRules(filter *seccomp.ScmpFilter, call specs.LinuxSyscall, def seccomp.ScmpAction) error {
	action, err := seccompAction(call.Action, call.ErrnoRet)
	if err != nil {
		return err
	}
	if action == def {
		return nil // libseccomp refuses what changes nothing
	}
	var conds []seccomp.ScmpCondition
	for _, a := range call.Args {
		op, ok := operators[a.Op]
		if !ok {
			return fmt.Errorf("seccomp: operator %s is not known", a.Op)
		}
		values := []uint64{a.Value}
		if a.Op == specs.OpMaskedEqual {
			values = []uint64{a.Value, a.ValueTwo}
		}
		cond, err := seccomp.MakeCondition(a.Index, op, values...)
		if err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
		conds = append(conds, cond)
	}
	for _, name := range call.Names {
		nr, err := seccomp.GetSyscallFromName(name)
		if err != nil || nr < 0 {
			continue // not in this libseccomp, or not on this architecture
		}
		if len(conds) == 0 {
			err = filter.AddRuleExact(nr, action)
		} else {
			err = filter.AddRuleConditionalExact(nr, action, conds)
		}
		if err != nil {
			return fmt.Errorf("seccomp: rule for %s: %w", name, err)
		}
	}
	return nil
}

func seccompAction(a specs.LinuxSeccompAction, errno *uint) (seccomp.ScmpAction, error) {
	switch a {
	case specs.ActAllow:
		return seccomp.ActAllow, nil
	case specs.ActKillProcess:
		return seccomp.ActKillProcess, nil
	case specs.ActErrno:
		code := uint(1) // EPERM, the runtime-spec's default
		if errno != nil {
			code = *errno
		}
		return seccomp.ActErrno.SetReturnCode(int16(code)), nil
	}
	return seccomp.ActInvalid, fmt.Errorf("seccomp: action %s is not for a native box", a)
}

func export(filter *seccomp.ScmpFilter) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// A program has at most 4096 instructions of 8 bytes, half of what a pipe
	// holds: nobody needs to read meanwhile.
	err = filter.ExportBPF(w)
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("seccomp: export: %w", err)
	}
	return io.ReadAll(r)
}
