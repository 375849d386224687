package policy

import (
	"fmt"
	"slices"
)

// Network is what a program reaches beyond its own box. The zero value is a
// filter that lets nothing pass, and says what was tried.
type Network struct {
	Mode  NetworkMode // "" means [NetworkFiltered]
	Allow []Rule      // what passes; anything else is refused
	Proxy *Proxy      // the way out of this host; nil: directly
	ECH   ECHMode     // "" means [ECHDeny]
}

// NetworkMode says how a box is connected.
type NetworkMode string

const (
	// NetworkFiltered: what the rules allow, through mcpbox. Everything else is
	// refused and reported.
	NetworkFiltered NetworkMode = "filtered"
	// NetworkNone: a loopback interface, and not even names are answered.
	NetworkNone NetworkMode = "none"
)

// ECHMode says what becomes of a TLS connection whose server name may be
// another one than it says: encrypted ClientHello, RFC 9849.
type ECHMode string

const (
	// ECHDeny refuses it.
	ECHDeny ECHMode = "deny"
	// ECHAllow checks the name that can be read, and lets the rest pass.
	// Browsers send the extension always, with nothing in it.
	ECHAllow ECHMode = "allow"
)

// Connection returns the mode, with the default for a policy that names none.
func (n *Network) Connection() NetworkMode {
	if n.Mode == "" {
		return NetworkFiltered
	}
	return n.Mode
}

// Hello returns what becomes of encrypted ClientHellos, with the default for a
// policy that does not say.
func (n *Network) Hello() ECHMode {
	if n.ECH == "" {
		return ECHDeny
	}
	return n.ECH
}

// What all rules of a box may come to: each port of each rule takes a listening
// socket, or one of each name below a suffix, and each question is compared with
// each rule.
const (
	maxRules = 256
	maxPorts = 1024
)

// check refuses what cannot be enforced, whoever put it together.
func (n *Network) check() error {
	switch n.Connection() {
	case NetworkFiltered:
	case NetworkNone:
		if len(n.Allow) > 0 {
			return &Error{n.Allow[0].Origin, fmt.Sprintf(`%q is allowed, but network.mode is "none"; set mode = "filtered", or take the rule out`, n.Allow[0].Text)}
		}
		if n.Proxy != nil {
			return fmt.Errorf(`network.proxy is %s, but network.mode is "none"; set mode = "filtered", or take the proxy out`, n.Proxy)
		}
	default:
		return fmt.Errorf(`network.mode cannot be %q; it has to be "filtered" or "none"`, n.Mode)
	}
	if m := n.Hello(); m != ECHDeny && m != ECHAllow {
		return fmt.Errorf(`network.ech cannot be %q; it has to be "deny" or "allow"`, n.ECH)
	}
	if len(n.Allow) > maxRules {
		return &Error{n.Allow[maxRules].Origin, fmt.Sprintf("%d network rules; at most %d can be in force: use ranges of addresses, or suffixes", len(n.Allow), maxRules)}
	}
	ports := 0
	for _, r := range n.Allow {
		for _, p := range r.Ports {
			ports += int(p.Last) - int(p.First) + 1
		}
		if ports > maxPorts {
			return &Error{r.Origin, fmt.Sprintf("with %q, the network rules come to more than %d ports, each of which takes a socket; name fewer", r.Text, maxPorts)}
		}
	}
	return nil
}

// addRules tells rules apart by what they mean.
func addRules(base, over []Rule) []Rule {
	if len(over) == 0 {
		return slices.Clone(base)
	}
	list := slices.Clone(base)
	known := map[string]bool{}
	for _, r := range base {
		known[r.String()] = true
	}
	for _, r := range over {
		if s := r.String(); !known[s] {
			known[s] = true
			list = append(list, r)
		}
	}
	return list
}
