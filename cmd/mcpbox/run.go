package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/changes"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/disk"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/spf13/cobra"
)

func runCommand(c console) *cobra.Command {
	inv := &invocation{verb: "run"}
	cmd := &cobra.Command{
		Use:   "run [flags] [--] [COMMAND [ARG...]]",
		Short: "Run a server in a box",
		Long: `Run starts COMMAND in a box and relays its standard streams. It belongs into the
"command" of an entry in your host's mcpServers.

The box shows the system's programs, the program itself, and what you declare.
Everything else of your files, your environment and the network is not there.
Home and /tmp are empty, writable, and gone afterwards. What the server tries to
reach and no --egress allows is refused, said on stderr, and recorded.

Messages pass as they are, byte for byte, but only messages pass: what the Model
Context Protocol does not allow is kept back, answered, and recorded.

Where COMMAND is npx, npm exec, bunx, pnpm dlx, yarn dlx, uvx, uv tool run, uv run
--with, pipx run or go run PACKAGE@VERSION, the package is installed the first time,
and exactly that is run from then on, without the registry; see mcpbox add and mcpbox
packages.

With --backend containerd it runs an OCI image in the place of the host's programs,
by the same policy. What the image's reference means is settled at the first start;
see mcpbox image. Without COMMAND it is the image's own.

Exit status: the server's own; 128 plus the number of the signal that ended it;
127 if there is no such program, 126 if it cannot be executed, 125 if mcpbox
itself failed or the policy cannot be enforced.`,
		Example: `  mcpbox run --name fs --rw ~/projects/x -- npx -y @modelcontextprotocol/server-filesystem ~/projects/x
  mcpbox run --egress api.github.com:443 --env GITHUB_TOKEN -- github-mcp-server stdio
  mcpbox run --ro ~/notes --env API_KEY -- python3 ~/mcp/notes.py
  mcpbox run --policy notes.toml -- notes-server
  mcpbox run --name fs --backend containerd --image example.com/fs:1.0 --rw ~/projects/x`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			inv.argv = args
			return run(inv, c)
		},
	}
	inv.addFlags(cmd)
	cmd.Flags().BoolVar(&inv.raw, "raw", false, "the command is no MCP server, but a shell for example: pass every byte")
	return cmd
}

