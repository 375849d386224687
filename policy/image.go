package policy

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Image is what a box runs in the place of the host's programs: what an OCI image
// says of itself. Nothing of it is trusted. Who made the image wrote it, and it is
// followed where it can only concern the image's own files: which program, in which
// directory, found in which PATH. Its other variables and its volumes are taken as
// far as the policy says, and its user is not.
type Image struct {
	Ref    string // as a person wrote it
	Digest string // of its manifest, such as "sha256:…"

	Entrypoint, Cmd []string // the command, if none is given
	Env             []string // NAME=VALUE
	WorkingDir      string
	User            string
	Volumes         []string
}

// ImageReport is what of an image a box takes.
type ImageReport struct {
	Ref     string      `json:"ref"`
	Digest  string      `json:"digest,omitempty"`
	Runtime RuntimeName `json:"runtime"`
	Env     []string    `json:"env,omitempty"`     // names of variables that are taken
	Volumes []string    `json:"volumes,omitempty"` // directories that are writable
}

// startImage checks an image before anything is made of it.
func (b *builder) startImage() error {
	im := b.prog.Image
	if (im != nil) != (b.p.BackendName() == BackendContainerd) {
		return fmt.Errorf("backend %q: an image and a backend for it go together", b.p.BackendName())
	}
	if im == nil {
		return nil
	}
	b.report.Image = &ImageReport{Ref: im.Ref, Digest: im.Digest, Runtime: b.p.RuntimeName()}
	if len(b.prog.Prefixes)+len(b.prog.Files)+len(b.prog.PathDirs) > 0 {
		return errors.New("files of the host cannot belong to a program of an image")
	}
	if len(b.prog.Argv) == 0 {
		b.prog.Argv = slices.Concat(im.Entrypoint, im.Cmd)
	}
	if len(b.prog.Argv) == 0 || b.prog.Argv[0] == "" {
		return fmt.Errorf("the image %s names no command; add one: -- COMMAND [ARG...]", im.Ref)
	}
	for _, arg := range b.prog.Argv {
		if strings.ContainsRune(arg, 0) {
			return fmt.Errorf("the image %s names a command with a NUL byte, which nothing can run; add another: -- COMMAND [ARG...]", im.Ref)
		}
	}
	if w := im.WorkingDir; w != "" {
		// What lies in /proc could be a directory of whoever makes the box
		// (CVE-2024-21626).
		if why := badVolume(path.Clean(w)); !path.IsAbs(w) || why != "" && path.Clean(w) != "/" {
			return fmt.Errorf("the image %s wants to start in %q, which is no directory of an image", im.Ref, w)
		}
	}
	if u := im.User; u != "" {
		b.note(Information, "image_user", "", fmt.Sprintf("the image asks for the user %q; it runs as the box's user, as every server", shorten(u)))
	}
	return nil
}

// volumes makes directories of the image writable, each in memory.
func (b *builder) volumes(exec []string) {
	if b.prog.Image == nil {
		return
	}
	for _, v := range b.p.Files.Volumes {
		b.tree.put(rankSystem, tmpfs(v.Text, b.limits.Tmp, "1777", exec...))
		b.report.Image.Volumes = append(b.report.Image.Volumes, v.Text)
	}
	slices.Sort(b.report.Image.Volumes)
	var left []string
	for _, v := range b.prog.Image.Volumes {
		if v = path.Clean(v); badVolume(v) == "" && !slices.Contains(b.report.Image.Volumes, v) {
			left = append(left, shorten(v))
		}
	}
	slices.Sort(left)
	if len(left) > 0 {
		b.note(Information, "image_volume", "", fmt.Sprintf("the image wants to write to %s, where the box is read-only; to have it writable, in memory, write [files] volumes = [%s]",
			few(left), quoted(left)))
	}
}

// checkVolumes refuses a volume where it would lie over something else.
func (b *builder) checkVolumes() error {
	for _, v := range b.p.Files.Volumes {
		for _, d := range b.declared {
			if within(v.Text, d.path) {
				return &Error{v.Origin, fmt.Sprintf("files.volumes: %q lies in %s, which is a directory of the host that the same policy shows", v.Text, d.path)}
			}
		}
	}
	return nil
}

// imageEnv puts what the policy takes of the image's variables into env, and its
// PATH, in which its program is found.
func (b *builder) imageEnv(env map[string]string) {
	im := b.prog.Image
	if im == nil {
		return
	}
	taken, left := map[string]bool{}, map[string]bool{}
	for _, e := range im.Env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || !validName(name) || strings.ContainsRune(value, 0) || slices.Contains(ownNames, name) {
			continue
		}
		switch {
		case name == "PATH":
			if dirs := cleanPath(value); dirs != "" {
				env["PATH"] = dirs
			}
		case b.declaresVariable(name):
		case slices.Contains(b.p.Env.Image, name), slices.Contains(b.p.Env.Image, "*"):
			env[name] = value
			taken[name] = true
		default:
			left[name] = true
		}
	}
	b.report.Image.Env = slices.Sorted(maps.Keys(taken))
	if names := slices.Sorted(maps.Keys(left)); len(names) > 0 {
		for i := range names {
			names[i] = shorten(names[i])
		}
		b.note(Information, "image_env", "", fmt.Sprintf("the image sets %s, which the box does not take; to take them, write [env] image = [%s]", few(names), quoted(names)))
	}
}

// declaresVariable reports whether a variable has a value of the policy's own,
// against which the image's does not count.
func (b *builder) declaresVariable(name string) bool {
	if _, set := b.p.Env.Set[name]; set {
		return true
	}
	_, there := b.h.LookupEnv(name)
	return there && slices.Contains(b.p.Env.Pass, name)
}

// cleanPath keeps the absolute directories of a PATH: an empty or relative one
// means the working directory, which may be one that the server writes to.
func cleanPath(value string) string {
	var dirs []string
	for dir := range strings.SplitSeq(value, ":") {
		if path.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, ":")
}

// few lists names for a sentence, quoted lists them for a policy; both up to a
// bound.
func few(names []string) string {
	if n := len(names); n > fewNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:fewNames], ", "), n-fewNames)
	}
	return strings.Join(names, ", ")
}

func quoted(names []string) string {
	list := make([]string, 0, fewNames+1)
	for _, name := range names[:min(len(names), fewNames)] {
		list = append(list, fmt.Sprintf("%q", name))
	}
	if len(names) > fewNames {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

const fewNames = 8
