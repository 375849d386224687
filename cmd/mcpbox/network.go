package main

import (
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
)

// network connects a box to its filter; nil if the policy wants nothing there.
func network(p *policy.Policy, filter *netfilter.Filter) *sandbox.Network {
	if p.Network.Mode == policy.NetworkNone {
		return nil
	}
	n := &sandbox.Network{Address: netfilter.Address(), Attach: filter.Attach}
	for _, s := range filter.Sockets() {
		n.Sockets = append(n.Sockets, sandbox.Socket(s))
	}
	return n
}

// egressLayer says what stands between a box and the network.
func egressLayer(p *policy.Policy, filter *netfilter.Filter) sandbox.Layer {
	l := sandbox.Layer{Name: "egress", State: sandbox.Enforced}
	switch {
	case p.Network.Mode == policy.NetworkNone:
		l.Detail = "no route, no resolver"
	case filter.Hears():
		l.Detail = plural(len(p.Network.Allow), "rule") + "; what else is tried is refused and recorded"
	default:
		l.State = sandbox.Partial
		l.Detail = plural(len(p.Network.Allow), "rule") + "; what else is tried is refused, but not all of it recorded, as there are no raw sockets here"
	}
	return l
}

// relayLayer says what is in force for messages.
func relayLayer(raw bool) sandbox.Layer {
	if raw {
		return sandbox.Layer{Name: "messages", State: sandbox.Missing, Detail: "--raw: every byte passes"}
	}
	return sandbox.Layer{Name: "messages", State: sandbox.Enforced, Detail: "only what the protocol allows passes"}
}
