package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/program"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/profiles"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

// invocation is what the flags of run and explain say.
type invocation struct {
	verb                      string // "run" or "explain"
	name, profile, policyFile string
	ro, rw, env, egress       []string
	memory                    string
	cpus                      float64
	staged                    bool
	pids                      int64
	raw                       bool // of run only
	callTimeout               time.Duration
	given                     func(flag string) bool
	argv                      []string
	backend, image, runtime   string
	installed                 *provided // if the command is a package runner's
	runs                      bool      // rather than explains

	// What choose settles.
	host   *boxHost
	dirs   dirs.Dirs
	said   *policy.Policy // file and flags, without a profile
	engine engine

	read *policy.Policy // the file, once it was read
	of   string         // the path that it was read from
}

func (inv *invocation) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	inv.given = f.Changed
	f.SetInterspersed(false) // what follows the command belongs to the command
	f.StringVar(&inv.name, "name", "", "identity of the server: policy and journal (default: from the command)")
	f.StringVar(&inv.profile, "profile", "", "profile to start from (default: chosen by the command)")
	f.StringVar(&inv.policyFile, "policy", "", "policy file (default: servers/NAME.toml, if there)")
	f.StringArrayVar(&inv.ro, "ro", nil, "show a directory or file, read-only; repeatable")
	f.StringArrayVar(&inv.rw, "rw", nil, "show a directory or file, writable; repeatable")
	f.BoolVar(&inv.staged, "staged", false, "keep changes to writable directories apart until you apply them (mcpbox changes)")
	f.StringArrayVar(&inv.egress, "egress", nil, "allow connections to HOST:PORT, *.SUFFIX:PORT, ADDRESS:PORT or CIDR:PORT; repeatable")
	f.StringArrayVar(&inv.env, "env", nil, "pass variable NAME, or set NAME=VALUE; repeatable")
	f.StringVar(&inv.memory, "memory", "", "most memory of all processes, a `SIZE` such as 512MiB (default "+policy.FormatSize(policy.DefaultMemory)+", at most half of the machine's)")
	f.Float64Var(&inv.cpus, "cpus", 0, "most processor time, as `N` processors such as 1.5 (default three quarters of them)")
	f.Int64Var(&inv.pids, "pids", 0, fmt.Sprintf("most processes and threads, `N` (default %d)", policy.DefaultPids))
	f.StringVar(&inv.backend, "backend", "", `what makes the box: "native", of the host's programs, or "containerd", of an image (default native)`)
	f.StringVar(&inv.image, "image", "", "OCI image to run, a `REF` such as example.com/server:1.0; with --backend containerd")
	f.StringVar(&inv.runtime, "runtime", "", `what containerd runs it with: "runc", or "runsc" for gVisor (default runc)`)
	f.DurationVar(&inv.callTimeout, "call-timeout", 0, fmt.Sprintf("how long a request may wait for its answer (default %s)", policy.FormatDuration(policy.DefaultCallTimeout)))
	cmd.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(profiles.Names(), cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions([]string{string(policy.BackendNative), string(policy.BackendContainerd)}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("runtime", cobra.FixedCompletions([]string{string(policy.RuntimeRunc), string(policy.RuntimeRunsc)}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("image", completeImages)
	cmd.MarkFlagFilename("policy", "toml")
	cmd.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("env", cobra.NoFileCompletions)
	cmd.RegisterFlagCompletionFunc("egress", cobra.NoFileCompletions)
}

// prepared is an invocation worked out to the specification of a box.
type prepared struct {
	name   string
	dirs   dirs.Dirs
	host   policy.Host
	policy *policy.Policy
	spec   *specs.Spec
	report *policy.Report
	// installed is what the server was installed from, if by mcpbox.
	installed *provided
	// undeclared are files of the host that the command line names and the
	// box does not have.
	undeclared []string
	// hints are lines about what the server is likely to miss.
	hints []string
	// args are those of the program, as it gets them.
	args []string
}

// prepare goes from argv over profile and policy to the specification. It
// reads, and changes nothing, but for a home that lasts, of a server that runs.
func (inv *invocation) prepare() (*prepared, error) {
	if err := inv.choose(); err != nil {
		return nil, err
	}
	return within(prepareTimeout, inv.host, func() (*prepared, error) { return inv.resolve(inv.host, inv.dirs) })
}

func (inv *invocation) resolve(host *boxHost, own dirs.Dirs) (*prepared, error) {
	p := &prepared{host: host, dirs: own, name: inv.name}
	file, err := inv.readFile(host, own, p.name)
	if err != nil {
		return nil, err
	}
	flags, err := inv.flags()
	if err != nil {
		return nil, err
	}
	prog, err := inv.engine.program(inv, p, file, flags)
	if err != nil {
		return nil, err
	}
	if p.policy, err = inv.policy(file, flags, prog, host.Facts()); err != nil {
		return nil, err
	}
	if p.policy.HomeMode() == policy.HomePersistent {
		p.policy.HomeDir = homeDir(p.dirs, p.name)
		if inv.runs {
			if err := makeHome(p.dirs, p.name); err != nil {
				return nil, err
			}
		}
	}
	if p.spec, p.report, err = policy.Spec(p.policy, prog, p.host); err != nil {
		return nil, err
	}
	if inv.runs && p.report.HomeDir != "" {
		if err := furnishHome(p.spec, p.report.Home, p.report.HomeDir); err != nil {
			return nil, err
		}
	}
	umask := currentUmask()
	p.spec.Process.User.Umask = &umask
	p.undeclared = undeclared(p.args, host.Facts(), p.spec)
	p.hints = hints(p.args, p)
	return p, nil
}

// policy puts profile, file and flags together, in this order.
func (inv *invocation) policy(file, flags *policy.Policy, prog policy.Program, f policy.Facts) (*policy.Policy, error) {
	profile, why := inv.profile, "named by --profile"
	if profile == "" && file != nil && file.Profile != "" {
		profile, why = file.Profile, "named by "+file.Sources[0]
	}
	if profile == "" {
		exec, argv := prog.Exec, prog.Argv
		if prog.Image != nil {
			if len(argv) == 0 {
				argv = slices.Concat(prog.Image.Entrypoint, prog.Image.Cmd)
			}
			exec = first(argv)
		}
		if profile, why = profiles.For(exec, argv); inv.installed != nil {
			profile, why = inv.installed.profile()
		}
	}
	base, err := loadProfile(profile, f)
	if err != nil {
		return nil, err
	}
	all := policy.Extend(policy.Extend(base, file), flags)
	all.Profile, all.Why = profile, why
	return all, nil
}

func first(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	return argv[0]
}

// readFile reads, once, the policy file that is named, or that the server's name
// has.
func (inv *invocation) readFile(h policy.Host, own dirs.Dirs, name string) (p *policy.Policy, err error) {
	file := inv.policyFile
	if file == "" {
		if name == "" {
			return nil, nil
		}
		file = filepath.Join(own.Config, "servers", name+".toml")
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
	}
	if file == inv.of {
		return inv.read, nil
	}
	if p, err = loadPolicy(h, file); err == nil {
		inv.read, inv.of = p, file
	}
	return p, err
}

func loadPolicy(h policy.Host, file string) (*policy.Policy, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if err := policy.CheckFile(h, file); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return policy.Parse(file, data)
}

// loadProfile reads a profile and those that it extends, for a machine.
func loadProfile(name string, f policy.Facts) (*policy.Policy, error) {
	var all *policy.Policy
	for seen := []string{}; name != ""; {
		if slices.Contains(seen, name) {
			return nil, fmt.Errorf("profile %s extends itself", name)
		}
		seen = append(seen, name)
		data, err := profiles.Source(name)
		if err != nil {
			return nil, err
		}
		one, err := policy.Parse("profile "+name, data)
		if err != nil {
			return nil, err
		}
		name = one.Profile
		one.Limits = one.Limits.OfProfile(f)
		all = policy.Extend(one, all)
	}
	return all, nil
}

// flags are a policy, too.
func (inv *invocation) flags() (*policy.Policy, error) {
	p := &policy.Policy{}
	paths := func(list []string, flag string) (out []policy.Path) {
		for _, text := range list {
			out = append(out, policy.Path{Text: text, Origin: policy.Origin{Flag: flag}})
		}
		return out
	}
	p.Files.Read = paths(inv.ro, "--ro")
	p.Files.Write = paths(inv.rw, "--rw")
	if inv.given("staged") {
		p.Files.Staged = &inv.staged
	}
	p.Backend = policy.Said[policy.BackendName]{Value: policy.BackendName(inv.backend), Origin: policy.Origin{Flag: "--backend"}}
	p.Image = policy.Said[string]{Value: inv.image, Origin: policy.Origin{Flag: "--image"}}
	p.Runtime = policy.Said[policy.RuntimeName]{Value: policy.RuntimeName(inv.runtime), Origin: policy.Origin{Flag: "--runtime"}}
	for _, text := range inv.egress {
		rule, err := policy.ParseRule(text, policy.Origin{Flag: "--egress"})
		if err != nil {
			return nil, err
		}
		p.Network.Allow = append(p.Network.Allow, rule)
	}
	for _, e := range inv.env {
		name, value, set := strings.Cut(e, "=")
		if name == "" {
			return nil, fmt.Errorf("--env %q has no name; type: --env NAME or --env NAME=VALUE", e)
		}
		if !set {
			p.Env.Pass = append(p.Env.Pass, name)
			continue
		}
		if p.Env.Set == nil {
			p.Env.Set = map[string]string{}
		}
		p.Env.Set[name] = value
	}
	var err error
	if inv.given("call-timeout") {
		if err := policy.CheckCallTimeout(inv.callTimeout); err != nil {
			return nil, fmt.Errorf("--call-timeout %v: %w", inv.callTimeout, err)
		}
		p.Runaway.CallTimeout = inv.callTimeout
	}
	p.Limits, err = inv.limits()
	return p, err
}

func (inv *invocation) limits() (policy.Limits, error) {
	l := policy.Limits{CPUs: inv.cpus, Pids: inv.pids}
	if inv.given("memory") {
		var ok bool
		if l.Memory, ok = policy.ParseSize(inv.memory); !ok {
			return l, fmt.Errorf("--memory %q is no size; type for example: --memory 512MiB", inv.memory)
		}
		if !policy.ValidMemory(l.Memory) {
			return l, fmt.Errorf("--memory %s: a server needs 32MiB at least; type for example: --memory 512MiB", inv.memory)
		}
	}
	if inv.given("cpus") && !policy.ValidCPUs(inv.cpus) {
		return l, fmt.Errorf("--cpus %g: a server needs 0.01 at least; type for example: --cpus 1.5", inv.cpus)
	}
	if inv.given("pids") && inv.pids < 1 {
		return l, fmt.Errorf("--pids %d: a server needs at least 1", inv.pids)
	}
	return l, nil
}

func programError(err error) error {
	var missing *program.NotFoundError
	var useless *program.NotExecutableError
	switch {
	case errors.As(err, &missing):
		return &codedError{exitNotFound, err}
	case errors.As(err, &useless):
		return &codedError{exitNotRunnable, err}
	case errors.As(err, new(*codedError)):
		return err
	}
	return &codedError{exitFailure, err}
}