// run is the pipeline: argv, profile, policy, spec, box, relay, exit code.
func run(inv *invocation, c console) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	// A host that is gone shows as an error of write, which ends the run in
	// good order.
	signal.Ignore(syscall.SIGPIPE)

	if err := inv.choose(); err != nil {
		return err
	}
	backend := inv.engine
	defer backend.close()
	if err := backend.provide(inv, c, signals); err != nil {
		return err
	}
	started := time.Now()
	inv.runs = true
	backend.ready()
	p, err := inv.prepare()
	if err != nil {
		return err
	}
	if err := quarantine.Refuse(p.dirs.State, p.name); err != nil {
		return err
	}
	for _, note := range p.report.Warnings() {
		c.say("%s: %s", p.name, note)
	}

	// Before anything untrusted exists; what cannot be recorded does not run.
	j, err := journal.Open(journal.Config{State: p.dirs.State, Name: p.name, Policy: p.policy.Journal, Secrets: secretsOf(p)})
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer j.Close()

	notStarted := func(err error) {
		j.Event(journal.Event{Kind: journal.NotStarted, Detail: err.Error()})
	}

	if err := restarts(p, j, c); err != nil {
		notStarted(err)
		return err
	}
	own, err := runs.Create(p.dirs.Runtime, j.ID())
	if err != nil {
		return err
	}
	defer own.Remove(reapRun)

	watch, err := newWatch(covers(p.report))
	if err != nil {
		return err
	}
	defer watch.close()

	disks, err := disk.New(p.report.OnDisk(), p.report.Limits.Disk)
	if err != nil {
		notStarted(err)
		return err
	}
	staging, err := changes.Prepare(p.dirs.State, p.report.StagedRoots, p.report.Limits.Staged)
	if err != nil {
		notStarted(err)
		return err
	}
	defer staging.Close()

	// It may call before the run has its first record, and waits for it.
	traffic := newTraffic(j, c, p.name)
	filter := netfilter.New(netfilter.Config{
		Network: p.policy.Network, Bytes: p.report.Limits.Egress, Report: traffic.report,
	})
	recording := sync.OnceFunc(traffic.release)
	defer filter.Close()
	defer recording()

	ctx, cancel := context.WithCancelCause(context.Background())
	stop := cancelOn(signals, cancel)
	backend.begin(j.ID(), own.Path())
	box, err := backend.Start(ctx, p.spec, network(p.policy, filter))
	stop()
	if err == nil && ctx.Err() != nil { // by a signal that came when the box was just there
		err = context.Cause(ctx)
		box.Kill()
		box.Wait()
	}
	if err != nil {
		notStarted(err)
		return startError(err, p)
	}
	defer box.Kill()

	layers := append(box.Layers(), egressLayer(p.policy, filter), relayLayer(inv.raw))
	record := startRecord(p, inv, box, layers)
	if err := j.Start(record); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	recording()
	live := &live{box: box, filter: filter, traffic: traffic, journal: j, kill: make(chan struct{}), gone: make(chan struct{}),
		explain: func() *policy.Explanation { return policy.Explain(p.policy, p.spec, p.report) }}
	if err := live.begin(own, record, layers, started); err != nil {
		notStarted(err)
		return err
	}
	defer live.close()
	// Whoever puts it in quarantine kills the runs that are listed by then. This
	// one is listed now.
	if quarantine.Check(p.dirs.State, p.name) != nil {
		live.do(control.Kill, os.Getpid())
	}
	lost := make(chan cover)
	go watch.run(lost)
	growth := newGrowth(disks, live, p.report.Limits.Disk)
	go growth.watch()
	s := &session{box: box, over: growth.over, console: c, journal: j, name: p.name, state: p.dirs.State, signals: signals, lost: lost, kill: live.kill,
		maxLine: p.report.Limits.Message, full: p.report.Journal.Full, raw: inv.raw, live: live, rules: p.report.Runaway, said: map[string]bool{}}
	// Users who never look have their directory swept, too.
	stopSettling := settle(func() {
		runs.Sweep(p.dirs.Runtime, reapRun)
		native.Sweep()
		if p.installed != nil {
			p.installed.store.Sweep()
		}
	})
	end := s.relay()
	stopSettling()
	live.end()
	if end.exit.Exceeded == nil && len(end.exit.Stuck) == 0 {
		end.late = growth.end(signals)
	}
	filter.Close()
	s.unheard = traffic.end()
	s.keepChanges(staging, p)
	s.conclude(end, p, started)
	if code := end.code(); code != 0 {
		return &codedError{code: code}
	}
	return nil
}

// cancelOn cancels the start of a box on the first signal, until stop.
func cancelOn(signals <-chan os.Signal, cancel context.CancelCauseFunc) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case sig := <-signals:
			cancel(&codedError{exitSignalBase + int(sig.(syscall.Signal)), errors.New(sig.String())})
		case <-done:
		}
	}()
	return func() {
		close(done)
		<-ended // it takes no signal any more
	}
}

// startError gives the error of a start its exit code.
func startError(err error, p *prepared) error {
	var exec *sandbox.ExecError
	if !errors.As(err, &exec) {
		return err
	}
	code := exitNotRunnable
	if exec.NotFound() {
		code = exitNotFound
		err = fmt.Errorf("%w: it, or the interpreter that it names, is not in the box; to see what is, type: mcpbox explain", err)
	}
	return &codedError{code, err}
}

func startRecord(p *prepared, inv *invocation, box sandbox.Box, layers []sandbox.Layer) journal.Start {
	argv := inv.argv
	if len(argv) == 0 { // the image's own
		argv = p.spec.Process.Args
	}
	return journal.Start{
		Package: inv.engine.what(),
		Name:    p.name,
		Argv:    argv,
		Policy:  digest(p.policy),
		Profile: p.policy.Profile,
		Backend: backendOf(p.policy),
		PID:     os.Getpid(),
		BoxPID:  box.PID(),
		Version: version,
		Tier:    string(box.Tier()),
		Layers:  layers,
	}
}

// backendOf is the backend in the journal's words: "native", or "containerd" with
// its runtime, such as "containerd/runc".
func backendOf(p *policy.Policy) string {
	name := string(p.BackendName())
	if p.BackendName() == policy.BackendContainerd {
		name += "/" + string(p.RuntimeName())
	}
	return name
}

// digest identifies the policy in force. It covers values of the environment
// that the policy sets, and reveals none.
func digest(p *policy.Policy) string {
	data, err := json.Marshal(p)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
