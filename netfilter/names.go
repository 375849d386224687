package netfilter

import (
	"errors"
	"net/netip"
	"os"
	"sync"
)

// names knows which virtual address stands for which name.
type names struct {
	mu     sync.Mutex
	plan   plan
	byName map[string]*destination
	byAddr map[netip.Addr]*destination
	spare  []*os.File
	fresh  limiter // names below suffixes that were never asked for before
}

func (n *names) init(p plan) {
	n.plan = p
	n.byName, n.byAddr = map[string]*destination{}, map[netip.Addr]*destination{}
	n.fresh = limiter{rate: 10, burst: 50}
	for _, d := range p.exact {
		n.byName[d.name], n.byAddr[d.virtual] = d, d
	}
}

func (n *names) setSpare(files []*os.File) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.spare = files
}

// at returns what an address stands for, or nil.
func (n *names) at(a netip.Addr) *destination {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byAddr[a]
}

// known returns what already stands for name, or nil.
func (n *names) known(name string) *destination {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.byName[name]
}

var (
	errUnknownName = errors.New("no rule allows it")
	errTooMany     = errors.New("too many names below suffix rules")
	errTooLong     = errors.New("labels longer than those of real names")
)

// A name below a suffix rule is told to whoever serves the suffix, at the
// latest when it is dialled, so that it can carry a secret there. These bounds
// leave little room: 256 names, at ten a second.
const (
	maxLabel    = 40 // bytes of a label that the suffix does not have; a UUID has 36
	maxBelow    = 80 // bytes of all of them
	maxNameText = 253
)

// find returns what stands for name, which is canonical; for one that is allowed
// by a suffix and new, listen is called with its sockets. Each is listen's to
// deal with: one that fails costs the name that port and nothing more.
func (n *names) find(name string, listen func(*os.File, netip.AddrPort)) (*destination, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.byName[name]; d != nil {
		return d, nil
	}
	suffix := ""
	for _, r := range n.plan.rules {
		if r.Suffix && r.MatchName(name) && len(r.Name) > len(suffix) {
			suffix = r.Name
		}
	}
	switch {
	case suffix == "":
		return nil, errUnknownName
	case !plausible(name[:len(name)-len(suffix)-1]):
		return nil, errTooLong
	case len(n.byName)-len(n.plan.exact) >= maxNames, !n.fresh.take():
		return nil, errTooMany
	}
	next := n.plan // is only kept if all goes well
	d := next.destination(name)
	var at []netip.AddrPort
	for _, r := range d.rules {
		for port := range ports(r) {
			if !next.covers(d.virtual, port) {
				at = append(at, netip.AddrPortFrom(d.virtual, port))
			}
		}
	}
	if len(at) > len(n.spare) {
		return nil, errTooMany
	}
	files := n.spare[:len(at)]
	n.spare = n.spare[len(at):]
	for i, file := range files {
		listen(file, at[i])
	}
	n.plan = next
	n.byName[name], n.byAddr[d.virtual] = d, d
	return d, nil
}

// plausible reports whether the labels below a suffix look like those of a host.
func plausible(below string) bool {
	if len(below) > maxBelow {
		return false
	}
	length := 0
	for _, c := range below {
		if length++; c == '.' {
			length = 0
		}
		if length > maxLabel {
			return false
		}
	}
	return true
}

// Close closes the sockets that were not needed.
func (n *names) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, file := range n.spare {
		file.Close()
	}
	n.spare = nil
	return nil
}
