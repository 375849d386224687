package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/program"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// The bounds of an installation. They are far from what servers are known to
// take: 412 MB, and a minute and a half.
const (
	installTime   = 20 * time.Minute
	installBytes  = 4 << 30  // of files, in the store
	installEgress = 2 << 30  // over the network
	installOutput = 64 << 10 // of what it says
)

// boxed is a command that runs in a box of its own while a package is being
// installed. It sees the system, its own program, the directory that it works
// in, and its files.
type boxed struct {
	host    policy.Host
	dirs    dirs.Dirs
	argv    []string
	dir     string            // the working directory, and what is writable
	read    []string          // what else it sees, by path
	files   map[string]string // content of files, by path in the box
	env     map[string]string
	network policy.Network
	limit   int64 // bytes below dir
	output  int   // how much of its stdout is kept; 0 is installOutput
	report  func(netfilter.Event)
	// progress is told now and then how many bytes there are.
	progress func(int64)
}

// boxedHost is the machine as a boxed command may have it. The directory that it
// writes to lies in the package store, which no policy of a server can open.
type boxedHost struct {
	policy.Host
	cwd string
}

func (h boxedHost) Facts() policy.Facts {
	f := h.Host.Facts()
	f.Cwd, f.Cache = h.cwd, ""
	return f
}

// boxedEnd is how a boxed command has ended.
type boxedEnd struct {
	exit        sandbox.Exit
	out, errOut string
	refused     []netfilter.Event // connections, each destination once
}

// run runs the command to its end. Cancelling ctx kills it.
func (b *boxed) run(ctx context.Context) (*boxedEnd, error) {
	facts := b.host.Facts()
	prog, err := program.Find(program.Query{Argv: b.argv, Env: os.Getenv, Cwd: facts.Cwd, Home: facts.Home, Own: b.dirs.All()})
	if err != nil {
		return nil, err
	}
	spec, report, err := policy.Spec(b.policy(), prog, boxedHost{b.host, b.dir})
	if err != nil {
		return nil, err
	}
	for at, content := range b.files {
		spec.Mounts = append(spec.Mounts, specs.Mount{Type: "file", Destination: at, Source: content})
	}
	umask := uint32(0o022)
	spec.Process.User.Umask = &umask

	o := &boxedEnd{}
	var mu sync.Mutex
	filter := netfilter.New(netfilter.Config{Network: b.network, Bytes: report.Limits.Egress, Report: func(e netfilter.Event) {
		mu.Lock()
		defer mu.Unlock()
		b.report(e)
		if e.Kind == netfilter.Refused && e.Allow != "" && len(o.refused) < trafficSaid &&
			!slices.ContainsFunc(o.refused, func(r netfilter.Event) bool { return r.Allow == e.Allow }) {
			o.refused = append(o.refused, e)
		}
	}})
	defer filter.Close()
	backend := &native.Backend{CacheDir: filepath.Join(b.dirs.Cache, "filters")}
	box, err := backend.Start(ctx, spec, network(&policy.Policy{Network: b.network}, filter))
	if err != nil {
		return nil, err
	}
	defer box.Kill()
	box.Stdin().Close()
	var reading sync.WaitGroup
	reading.Go(func() { o.out = readBounded(box.Stdout(), max(b.output, installOutput)) })
	reading.Go(func() { o.errOut = readBounded(box.Stderr(), installOutput) })

	watched, stop := context.WithCancel(ctx)
	killed := make(chan error, 1)
	go func() { killed <- b.watch(watched, box) }()
	o.exit, err = box.Wait()
	stop()
	why := <-killed
	reading.Wait()
	filter.Close()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if why != nil {
		return nil, why
	}
	mu.Lock()
	defer mu.Unlock()
	return o, err
}

func (b *boxed) policy() *policy.Policy {
	p := &policy.Policy{Network: b.network, Limits: policy.Limits{Pids: 1024, OpenFiles: 16384, Tmp: 1 << 30, Egress: installEgress}}
	p.Files.Write = []policy.Path{{Text: b.dir}}
	for _, path := range b.read {
		p.Files.Read = append(p.Files.Read, policy.Path{Text: path})
	}
	p.Env.Set = b.env
	return p
}

// watch kills the box when the context ends, or what it has written is too much,
// and says why in the second case.
func (b *boxed) watch(ctx context.Context, box sandbox.Box) error {
	pause := 250 * time.Millisecond
	for {
		select {
		case <-ctx.Done():
			box.Kill()
			return nil
		case <-time.After(pause):
		}
		began := time.Now()
		n := packages.Size(b.dir)
		if n > b.limit {
			box.Kill()
			return &packages.TooLargeError{Limit: b.limit}
		}
		b.progress(n)
		// Looking takes at most a tenth of one processor.
		pause = max(pause, 10*time.Since(began))
	}
}

// readBounded reads to the end and returns the last of it.
func readBounded(r io.Reader, limit int) string {
	var kept bytes.Buffer
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		kept.Write(buf[:n])
		if over := kept.Len() - limit; over > 0 {
			kept.Next(over)
		}
		if err != nil {
			return kept.String()
		}
	}
}

// fileNames puts files into a directory of a box.
func fileNames(dir string, files map[string]string) map[string]string {
	all := map[string]string{}
	for name, content := range files {
		all[filepath.Join(dir, name)] = content
	}
	return all
}

// failed says how a command failed that ended with a code or a signal.
func (o *boxedEnd) failed() string {
	if o.exit.Signal != 0 {
		return "was ended by signal " + o.exit.Signal.String()
	}
	return fmt.Sprintf("failed with code %d", o.exit.Code)
}
