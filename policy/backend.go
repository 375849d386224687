package policy

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// BackendName says what makes a box.
type BackendName string

const (
	// BackendNative: mcpbox itself, from the programs of the host.
	BackendNative BackendName = "native"
	// BackendContainerd: containerd, from an OCI image.
	BackendContainerd BackendName = "containerd"
)

// RuntimeName says what containerd makes a box with.
type RuntimeName string

const (
	// RuntimeRunc: runc, from namespaces of the host's kernel.
	RuntimeRunc RuntimeName = "runc"
	// RuntimeRunsc: gVisor, a kernel in a process of its own.
	RuntimeRunsc RuntimeName = "runsc"
)

// Said is a word as a person wrote it, and where. Its zero value is one that
// nobody has said.
type Said[T ~string] struct {
	Value  T
	Origin Origin
}

// either is s, or base where nobody has said s.
func (s Said[T]) either(base Said[T]) Said[T] {
	if s.Value != "" {
		return s
	}
	return base
}

// BackendName returns the backend, with the default for a policy that names none.
func (p *Policy) BackendName() BackendName {
	if p.Backend.Value == "" {
		return BackendNative
	}
	return p.Backend.Value
}

// RuntimeName returns the runtime, with the default for a policy that names none.
func (p *Policy) RuntimeName() RuntimeName {
	if p.Runtime.Value == "" {
		return RuntimeRunc
	}
	return p.Runtime.Value
}

// CheckBackend refuses what no backend can make: an image without containerd,
// containerd without an image, words that mean nothing. It is what [Spec] checks,
// for whoever has to know the backend before.
func (p *Policy) CheckBackend() error {
	switch b := p.BackendName(); b {
	case BackendContainerd:
		if p.Image.Value == "" {
			return &Error{p.Backend.Origin, `backend is "containerd", but there is no image; write image = "REGISTRY/NAME:TAG", or add --image REGISTRY/NAME:TAG`}
		}
	case BackendNative:
		if err := p.onlyForImages(); err != nil {
			return err
		}
	default:
		return &Error{p.Backend.Origin, fmt.Sprintf(`backend cannot be %q; it has to be "native" or "containerd"`, b)}
	}
	switch r := p.RuntimeName(); r {
	case RuntimeRunc, RuntimeRunsc:
	default:
		return &Error{p.Runtime.Origin, fmt.Sprintf(`runtime cannot be %q; it has to be "runc" or "runsc"`, r)}
	}
	if p.BackendName() == BackendContainerd && p.RuntimeName() == RuntimeRunsc && p.Mode() == SocketsHost {
		return &Error{p.Runtime.Origin, `runtime is "runsc", whose kernel reaches no unix socket of the host, but unix_sockets is "host"; write runtime = "runc", or unix_sockets = "private"`}
	}
	if p.BackendName() == BackendContainerd && p.Files.Staged != nil && *p.Files.Staged {
		return errors.New(`changes are staged in boxes of the backend "native" only; write staged = false, or leave out --staged, to let the server write to your directories themselves`)
	}
	if why := badReference(p.Image.Value); why != "" {
		return &Error{p.Image.Origin, fmt.Sprintf("image cannot be %q: %s", p.Image.Value, why)}
	}
	for _, v := range p.Files.Volumes {
		if why := badVolume(v.Text); why != "" {
			return &Error{v.Origin, fmt.Sprintf("files.volumes: %q %s", v.Text, why)}
		}
	}
	for _, name := range p.Env.Image {
		if why := badImageName(name); why != "" {
			return fmt.Errorf("env.image: %q %s", name, why)
		}
	}
	return nil
}

// onlyForImages refuses keys that mean nothing to a box of the host's programs.
func (p *Policy) onlyForImages() error {
	const fix = `write backend = "containerd", or add --backend containerd`
	switch {
	case p.Image.Value != "":
		return &Error{p.Image.Origin, `image is set, but the backend is "native", which runs the host's programs; ` + fix}
	case p.Runtime.Value != "":
		return &Error{p.Runtime.Origin, `runtime is set, but the backend is "native", which needs none; ` + fix + ", and an image"}
	case len(p.Files.Volumes) > 0:
		return &Error{p.Files.Volumes[0].Origin, `files.volumes is set, but the backend is "native", which has no image; take it out, or ` + fix + ", and an image"}
	case len(p.Env.Image) > 0:
		return fmt.Errorf(`env.image is set, but the backend is "native", which has no image; take it out, or %s, and an image`, fix)
	}
	return nil
}

// badReference says why a text cannot be an image's reference, or "". Only whoever
// pulls it knows the whole grammar.
func badReference(ref string) string {
	switch {
	case len(ref) > 512:
		return "it is longer than any reference"
	case strings.ContainsFunc(ref, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "a reference has only printable ASCII characters, without spaces"
	case strings.HasPrefix(ref, "-"):
		return "a reference does not start with a dash"
	}
	return ""
}

// badVolume says why a path of the image cannot be made writable, or "".
func badVolume(p string) string {
	if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "has to be an absolute path inside the image, without . and .."
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if within(p, dir) {
			return "lies in " + dir + ", which is the kernel's"
		}
	}
	if p == "/" {
		return "is the whole image, which is read-only; name directories in it"
	}
	return ""
}

// ownNames are variables that tell about the box, and that no image can set.
var ownNames = []string{"HOME", "USER", "LOGNAME", "TMPDIR"}

// badImageName says why a name cannot stand in env.image, or "".
func badImageName(name string) string {
	if name == "*" {
		return ""
	}
	for _, own := range ownNames {
		if name == own {
			return "tells about the box, and no image can set it; write it into env.set"
		}
	}
	if !validName(name) {
		return `is not the name of a variable, nor "*"`
	}
	return ""
}

func (d *decoder) backend(v value) {
	word(d, v, &d.p.Backend.Value, `"native" or "containerd"`, BackendNative, BackendContainerd)
	d.p.Backend.Origin = Origin{File: d.name, Line: d.line(v.prim)}
}

func (d *decoder) runtime(v value) {
	word(d, v, &d.p.Runtime.Value, `"runc" or "runsc"`, RuntimeRunc, RuntimeRunsc)
	d.p.Runtime.Origin = Origin{File: d.name, Line: d.line(v.prim)}
}

func (d *decoder) image(v value) {
	if !d.read(v, &d.p.Image.Value, `a string: the reference of an OCI image, such as "registry.example.com/name:1.0"`) {
		return
	}
	d.p.Image.Origin = Origin{File: d.name, Line: d.line(v.prim)}
	why := badReference(d.p.Image.Value)
	if d.p.Image.Value == "" {
		why = "take the line out"
	}
	if why != "" {
		d.fail(d.line(v.prim), "image cannot be %q: %s", d.p.Image.Value, why)
	}
}

// imageEnv reads names of variables to take from an image.
func (d *decoder) imageEnv(v value) {
	var names []string
	if !d.read(v, &names, `a list of strings: names of variables, or "*"`) {
		return
	}
	lines := d.elementLines(d.line(v.prim), len(names))
	for i, name := range names {
		if why := badImageName(name); why != "" {
			d.fail(lines[i], "env.image: %q %s", name, why)
		}
	}
	d.p.Env.Image = names
}

// volumes reads directories of an image.
func (d *decoder) volumes(v value) {
	from := len(d.p.Files.Volumes)
	d.paths(&d.p.Files.Volumes)(v)
	for _, p := range d.p.Files.Volumes[from:] {
		if why := badVolume(p.Text); why != "" {
			d.fail(p.Origin.Line, "files.volumes: %q %s", p.Text, why)
		}
	}
}
