package policy

import (
	"slices"
	"strings"
	"testing"
)

// imagePolicy is the least that runs an image.
func imagePolicy() *Policy {
	return &Policy{
		Backend: Said[BackendName]{BackendContainerd, Origin{File: "p.toml", Line: 1}},
		Image:   Said[string]{"example.com/x:1", Origin{File: "p.toml", Line: 2}},
	}
}

// TestBackendCombinations: what means nothing together is refused, where it was
// written, and with what to write.
func TestBackendCombinations(t *testing.T) {
	const origin = "p.toml:3: "
	at := Origin{File: "p.toml", Line: 3}
	for _, c := range []struct {
		name string
		p    Policy
		want string // in the error; "" for none
	}{
		{"nothing said", Policy{}, ""},
		{"native", Policy{Backend: Said[BackendName]{BackendNative, at}}, ""},
		{"an image", *imagePolicy(), ""},
		{"containerd alone", Policy{Backend: Said[BackendName]{BackendContainerd, at}}, origin + `backend is "containerd", but there is no image; write image = "REGISTRY/NAME:TAG", or add --image`},
		{"an image alone", Policy{Image: Said[string]{"x", at}}, origin + `image is set, but the backend is "native", which runs the host's programs; write backend = "containerd", or add --backend containerd`},
		{"an image and native", Policy{Backend: Said[BackendName]{BackendNative, at}, Image: Said[string]{"x", at}}, `image is set, but the backend is "native"`},
		{"a runtime alone", Policy{Runtime: Said[RuntimeName]{RuntimeRunsc, at}}, origin + `runtime is set, but the backend is "native"`},
		{"volumes alone", Policy{Files: Files{Volumes: []Path{{"/data", at}}}}, origin + `files.volumes is set, but the backend is "native"`},
		{"variables alone", Policy{Env: Env{Image: []string{"*"}}}, `env.image is set, but the backend is "native"`},
		{"an unknown backend", Policy{Backend: Said[BackendName]{"docker", at}}, origin + `backend cannot be "docker"; it has to be "native" or "containerd"`},
		{"an unknown runtime", *Extend(imagePolicy(), &Policy{Runtime: Said[RuntimeName]{"kata", at}}), origin + `runtime cannot be "kata"; it has to be "runc" or "runsc"`},
		{"gVisor and the host's sockets", *Extend(imagePolicy(), &Policy{Runtime: Said[RuntimeName]{RuntimeRunsc, at}, UnixSockets: SocketsHost}), origin + `runtime is "runsc", whose kernel reaches no unix socket of the host`},
		{"gVisor and sockets of its own", *Extend(imagePolicy(), &Policy{Runtime: Said[RuntimeName]{RuntimeRunsc, at}, UnixSockets: SocketsPrivate}), ""},
		{"staged in an image", *Extend(imagePolicy(), &Policy{Files: Files{Staged: new(true)}}), `changes are staged in boxes of the backend "native" only`},
		{"not staged in an image", *Extend(imagePolicy(), &Policy{Files: Files{Staged: new(bool)}}), ""},
		{"a reference of a flag", *Extend(imagePolicy(), &Policy{Image: Said[string]{"x\ny", Origin{Flag: "--image"}}}), `--image: image cannot be "x\ny"`},
	} {
		err := c.p.CheckBackend()
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
	}
}

// TestBackendIsOverridden: a later backend, image and runtime hold, each for
// itself.
func TestBackendIsOverridden(t *testing.T) {
	p := Extend(imagePolicy(), &Policy{Image: Said[string]{"example.com/y", Origin{Flag: "--image"}}, Runtime: Said[RuntimeName]{RuntimeRunsc, Origin{}}})
	if p.BackendName() != BackendContainerd || p.Image.Value != "example.com/y" || p.Image.Origin.Flag != "--image" || p.RuntimeName() != RuntimeRunsc {
		t.Errorf("%+v", p)
	}
	if p = Extend(p, nil); p.Image.Value != "example.com/y" {
		t.Errorf("an empty policy on top takes the image away: %+v", p)
	}
}

// TestImageShowsNothingOfTheHost: the box of an image has no program or library of
// the host, and whatever it has is what a native box has.
func TestImageShowsNothingOfTheHost(t *testing.T) {
	h := newHost(t, "d /home/ann/work/app/.git/hooks\n")
	files := Policy{Files: Files{Write: []Path{{"/home/ann/work/app", Origin{}}}}}
	with, _, err := Spec(Extend(imagePolicy(), &files), Program{Image: goldenImage(imagePolicy())}, h)
	if err != nil {
		t.Fatal(err)
	}
	native, _, err := Spec(&files, Program{Exec: "/usr/bin/true"}, h)
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, with)
	for _, m := range with.Mounts {
		same := mountAt(native, m.Destination)
		if m.Destination == "/var/tmp" { // a link to /tmp in a native box
			continue
		}
		if same == nil || same.Type != m.Type || same.Source != m.Source || !slices.Equal(same.Options, m.Options) {
			t.Errorf("%s is %v; in a native box it is %v", m.Destination, m, same)
		}
	}
	for _, m := range native.Mounts {
		host := (m.Type == "bind" || m.Type == "symlink") && !within(m.Destination, "/dev") && !within(m.Destination, "/home")
		if there := mountAt(with, m.Destination); host && there != nil && m.Destination != "/var/tmp" {
			t.Errorf("the host's %s is shown", m.Destination)
		} else if !host && there == nil {
			t.Errorf("%s is missing", m.Destination)
		}
	}
}

