package egress

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/integration/setup"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// container is a kind of box that containerd makes, of an image with the clients in
// it.
type container struct {
	runtime, image, address string
}

// runtimes are all that boxes can be made with.
var runtimes = []string{"runc", "runsc"}

// clients are the programs of rows that are in the image. What databases, git and
// browsers do, native boxes prove.
var clients = []string{"sh", "curl", "python3", "getent", "sed", "env"}

// container is an account whose boxes are made with a runtime, or the end of the
// test. The first one starts a containerd, in the host's namespaces.
func (w *world) container(t *testing.T, runtime string) account {
	t.Helper()
	ctr.Need(t)
	_, err := exec.LookPath(runtime)
	setup.Need(t, err == nil, runtime)
	if w.containerd == nil {
		setup.Containerd(t, w.dir)
		if w.containerd, err = ctr.Open(); err != nil {
			t.Fatal(err)
		}
		w.closing = append(w.closing, w.containerd.Close)
		if w.image, err = load(t, w.containerd.Address, w.recipe(t)); err != nil {
			t.Fatalf("%v\n%s", err, w.containerd.Log())
		}
	}
	a := ordinary()
	a.name, a.home = runtime, a.newHome(t)
	a.in = &container{runtime, w.image, w.containerd.Address}
	a.give(t, w.containerd.Address)
	return a
}

// recipe is the image.
func (w *world) recipe(t *testing.T) image.Recipe {
	r := image.Recipe{Ref: "example.com/clients:1", Files: map[string]string{}}
	for _, name := range []string{"probe", "ca.pem"} {
		r.Files["/opt/"+name] = w.file(name)
	}
	for _, name := range clients {
		path := program(name)
		setup.Need(t, path != "", name)
		r.Programs = append(r.Programs, path)
	}
	// Python's modules, and what two of them load.
	library := program("/usr/lib/python3.*/os.py")
	setup.Need(t, library != "", "Python's library")
	r.Files[filepath.Dir(library)] = filepath.Dir(library)
	for _, pattern := range []string{"_ssl.*.so", "_hashlib.*.so"} {
		r.Programs = append(r.Programs, program(filepath.Join(filepath.Dir(library), "lib-dynload", pattern)))
	}
	r.Files["/etc/nsswitch.conf"] = "/etc/nsswitch.conf"
	r.Config.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	return r
}

// load has containerd keep an image.
func load(t *testing.T, address string, r image.Recipe) (string, error) {
	c, err := containerd.Dial(context.Background(), address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	var archive bytes.Buffer
	if err := image.Write(&archive, r); err != nil {
		return "", err
	}
	list, err := c.Import(context.Background(), &archive, "")
	if err != nil {
		return "", err
	}
	return list[0].Ref, nil
}

// other is what a row comes to in a kind of box, where that is something else than in
// a native one.
type other struct{ boxed, why string }

// differs are such rows, by runtime, and by what they try.
var differs = map[string]map[string]other{
	"runc": {},
	"runsc": {
		"an urgent byte": {"exit 1", "gVisor's sockets have no urgent bytes"},
		"data in the first packet of a connection": {"BlockingIOError", "gVisor does not wait for such a connection"},
	},
}

// TestRowsInContainers runs the rows whose programs are in the image: one by an
// ordinary user, the next by root, who has networks made in another way.
func TestRowsInContainers(t *testing.T) {
	w := needWorld(t)
	var users []account
	for _, runtime := range runtimes {
		users = append(users, w.container(t, runtime))
	}
	host, root := accounts(t)[0], account{name: "root", uid: -1}.newHome(t)
	known := map[string]bool{}
	for i, r := range containerRows() {
		known[r.tries] = true
		t.Run(r.id+" "+r.tries, func(t *testing.T) {
			r.control(t, w, host)
			for _, a := range users {
				t.Run(a.name, func(t *testing.T) {
					r := r
					if i%2 == 1 {
						a.uid, a.home = -1, root
					}
					if o, ok := differs[a.name][r.tries]; ok {
						r.boxed = o.boxed
					}
					r.box(t, w, a)
				})
			}
		})
	}
	for runtime, rows := range differs {
		for tries := range rows {
			if !known[tries] {
				t.Errorf("%s: no row tries %q", runtime, tries)
			}
		}
	}
}

// containerRows are those rows. Of lists whose rows differ only in what the launcher
// reads, there are some: it reads what a container sends as it reads the rest.
func containerRows() []row {
	all := slices.Concat(clientRows, protocolRows, ruleRows, refusedRows, resolutionRows, nameRows, adminRows, proxyRows, noneRows)
	for _, long := range [][]row{rangeRows(), tlsRows, httpRows} {
		for i := 0; i < len(long); i += 5 {
			all = append(all, long[i])
		}
	}
	return slices.DeleteFunc(all, func(r row) bool { return !r.inImage() })
}

// inImage reports whether a row's programs are in the image.
func (r row) inImage() bool {
	if r.prepare != nil || r.alone || r.tries == "git" {
		return false
	}
	return r.run[0] == "{probe}" || slices.Contains(clients, r.run[0])
}
