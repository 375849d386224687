package limits

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/integration/setup"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// container is a place whose boxes containerd makes, of an image with hog in it.
type container struct {
	runtime, image string
	daemon         *ctr.Daemon
	mcpbox         string // with the program that does it
}

func (c *container) flags() []string {
	if c == nil {
		return nil
	}
	return []string{"--backend", "containerd", "--image", c.image, "--runtime", c.runtime}
}

// kinds are places with one kind of box each: native, and containers of an ordinary
// user's with each runtime. They are called by it.
func kinds(t *testing.T) []place {
	t.Helper()
	native := place{uid: os.Getuid()}
	native.tier = native.pick(t)
	all := []place{native}
	d := ctr.Start(t)
	user := 21000 + os.Getpid()%10000
	if err := os.Chown(d.Address, user, user); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(needPrograms(t).dir, "containers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	setup.Containerd(t, dir)
	ref := load(t, d)
	for _, runtime := range []string{"runc", "runsc"} {
		_, err := exec.LookPath(runtime)
		setup.Need(t, err == nil, runtime)
		p := place{uid: user, in: &container{runtime, ref, d, filepath.Join(dir, "mcpbox")}}
		p.tier = p.pick(t)
		all = append(all, p)
	}
	return all
}

// kind is what a place's boxes are.
func (p place) kind() string {
	if p.in == nil {
		return "native"
	}
	return p.in.runtime
}

// inKinds runs a test with each kind of box.
func inKinds(t *testing.T, f func(t *testing.T, p place)) {
	for _, p := range kinds(t) {
		t.Run(p.kind(), func(t *testing.T) { f(t, p) })
	}
}

// inContainers runs a test with each kind of container.
func inContainers(t *testing.T, f func(t *testing.T, p place)) {
	for _, p := range kinds(t)[1:] {
		t.Run(p.kind(), func(t *testing.T) { f(t, p) })
	}
}

// load has containerd keep an image with hog in it.
func load(t *testing.T, d *ctr.Daemon) string {
	t.Helper()
	c, err := containerd.Dial(t.Context(), d.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := image.Recipe{Ref: "example.com/hog:1", Files: map[string]string{"/opt/" + comm: needPrograms(t).hog}}
	r.Config.Env = []string{"PATH=/opt"}
	var archive bytes.Buffer
	if err := image.Write(&archive, r); err != nil {
		t.Fatal(err)
	}
	list, err := c.Import(t.Context(), &archive, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Log())
	}
	return list[0].Ref
}
