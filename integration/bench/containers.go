package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
)

// containers times servers of one image from their start to their answer to
// initialize: by ctr, containerd's own command line, with what a container has
// without being asked, and by mcpbox. Both speak to a containerd that ends with the
// benchmark. The removal of what has run is not timed.
func (b *bench) containers() error {
	for _, program := range []string{"containerd", "runc", "ctr"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "bench: without containers: %s is not installed\n", program)
			return nil
		}
	}
	daemon, err := ctr.Open()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: without containers: %v\n", err)
		return nil
	}
	defer daemon.Close()
	c := &containers{daemon: daemon, mcp: b.mcpbox, work: b.work, home: filepath.Dir(b.work), ref: "example.com/bench:1"}
	if err := c.fill(b); err != nil {
		return err
	}
	const goal = 0.050
	runtimes := []string{"runc"}
	b.containered.columns = []string{"`ctr run`", "mcpbox"}
	if _, err := exec.LookPath("runsc"); err == nil {
		if err := os.WriteFile(c.runsc(), []byte(runscScript), 0o755); err != nil {
			return err
		}
		runtimes = append(runtimes, "runsc")
		b.containered.columns = append(b.containered.columns, "`ctr run`, gVisor", "mcpbox, gVisor")
	} else {
		fmt.Fprintln(os.Stderr, "bench: without gVisor: runsc is not installed")
	}
	for _, server := range []struct {
		name string
		argv []string
	}{
		{"a Go program", []string{"/bench", "-pong"}},
		{"server-filesystem", []string{"node", "/npm/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js", b.work}},
	} {
		times := make([]sample, 2*len(runtimes))
		for i := range b.runs/5 + 2 {
			for j := range times {
				runtime := runtimes[j/2]
				start := c.ctr
				if j%2 == 1 {
					start = c.mcpbox
				}
				took, err := answered(start(runtime, server.argv))
				if err != nil {
					return err
				}
				if i >= 2 {
					times[j].add(took)
				}
			}
		}
		more := times[1].median() - times[0].median()
		compared := fmt.Sprintf("%+.1f ms", more*1e3)
		if len(times) > 2 {
			compared += fmt.Sprintf("; gVisor: %+.1f ms", (times[3].median()-times[2].median())*1e3)
		}
		b.containered.add("`initialize` answered by "+server.name+" of an image", "≤ `ctr run` + 50 ms", cells(times, ms), compared, more <= goal)
	}
	return nil
}

// answered starts a server, and returns how long its answer took.
func answered(cmd *exec.Cmd) (time.Duration, error) {
	began := time.Now()
	s, err := open(cmd)
	if err != nil {
		return 0, err
	}
	if err := s.initialize(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, s.close()
}

// runscScript runs gVisor without a network: it refuses the one that ctr gives it.
const runscScript = "#!/bin/sh\nexec runsc --network=none \"$@\"\n"

func (c *containers) runsc() string { return filepath.Join(c.home, "runsc") }

// containers is a containerd with an image in it.
type containers struct {
	daemon  *ctr.Daemon
	mcp     string // the program mcpbox
	work    string
	home    string
	ref     string // as mcpbox knows it
	name    string // as ctr does
	started int
}

// fill has containerd keep an image of Node.js, a server of npm, and this program.
func (c *containers) fill(b *bench) error {
	node, err := exec.LookPath("node")
	if err != nil {
		return err
	}
	r := image.Recipe{
		Ref: c.ref, Programs: []string{node},
		Files: map[string]string{"/bench": b.self, "/npm/node_modules": filepath.Join(b.npm, "node_modules")},
		Links: map[string]string{},
	}
	r.Config.Env = []string{"PATH=" + filepath.Dir(node)}
	archive := filepath.Join(c.home, "image.tar")
	f, err := os.OpenFile(archive, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(archive)
	defer f.Close()
	if err := image.Write(f, r); err != nil {
		return err
	}
	out, err := c.command(c.mcp, "image", "import", archive).Output()
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	ref, digest, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	c.name = ref + "@" + digest
	return nil
}

func (c *containers) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = c.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "XDG_RUNTIME_DIR=" + c.home, "CONTAINERD_ADDRESS=" + c.daemon.Address}
	return cmd
}

// ctr starts a program of the image as containerd's command line does.
func (c *containers) ctr(runtime string, argv []string) *exec.Cmd {
	c.started++
	line := []string{"ctr", "--address", c.daemon.Address, "--namespace", "mcpbox", "run", "--rm", "--mount", "type=bind,src=" + c.work + ",dst=" + c.work + ",options=rbind:ro"}
	if runtime == "runsc" {
		line = append(line, "--runc-binary", c.runsc())
	}
	return c.command(append(append(line, c.name, fmt.Sprintf("bench-%d-%d", os.Getpid(), c.started)), argv...)...)
}

// mcpbox starts it in a box.
func (c *containers) mcpbox(runtime string, argv []string) *exec.Cmd {
	line := []string{c.mcp, "run", "--name", "bench", "--backend", "containerd", "--image", c.ref, "--runtime", runtime, "--ro", c.work, "--"}
	return c.command(append(line, argv...)...)
}
