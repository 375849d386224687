package sandbox

import (
	"net/netip"
	"os"
)

// Network is how a box reaches beyond its own loopback interface: not by a way
// out of its network namespace, of which there is none, but through sockets
// that lie in the namespace and belong to somebody outside. Every address is
// local there (ip-route(8), type local), so that a connection to any of them
// arrives at the socket that is bound to it. Where none is, the kernel refuses
// it at once.
type Network struct {
	// Address is an IPv4 address of the loopback interface, beside 127.0.0.1. A
	// program that asks for addresses of the families that are configured
	// (getaddrinfo(3), AI_ADDRCONFIG) gets none of a family of which there is
	// only a loopback address.
	Address netip.Addr

	// Sockets are made in the box's network namespace, unbound.
	Sockets []Socket

	// Attach gets them, in the order of Sockets, before the program runs, to
	// bind and to use for as long as the box lives. It owns them from then on,
	// whatever it returns. An optional one that the machine cannot make is
	// nil. An error abandons the box, and is what Start returns.
	Attach func([]*os.File) error
}

// Socket says what to make: the arguments of socket(2).
type Socket struct {
	Domain, Type, Protocol int

	// Optional lets the box start without it.
	Optional bool
}
