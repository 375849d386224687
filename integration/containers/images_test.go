package containers

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// versioned is an archive of a busybox whose file /version says which it is.
func versioned(t *testing.T, ref, version string) []byte {
	t.Helper()
	r := busybox(t)
	r.Ref = ref
	file := filepath.Join(t.TempDir(), "version")
	if err := os.WriteFile(file, []byte(version+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.Files["/version"] = file
	r.Config.Entrypoint = []string{"cat", "/version"}
	r.Config.Env = append(r.Config.Env, "VERSION="+version)
	var out bytes.Buffer
	if err := image.Write(&out, r); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// importFile imports an archive, and returns its digest.
func (u *user) importFile(archive []byte) string {
	u.t.Helper()
	file := filepath.Join(u.home, "archive.tar")
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		u.t.Fatal(err)
	}
	_, digest, _ := strings.Cut(strings.TrimSpace(u.do("image", "import", file)), " ")
	return digest
}

// fail runs a command that has to fail, and returns what it has said.
func (u *user) fail(code int, args ...string) string {
	u.t.Helper()
	out, err := u.command(args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != code {
		u.t.Errorf("mcpbox %s: %v, and not %d\n%s", strings.Join(args, " "), err, code, out)
	}
	return string(out)
}

// has reports where a text does not have all of these.
func (u *user) has(text string, all ...string) {
	u.t.Helper()
	for _, s := range all {
		if !strings.Contains(text, s) {
			u.t.Errorf("no %q in:\n%s", s, text)
		}
	}
}

// version runs an image's own command.
func (u *user) version(name, ref string) string {
	u.t.Helper()
	cmd := u.command("run", "--raw", "--name", name, "--backend", "containerd", "--image", ref)
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit, ok := err.(*exec.ExitError); ok {
			said = string(exit.Stderr)
		}
		u.t.Fatalf("run %s: %v\n%s", name, err, said)
	}
	return strings.TrimSpace(string(out))
}

// TestImageIsPinned: a server runs what its image's reference meant at its first
// start, until a person has seen what another would be.
func TestImageIsPinned(t *testing.T) {
	u := newUser(t, start(t, busybox(t)))
	const ref = "example.com/versioned:1"
	one := u.importFile(versioned(t, ref, "one"))
	u.has(u.do("explain", "--name", "a", "--backend", "containerd", "--image", ref), one, "with containerd and runc", "cat /version", "[env] image = [\"VERSION\"]")
	if v := u.version("a", ref); v != "one" {
		t.Fatalf("runs %s", v)
	}
	two := u.importFile(versioned(t, ref, "two"))
	if v := u.version("a", ref); v != "one" {
		t.Errorf("an import has changed what is run to %s", v)
	}
	// The control: for a server that is not pinned it has.
	if v := u.version("b", ref); v != "two" {
		t.Errorf("a new server runs %s", v)
	}
	var list []struct {
		Digest string
		UsedBy []string
	}
	if err := json.Unmarshal([]byte(u.do("image", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	used := map[string]string{}
	for _, e := range list {
		used[e.Digest] = strings.Join(e.UsedBy, " ")
	}
	if used[one] != "a" || used[two] != "b" {
		t.Errorf("used: %v", used)
	}
	// Removed is nothing that somebody is pinned to.
	u.has(u.fail(1, "image", "rm", ref), "is what b runs", "--force")
	u.has(u.fail(1, "image", "rm", "example.com/none"), "there is no image")

	// Nobody is asked here, so that nothing changes.
	u.has(u.fail(1, "update", "a"), one, two, "sets VERSION=two", "nothing was changed; to change it, type: mcpbox update a --yes")
	if v := u.version("a", ref); v != "one" {
		t.Errorf("without a yes it runs %s", v)
	}
	u.has(u.do("update", "a", "--yes"), two)
	if v := u.version("a", ref); v != "two" {
		t.Errorf("after the update it runs %s", v)
	}
	u.has(u.do("image", "rm", one[len("sha256:"):][:12]), "removed "+ref)
	u.do("image", "rm", "--force", ref)
	u.has(u.fail(127, "explain", "--name", "a", "--backend", "containerd", "--image", ref), "there is no image "+ref, "mcpbox image pull "+ref)
	if left, err := filepath.Glob(filepath.Join(u.home, ".local/state/mcpbox/images/*/*.json")); err != nil || len(left) != 2 {
		t.Errorf("pins: %v, %v", left, err)
	}
}

// TestImageOfAnotherUser: what another user's server is pinned to is not removed without
// being told of that, and may be when nobody is.
func TestImageOfAnotherUser(t *testing.T) {
	m := start(t, busybox(t))
	root, other := newUser(t, m), newUser(t, m)
	other.uid = somebody
	if err := errors.Join(os.Chown(m.Address, 0, somebody), os.Chmod(m.Address, 0o660), os.Chown(other.home, somebody, somebody), os.Chmod(filepath.Dir(other.home), 0o755)); err != nil {
		t.Fatal(err)
	}
	const ref = "example.com/versioned:1"
	one := root.importFile(versioned(t, ref, "one"))
	other.version("theirs", ref)
	name := fmt.Sprint(somebody)
	refusal := ref + " is what a server of another user runs (" + name + "); ask there, or, to remove it nevertheless, type: mcpbox image rm --force " + ref
	root.has(root.do("image", "list"), "user "+name)
	root.has(root.fail(1, "image", "rm", ref), refusal)
	root.has(other.fail(1, "image", "rm", ref), ref+" is what theirs runs")

	// Imported anew, by anybody, it is still theirs.
	if again := root.importFile(versioned(t, ref, "one")); again != one {
		t.Fatalf("%s is not %s", again, one)
	}
	root.has(root.fail(1, "image", "rm", ref), refusal)

	// Their server goes over to another image. The first is nobody's then.
	two := root.importFile(versioned(t, ref, "two"))
	other.has(other.do("update", "theirs", "--yes"), two)
	root.has(root.do("image", "rm", one), "removed "+ref+" "+one)
	root.has(root.fail(1, "image", "rm", ref), refusal)
	root.has(root.do("image", "rm", "--force", ref), "removed "+ref+" "+two)
	other.has(other.fail(125, "run", "--raw", "--name", "theirs", "--backend", "containerd", "--image", ref), "theirs is pinned to that image")
}

// TestImageInUse: a container of another user's is as good as his word.
func TestImageInUse(t *testing.T) {
	m := start(t, busybox(t))
	root, other := newUser(t, m), newUser(t, m)
	other.uid = somebody
	if err := errors.Join(os.Chown(m.Address, 0, somebody), os.Chmod(m.Address, 0o660), os.Chown(other.home, somebody, somebody), os.Chmod(filepath.Dir(other.home), 0o755)); err != nil {
		t.Fatal(err)
	}
	other.serve("theirs")
	words, err := exec.Command("ctr", "--address", m.Address, "--namespace", containerd.Namespace, "leases", "list", "--quiet").Output()
	if err != nil || !strings.Contains(string(words), "pin-") {
		t.Fatalf("%v, %s", err, words)
	}
	for word := range strings.Lines(string(words)) {
		if word = strings.TrimSpace(word); strings.HasPrefix(word, "pin-") {
			if out, err := exec.Command("ctr", "--address", m.Address, "--namespace", containerd.Namespace, "leases", "delete", word).CombinedOutput(); err != nil {
				t.Fatalf("%v, %s", err, out)
			}
		}
	}
	root.has(root.fail(1, "image", "rm", m.image.Ref), "is what a server of another user runs")
	other.do("kill", "theirs")
	root.has(root.do("image", "rm", m.image.Ref), "removed ")
}

// TestImageIsFetched: the first start fetches the image, once, however many start;
// a tag that moves does nothing until the update.
func TestImageIsFetched(t *testing.T) {
	u := newUser(t, start(t, busybox(t)))
	r := new(image.Registry)
	s := httptest.NewServer(r)
	defer s.Close()
	ref := strings.TrimPrefix(s.URL, "http://") + "/versioned:1"
	push := func(version string) string {
		digest, err := r.Push("versioned:1", versioned(t, "", version))
		if err != nil {
			t.Fatal(err)
		}
		return digest
	}
	push("one")
	u.has(u.fail(127, "explain", "--name", "s", "--backend", "containerd", "--image", ref), "mcpbox image pull "+ref)
	var together sync.WaitGroup
	for range 3 {
		together.Go(func() {
			if v := u.version("s", ref); v != "one" {
				t.Errorf("runs %s", v)
			}
		})
	}
	together.Wait()
	fetched := map[string]int{}
	for _, request := range r.Requests() {
		if strings.HasPrefix(request, "GET ") && strings.Contains(request, "/blobs/") {
			fetched[request]++
		}
	}
	for request, n := range fetched {
		if n != 1 {
			t.Errorf("%s: %d times", request, n)
		}
	}
	if len(fetched) != 2 { // configuration and layer
		t.Errorf("fetched: %v", fetched)
	}
	before := len(r.Requests())
	two := push("two")
	if v := u.version("s", ref); v != "one" || len(r.Requests()) != before {
		t.Errorf("runs %s, and has asked: %v", v, r.Requests()[before:])
	}
	u.has(u.do("update", "s", "--yes"), two, "s runs "+two)
	if v := u.version("s", ref); v != "two" {
		t.Errorf("after the update it runs %s", v)
	}
	u.has(u.do("update", "s", "--yes"), "still means")
	// The journal says what was run.
	u.has(u.do("logs", "--json", "s"), "oci:"+ref+" "+two, `"backend":"containerd/runc"`)
}

// TestImageIsNotGot: who names what is no image, or is not there, is told what to type.
func TestImageIsNotGot(t *testing.T) {
	u := newUser(t, start(t, busybox(t)))
	good := versioned(t, "example.com/versioned:1", "one")
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	zip.Write(good)
	zip.Close()
	file := filepath.Join(u.home, "an archive")
	for _, x := range []struct {
		data               []byte
		ofFile, ofStandard string
	}{
		{nil, "mcpbox: " + file + " is empty: whatever was to write it has failed; write it anew, for example: docker save -o '" + file + "' IMAGE\n", "mcpbox: nothing has come in"},
		{zipped.Bytes(), "mcpbox: " + file + " is compressed with gzip; type: gzip -dc '" + file + "' | mcpbox image import -\n", "type before it: gzip -dc | mcpbox image import -\n"},
		{[]byte("<html>not found"), file + `: import: it is no archive of an image: it begins with "<html>not found"`, `mcpbox: import: it is no archive of an image: it begins with "<html>not found"`},
	} {
		if err := os.WriteFile(file, x.data, 0o600); err != nil {
			t.Fatal(err)
		}
		u.has(u.fail(1, "image", "import", file), x.ofFile)
		cmd := u.command("image", "import", "-")
		cmd.Stdin = bytes.NewReader(x.data)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("imported %q", x.data)
		}
		u.has(string(out), x.ofStandard)
	}
	u.has(u.fail(1, "image", "import", u.home), u.home+" is a directory, and no archive", "type: tar -C "+u.home+" -cf - . | mcpbox image import -")
	// The control: the line for what is compressed, typed.
	if err := os.WriteFile(file, zipped.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	typed := exec.Command("sh", "-c", "gzip -dc '"+file+"' | "+u.mcpbox+" image import -")
	typed.Env = u.command().Env
	if out, err := typed.CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "example.com/versioned:1 sha256:") {
		t.Errorf("%v, %s", err, out)
	}

	r := new(image.Registry)
	s := httptest.NewServer(r)
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	if _, err := r.Push("versioned:1", good); err != nil {
		t.Fatal(err)
	}
	has := "mcpbox: pull " + host + "/versioned:2: " + host + " has versioned, but not with the tag 2; it has 1; choose one, and type, for example: mcpbox image pull " + host + "/versioned:1\n"
	u.has(u.fail(1, "image", "pull", host+"/versioned:2"), has)
	u.has(u.fail(125, "run", "--raw", "--name", "s", "--backend", "containerd", "--image", host+"/versioned:2"), has)
	u.do("image", "pull", host+"/versioned:1")
}

// TestImageConfiguration: what an image wants of its box, and what it gets with and
// without the policy's word.
func TestImageConfiguration(t *testing.T) {
	u := newUser(t, start(t, busybox(t)))
	r := busybox(t)
	r.Ref = "example.com/wants:1"
	r.Dirs = []string{"/data", "/app"}
	r.Config.Env = append(r.Config.Env, "WANTED=yes", "HOME=/root")
	r.Config.User = "0:0"
	r.Config.WorkingDir = "/app"
	r.Config.Volumes = map[string]struct{}{"/data": {}}
	r.Config.Entrypoint = []string{"sh", "-c"}
	r.Config.Cmd = []string{`echo "$WANTED $HOME $(id -u) $(readlink /proc/self/cwd)"; touch /data/x && echo written; touch /app/x 2>/dev/null || echo read-only`}
	var out bytes.Buffer
	if err := image.Write(&out, r); err != nil {
		t.Fatal(err)
	}
	u.importFile(out.Bytes())
	policy := filepath.Join(u.home, "policy.toml")
	run := func(more string) string {
		text := "backend = \"containerd\"\nimage = \"example.com/wants:1\"\n" + more
		if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u.do("check", policy)
		out, err := u.command("run", "--raw", "--policy", policy).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return string(out)
	}
	without := run("")
	u.has(without, "\n", " "+u.home+" ", " /app\n", "read-only")
	if strings.Contains(without, "yes") || strings.Contains(without, "written") || strings.Contains(without, " 0 /app") {
		t.Errorf("takes from the image what no policy says:\n%s", without)
	}
	with := run("[env]\nimage = [\"*\"]\n[files]\nvolumes = [\"/data\"]\n")
	u.has(with, "yes "+u.home+" ", " /app\n", "written", "read-only")
	if strings.Contains(with, " 0 /app") {
		t.Errorf("runs as the image's user:\n%s", with)
	}
}

// TestTwoPrograms: the small program becomes the other one where containerd is asked
// for, with the same arguments, wherever that is; without it, it says what to do.
func TestTwoPrograms(t *testing.T) {
	u := newUser(t, start(t, busybox(t)))
	full := filepath.Join(filepath.Dir(u.mcpbox), "mcpbox-containerd")
	alone := t.TempDir()
	copyTo := func(from, to string) {
		t.Helper()
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	words := []string{"a b", "", "--name", "$HOME", "é"}
	args := append([]string{"run", "--raw", "--name", "words", "--backend", "containerd", "--image", u.machine.image.Ref, "--",
		"sh", "-c", `for word; do echo "[$word]"; done`, "-"}, words...)
	check := func() {
		t.Helper()
		u.has(u.do(args...), fmt.Sprintf("[%s]\n", strings.Join(words, "]\n[")))
		u.has(u.do("image", "list"), u.machine.image.Ref)
		u.has(u.do("doctor"), "containerd", u.machine.Address)
	}
	check() // as they were built

	copyTo(u.mcpbox, filepath.Join(alone, "mcpbox"))
	u.mcpbox = filepath.Join(alone, "mcpbox")
	missing := "mcpbox-containerd, which is neither beside " + u.mcpbox + " nor in PATH; to build it, type where you have the source of mcpbox: make build && cp bin/mcpbox-containerd "
	u.has(u.fail(125, args...), missing)
	u.has(u.fail(125, "image", "list"), missing)
	u.has(u.do("doctor"), "mcpbox-containerd is not installed")
	u.do("run", "--raw", "--", "true") // needs none of it

	// In PATH.
	bin := t.TempDir()
	copyTo(full, filepath.Join(bin, "mcpbox-containerd"))
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	check()

	// One that has been built without, under the other's name, does not go round
	// and round.
	copyTo(u.mcpbox, filepath.Join(bin, "mcpbox-containerd"))
	u.has(u.fail(125, args...), "has been built without containerd's client")
}