// TestImageIsNotTrusted: what an image says of itself is checked, and followed no
// further than the policy says.
func TestImageIsNotTrusted(t *testing.T) {
	h := newHost(t, "d /srv/docs\n")
	docs := &Policy{Files: Files{Read: []Path{{"/srv/docs", Origin{}}}}}
	for _, c := range []struct {
		name string
		over *Policy
		im   Image
		argv []string
		want string // in the error
	}{
		{"no command", nil, Image{Ref: "x"}, nil, "the image x names no command; add one: -- COMMAND"},
		{"an empty command", nil, Image{Ref: "x", Cmd: []string{""}}, nil, "names no command"},
		{"a NUL byte", nil, Image{Cmd: []string{"a\x00b"}}, nil, "NUL"},
		{"a descriptor as directory", nil, Image{Cmd: []string{"a"}, WorkingDir: "/proc/self/fd/8"}, nil, "wants to start in"},
		{"the same with a detour", nil, Image{Cmd: []string{"a"}, WorkingDir: "/app/../proc/self/fd/8"}, nil, "wants to start in"},
		{"a relative directory", nil, Image{Cmd: []string{"a"}, WorkingDir: "app"}, nil, "wants to start in"},
		{"a volume over a directory of the host", Extend(docs, &Policy{Files: Files{Volumes: []Path{{"/srv/docs/x", Origin{}}}}}), Image{Cmd: []string{"a"}}, nil, "lies in /srv/docs, which is a directory of the host"},
		{"a command", nil, Image{Ref: "x"}, []string{"a"}, ""},
		{"the root as directory", nil, Image{Cmd: []string{"a"}, WorkingDir: "/"}, nil, ""},
	} {
		_, _, err := Spec(Extend(imagePolicy(), c.over), Program{Image: &c.im, Argv: c.argv}, h)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
	}
	// The image's ids, variables and volumes.
	s, r, err := Spec(imagePolicy(), Program{Image: &Image{
		Cmd: []string{"a"}, User: "0", Env: []string{"LD_PRELOAD=/x.so", "HOME=/root", "PATH=.:/x", "USER=root"}, Volumes: []string{"/data"},
	}}, h)
	if err != nil {
		t.Fatal(err)
	}
	if s.Process.User.UID != 1000 || mountAt(s, "/data") != nil {
		t.Errorf("runs as %d, with %v", s.Process.User.UID, mountAt(s, "/data"))
	}
	for _, e := range s.Process.Env {
		if strings.HasPrefix(e, "LD_PRELOAD") || e == "HOME=/root" || e == "USER=root" {
			t.Errorf("takes %s from the image", e)
		}
	}
	if !slices.Contains(s.Process.Env, "PATH=/x") {
		t.Errorf("looks for programs elsewhere than the image: %v", s.Process.Env)
	}
	kinds := map[string]bool{}
	for _, n := range r.Notes {
		kinds[n.Kind] = true
	}
	if !kinds["image_user"] || !kinds["image_env"] || !kinds["image_volume"] {
		t.Errorf("does not say what was not taken: %v", r.Notes)
	}
	// The same, taken.
	s, _, err = Spec(Extend(imagePolicy(), &Policy{Env: Env{Image: []string{"*"}}}), Program{Image: &Image{
		Cmd: []string{"a"}, Env: []string{"LD_PRELOAD=/x.so", "HOME=/root"},
	}}, h)
	if err != nil || !slices.Contains(s.Process.Env, "LD_PRELOAD=/x.so") || slices.Contains(s.Process.Env, "HOME=/root") {
		t.Errorf("%v, %v", s, err)
	}
	// Without an image there is no box of containerd's, nor the other way round.
	if _, _, err := Spec(imagePolicy(), Program{Exec: "/usr/bin/true"}, h); err == nil {
		t.Error("containerd with a program of the host")
	}
	if _, _, err := Spec(&Policy{}, Program{Image: &Image{Cmd: []string{"a"}}}, h); err == nil {
		t.Error("a native box with an image")
	}
}

// TestExplainForged: an image, and a name of a file, cannot add lines to what a person
// reads to decide.
func TestExplainForged(t *testing.T) {
	const forged = "x\nnetwork      nothing"
	h := newHost(t, "d /srv/docs\n")
	s, r, err := Spec(imagePolicy(), Program{Image: &Image{Ref: "x", Entrypoint: []string{"run", forged}}}, h)
	if err != nil {
		t.Fatal(err)
	}
	e := Explain(imagePolicy(), s, r)
	e.Protected = append(e.Protected, "/srv/docs/"+forged+"/.git/hooks")
	text := e.String()
	if n := strings.Count(text, "\nnetwork "); n != 1 || strings.Count(text, `x\u000anetwork`) != 2 {
		t.Errorf("%d lines about the network:\n%s", n, text)
	}
}
