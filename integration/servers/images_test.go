package servers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/integration/setup"
)

// inImage are the servers that are packed into the image, and the npm packages that
// they are in.
var inImage = map[string]string{
	"filesystem":          "@modelcontextprotocol/server-filesystem",
	"memory":              "@modelcontextprotocol/server-memory",
	"everything":          "@modelcontextprotocol/server-everything",
	"sequential-thinking": "@modelcontextprotocol/server-sequential-thinking",
	"sqlite":              "mcp-server-sqlite-npx",
	"git":                 "@cyanheads/git-mcp-server",
	"slack":               "@modelcontextprotocol/server-slack",
	"go-everything":       "",
	"grafana":             "",
}

// python is a program of ours: that an interpreter is there with all that it loads, and
// can start threads and programs.
var python = Server{
	ID:   "python",
	Argv: []string{"/usr/bin/python3", "{python}/notes.py", "{work}"},
	Calls: []Call{
		works("write_note", args{"name": "note", "text": "one two \u00e9\u2028\U0001f4e6\n"}),
		works("read_note", args{"name": "note"}),
		works("count_words", args{"names": []string{"note", "note", "README.md"}}),
		fails("read_note", args{"name": "none"}),
	},
}

// imagePlace is where they lie in the image: not where they are on the host, so that
// nothing of the host can stand in for them.
func imagePlace(p Place) Place {
	p.NPM, p.Go, p.Python = "/srv/npm", "/srv/go", "/srv/python"
	return p
}

// Servers of an image do in a container what they do bare on the host, with runc and
// with gVisor: what they list, what they answer, what they leave in the one directory
// that is theirs to write to.
func TestServersInImages(t *testing.T) {
	ctr.Need(t)
	box, p := mcpbox(t), place(t)
	p.Python = setup.Scratch(t, "mcpbox-servers-") // not every user reads the sources
	if err := os.CopyFS(p.Python, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	all := []Server{python}
	for id := range inImage {
		all = append(all, Find(id))
	}
	who := accounts(t)[0]
	d := ctr.Start(t)
	if err := os.Chown(d.Address, who.uid, who.uid); err != nil {
		t.Fatal(err)
	}
	const ref = "example.com/servers:1"
	archive := filepath.Join(t.TempDir(), "servers.tar")
	writeImage(t, archive, ref, p)
	load := exec.Command(box, "image", "import", archive)
	load.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "CONTAINERD_ADDRESS=" + d.Address}
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("image import: %v\n%s", err, out)
	}
	for _, runtime := range []string{"runc", "runsc"} {
		for _, s := range all {
			t.Run(runtime+"/"+s.ID, func(t *testing.T) {
				t.Parallel()
				_, err := exec.LookPath(runtime)
				setup.Need(t, err == nil, runtime)
				home := filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
				p := p
				p.Work = filepath.Join(home, "project")
				argv, env := s.Bare(p)
				bare, bareTree, _ := observe(t, who, s, p, home, argv, env)
				s.Box = append([]string{"--backend", "containerd", "--image", ref, "--runtime", runtime}, s.Box...)
				boxed, boxedTree, stderr := observe(t, who, s, p, home, s.Boxed(box, imagePlace(p)), []string{"CONTAINERD_ADDRESS=" + d.Address})
				var said []string
				for line := range strings.Lines(stderr) {
					if !strings.Contains(line, ", pinned to sha256:") { // at its first start
						said = append(said, line)
					}
				}
				asBare(t, s, bare, boxed, bareTree, boxedTree, strings.Join(said, ""))
			})
		}
	}
}

// writeImage packs the servers, and Node.js, Python and git.
func writeImage(t *testing.T, archive, ref string, p Place) {
	t.Helper()
	r := image.Recipe{Ref: ref, Files: map[string]string{}, Links: map[string]string{"/bin": "/usr/bin"}}
	for _, name := range []string{"node", "python3", "git", "env", "sh"} {
		path, err := exec.LookPath(name)
		if name == "python3" {
			path, err = exec.LookPath("/usr/bin/python3")
		}
		setup.Need(t, err == nil, name)
		if path, err = filepath.EvalSymlinks(path); err != nil {
			t.Fatal(err)
		}
		r.Programs = append(r.Programs, path)
		if path != "/usr/bin/"+name {
			r.Links["/usr/bin/"+name] = path
		}
	}
	// Not another Python that comes first in PATH.
	out, err := exec.Command("/usr/bin/python3", "-c", `import sysconfig; print(sysconfig.get_path("stdlib"))`).Output()
	setup.Need(t, err == nil, "/usr/bin/python3")
	library := strings.TrimSpace(string(out))
	r.Files[library] = library
	to := imagePlace(p)
	r.Files[to.Python] = p.Python
	modules := filepath.Join(p.NPM, "node_modules")
	packages := map[string]bool{}
	for id, name := range inImage {
		if name != "" {
			needed(t, packages, modules, name)
		}
		for _, word := range Find(id).Argv {
			if strings.Contains(word, "{go}/") {
				r.Files[to.expand(word)] = p.expand(word)
			}
			if strings.Contains(word, "/.bin/") {
				link, err := os.Readlink(p.expand(word))
				if err != nil {
					t.Fatal(err)
				}
				r.Links[to.expand(word)] = link
			}
		}
	}
	for dir := range packages {
		r.Files[filepath.Join(to.NPM, "node_modules", strings.TrimPrefix(dir, modules))] = dir
	}
	r.Config.Env = []string{"PATH=/usr/bin"}
	f, err := os.OpenFile(archive, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := image.Write(f, r); err != nil {
		t.Fatal(err)
	}
}

// needed adds the directory of a package, and of those that it needs, as Node.js
// looks for them: beside each directory on the way up, the nearest first.
func needed(t *testing.T, packages map[string]bool, from, name string) {
	t.Helper()
	dir := ""
	for at := from; dir == "" && len(at) > 1; at = filepath.Dir(at) {
		modules := at
		if filepath.Base(at) != "node_modules" {
			modules = filepath.Join(at, "node_modules")
		}
		if _, err := os.Stat(filepath.Join(modules, name, "package.json")); err == nil {
			dir = filepath.Join(modules, name)
		}
	}
	if dir == "" || packages[dir] {
		return // optional, and for another system
	}
	packages[dir] = true
	text, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Dependencies, OptionalDependencies, PeerDependencies map[string]string
	}
	if err := json.Unmarshal(text, &p); err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	for _, set := range []map[string]string{p.Dependencies, p.OptionalDependencies, p.PeerDependencies} {
		for name := range set {
			needed(t, packages, dir, name)
		}
	}
}
