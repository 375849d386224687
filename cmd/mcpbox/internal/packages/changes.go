package packages

import (
	"slices"
	"strings"
)

// Changes says in lines what is another between two locks, besides the package
// itself: dependencies added, removed and changed, by name, as one version can
// be there several times. forged is those whose version is the same and whose
// content is not, which no honest registry has. Names and versions are the
// packages' own: they may have any character in them.
func Changes(old, next *Lock) (lines, forged []string) {
	before, after := old.versions(), next.versions()
	var names []string
	for name := range before {
		names = append(names, name)
	}
	for name := range after {
		if before[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		was, is := sortedKeys(before[name]), sortedKeys(after[name])
		switch {
		case len(was) == 0:
			lines = append(lines, "added:   "+name+" "+strings.Join(is, ", "))
		case len(is) == 0:
			lines = append(lines, "removed: "+name+" "+strings.Join(was, ", "))
		case !slices.Equal(was, is):
			lines = append(lines, "changed: "+name+" "+strings.Join(was, ", ")+" -> "+strings.Join(is, ", "))
		}
		for _, version := range is {
			if hash, ok := before[name][version]; ok && hash != after[name][version] {
				forged = append(forged, name+"@"+version)
			}
		}
	}
	if len(lines) == 0 {
		lines = []string{"no package has another version"}
	}
	return lines, forged
}

// versions are the integrity hashes by name and version.
func (l *Lock) versions() map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, p := range l.Packages {
		if all[p.Name] == nil {
			all[p.Name] = map[string]string{}
		}
		all[p.Name][p.Version] = p.Integrity
	}
	return all
}
