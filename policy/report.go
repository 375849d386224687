package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Report is what [Spec] found on the way. All paths are canonical, and the same
// in the box as on the host.
type Report struct {
	Home string `json:"home"` // the box's home directory, a tmpfs unless HomeDir is set
	// HomeDir is the directory on the host that the home is kept in.
	HomeDir string `json:"home_dir,omitempty"`
	Cwd     string `json:"cwd"`

	Read          []string `json:"read,omitempty"`
	Write         []string `json:"write,omitempty"`
	Staged        bool     `json:"staged,omitempty"` // what is written is kept apart
	Hidden        []string `json:"hidden,omitempty"`
	Protected     []string `json:"protected,omitempty"` // read-only inside Write
	Programs      []string `json:"programs,omitempty"`  // read-only, for the program itself
	Sockets       []string `json:"sockets,omitempty"`
	MaskedSockets []string `json:"masked_sockets,omitempty"`

	EnvPassed  []string `json:"env_passed,omitempty"`
	EnvSet     []string `json:"env_set,omitempty"`
	EnvMissing []string `json:"env_missing,omitempty"` // to pass, but not set on the host

	Network *NetworkReport `json:"network"`

	Image *ImageReport `json:"image,omitempty"` // nil where the host's programs run

	Mode   SocketMode `json:"unix_sockets"`
	Limits Limits     `json:"limits"` // defaults filled in
	Notes  []Note     `json:"notes,omitempty"`

	Runaway Runaway `json:"runaway"` // defaults filled in
	Journal Journal `json:"journal"` // defaults filled in

	// Roots is what was below each writable directory, for [Changes].
	Roots []*Snapshot `json:"-"`
	// StagedRoots are the staged directories, in the order of their mounts.
	StagedRoots []*StagedRoot `json:"-"`
}

// OnDisk lists the directories that what is written to grows. Staged ones are as
// they were, whatever the server does.
func (r *Report) OnDisk() []string {
	if r.Staged {
		return nil
	}
	return r.Write
}

// NetworkReport is what is reached over the network.
type NetworkReport struct {
	Mode  NetworkMode `json:"mode"`
	Allow []string    `json:"allow,omitempty"` // rules, in their canonical form
	Proxy string      `json:"proxy,omitempty"` // without the password
	ECH   ECHMode     `json:"ech,omitempty"`   // "" where nothing is connected
}

// Note is something worth saying, mostly about one path.
type Note struct {
	Level Level  `json:"level"`
	Kind  string `json:"kind"`
	Path  string `json:"path,omitempty"`
	Text  string `json:"text"`
}

func (n Note) String() string {
	if n.Path == "" {
		return n.Text
	}
	return n.Path + ": " + n.Text
}

// Level says whether a note deserves a line at every start.
type Level string

const (
	Warning     Level = "warning"     // say it at every start
	Information Level = "information" // say it when asked
)

// Warnings returns the notes to say at every start.
func (r *Report) Warnings() []Note {
	var list []Note
	for _, n := range r.Notes {
		if n.Level == Warning {
			list = append(list, n)
		}
	}
	return list
}

func (b *builder) note(l Level, kind, p, text string) {
	b.report.Notes = append(b.report.Notes, Note{l, kind, p, text})
}

// noteLink reports where a path of the policy leads, if not where it says.
func (b *builder) noteLink(p Path, pl place) {
	abs, err := expand(p, b.facts)
	if err != nil || path.Clean(abs) == pl.path {
		return
	}
	// A link above home is the system's way of laying out directories.
	if rest, ok := strings.CutPrefix(path.Clean(abs), path.Clean(b.facts.Home)); ok && b.home+rest == pl.path {
		return
	}
	b.note(Information, "link", path.Clean(abs), "leads to "+pl.path)
}

func (b *builder) noteScan(snap *Snapshot, a access) {
	if snap.Truncated && a == write {
		b.note(Warning, "scan_truncated", snap.Root, fmt.Sprintf("has more than %d entries: protected names deep inside, as in %s, may be writable; declare a smaller directory", ScanEntries, snap.Missed))
	} else if snap.Truncated {
		b.note(Information, "scan_truncated", snap.Root, fmt.Sprintf("has more than %d entries: not all were searched for unix sockets", ScanEntries))
	}
	for _, c := range snap.Blocked { // of a directory to read: a writable one is refused
		b.note(Information, "unread", c.Path, "cannot be read by you, and so neither by the program")
	}
	for _, dir := range snap.Unread {
		b.note(Information, "unread", dir, "cannot be read by you, and so neither by the program")
	}
}

// powerfulGroups give their members the host, or its devices. A box cannot
// leave them: the kernel does not let an ordinary user drop a group.
var powerfulGroups = []string{
	"adm", "disk", "docker", "incus", "incus-admin", "input", "kvm", "libvirt", "lxd", "podman", "render",
	"root", "shadow", "sudo", "video", "wheel",
}

func (b *builder) noteGroups() {
	var names []string
	for _, g := range b.facts.Groups {
		if g.GID != b.facts.GID && slices.Contains(powerfulGroups, g.Name) {
			names = append(names, g.Name)
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		b.note(Information, "groups", "", "you are in "+strings.Join(names, ", ")+": files in declared directories that these groups can open are open to the program")
	}
}

// noteGroupOwner warns of a declared path that belongs to one of the groups that
// the box cannot leave.
func (b *builder) noteGroupOwner(pl place) {
	if int(pl.info.GID) == b.facts.GID || int(pl.info.UID) == b.facts.UID {
		return
	}
	for _, g := range b.facts.Groups {
		if g.GID == int(pl.info.GID) && slices.Contains(powerfulGroups, g.Name) {
			b.note(Warning, "groups", pl.path, "belongs to group "+g.Name+", which you are in: the program can use what the group can")
		}
	}
}

// privilegedSockets are names, or beginnings of names ending in "*", of sockets
// whose service does what it is told with the user's rights or root's.
var privilegedSockets = []struct{ name, what string }{
	{"docker.sock", "starts containers as root"},
	{"podman.sock", "starts containers with all your files"},
	{"containerd.sock", "starts containers as root"},
	{"crio.sock", "starts containers as root"},
	{"buildkitd.sock", "builds images as root"},
	{"libvirt-sock*", "controls virtual machines"},
	{"unix.socket", "controls virtual machines and containers"},
	{"snapd*", "installs software"},
	{"system_bus_socket", "reaches every service of the system"},
	{"bus", "reaches every service of your session, and starts programs outside the box"},
	{"private", "controls systemd, which starts programs outside the box"},
	{"agent.*", "signs in with your SSH keys"},
	{"ssh-agent*", "signs in with your SSH keys"},
	{"S.gpg-agent*", "uses your GnuPG keys"},
	{"control", "may hold your passwords"},
	{"wayland-*", "sees and drives your desktop"},
	{"X*", "sees and drives your desktop"},
	{"pipewire-*", "hears your microphone"},
	{"tmux-*", "types into your terminals"},
}

func (b *builder) noteSocket(pl place) {
	name := path.Base(pl.path)
	for _, s := range privilegedSockets {
		prefix, glob := strings.CutSuffix(s.name, "*")
		if name == s.name || glob && strings.HasPrefix(name, prefix) {
			b.note(Warning, "privileged_socket", pl.path, "is open to the program: it "+s.what)
			return
		}
	}
}
