package policy

import (
	"cmp"
	"maps"
	"slices"
)

// Extend returns base with over on top: lists add up without repetition, single
// values of over replace those of base, and so do variables. What either one
// hides stays hidden. Neither argument is changed, and either may be nil.
func Extend(base, over *Policy) *Policy {
	if base == nil {
		base = &Policy{}
	}
	if over == nil {
		over = &Policy{}
	}
	p := &Policy{
		Profile:     base.Profile,
		Why:         base.Why,
		UnixSockets: base.UnixSockets,
		Home:        base.Home,
		HomeDir:     base.HomeDir,
		Backend:     over.Backend.either(base.Backend),
		Image:       over.Image.either(base.Image),
		Runtime:     over.Runtime.either(base.Runtime),
		Files: Files{
			Read:      addPaths(base.Files.Read, over.Files.Read),
			Write:     addPaths(base.Files.Write, over.Files.Write),
			Hide:      addPaths(base.Files.Hide, over.Files.Hide),
			Protect:   addPaths(base.Files.Protect, over.Files.Protect),
			Sockets:   addPaths(base.Files.Sockets, over.Files.Sockets),
			Volumes:   addPaths(base.Files.Volumes, over.Files.Volumes),
			NoexecTmp: base.Files.NoexecTmp,
			Staged:    base.Files.Staged,
		},
		Env: Env{
			Pass:  add(base.Env.Pass, over.Env.Pass),
			Set:   maps.Clone(base.Env.Set),
			Image: add(base.Env.Image, over.Env.Image),
		},
		Network: Network{
			Mode:  base.Network.Mode,
			Allow: addRules(base.Network.Allow, over.Network.Allow),
			Proxy: base.Network.Proxy,
			ECH:   base.Network.ECH,
		},
		Limits: Limits{
			Memory:    either(over.Limits.Memory, base.Limits.Memory),
			CPUs:      cmp.Or(over.Limits.CPUs, base.Limits.CPUs),
			Pids:      either(over.Limits.Pids, base.Limits.Pids),
			OpenFiles: either(over.Limits.OpenFiles, base.Limits.OpenFiles),
			Tmp:       either(over.Limits.Tmp, base.Limits.Tmp),
			Disk:      either(over.Limits.Disk, base.Limits.Disk),
			Message:   either(over.Limits.Message, base.Limits.Message),
			Egress:    either(over.Limits.Egress, base.Limits.Egress),
			Require:   cmp.Or(over.Limits.Require, base.Limits.Require),
			Staged:    either(over.Limits.Staged, base.Limits.Staged),
		},
		Runaway: base.Runaway.extend(over.Runaway),
		Journal: base.Journal.extend(over.Journal),
		Packages: Packages{
			Scripts:  add(base.Packages.Scripts, over.Packages.Scripts),
			Unsigned: add(base.Packages.Unsigned, over.Packages.Unsigned),
			Allow:    addRules(base.Packages.Allow, over.Packages.Allow),
		},
		Sources: add(base.Sources, over.Sources),
	}
	if over.Profile != "" {
		p.Profile, p.Why = over.Profile, over.Why
	} else if over.Why != "" {
		p.Why = over.Why
	}
	if over.UnixSockets != "" {
		p.UnixSockets = over.UnixSockets
	}
	if over.Home != "" {
		p.Home = over.Home
	}
	if over.HomeDir != "" {
		p.HomeDir = over.HomeDir
	}
	if over.Network.Mode != "" {
		p.Network.Mode = over.Network.Mode
	}
	if over.Network.Proxy != nil {
		p.Network.Proxy = over.Network.Proxy
	}
	if over.Network.ECH != "" {
		p.Network.ECH = over.Network.ECH
	}
	if over.Files.NoexecTmp != nil {
		p.Files.NoexecTmp = over.Files.NoexecTmp
	}
	if over.Files.Staged != nil {
		p.Files.Staged = over.Files.Staged
	}
	if p.Env.Set == nil && over.Env.Set != nil {
		p.Env.Set = map[string]string{}
	}
	maps.Copy(p.Env.Set, over.Env.Set)
	// A name that over passes has the host's value, whatever base set it to.
	for _, name := range over.Env.Pass {
		if _, set := over.Env.Set[name]; !set {
			delete(p.Env.Set, name)
		}
	}
	return p
}

func add(base, over []string) []string {
	list := slices.Clone(base)
	for _, s := range over {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// addPaths tells paths apart by their text and where they may be relative to.
func addPaths(base, over []Path) []Path {
	list := slices.Clone(base)
	for _, p := range over {
		if !slices.ContainsFunc(list, func(q Path) bool { return q.Text == p.Text && (q.Origin.File == "") == (p.Origin.File == "") }) {
			list = append(list, p)
		}
	}
	return list
}
