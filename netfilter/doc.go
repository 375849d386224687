// Package netfilter answers one question: may this connection leave?
//
// A box has no way out of its network namespace. Every address is local there,
// and the sockets that listen at those addresses belong to the launcher. So a
// connection of the server's, to whatever address, arrives here by the kernel's
// own TCP, without a proxy variable, a certificate authority or a device:
//
//	box                          │ launcher                            world
//	                             │
//	getaddrinfo("api.x") ──udp──▶│ resolver: allowed? its virtual
//	        29.77.0.2 ◀──────────│ address, else "no such name"
//	                             │
//	connect(29.77.0.2:443) ─tcp─▶│ listener: the address tells the name
//	                             │ dialer: resolve, drop what must not be
//	                             │ reached, dial what is left ─────tcp──▶ api.x
//	ClientHello ────────────────▶│ sniff: is it for api.x?
//	        ◀════ splice(2) ════▶│◀═════════════ splice(2) ═════════════▶
//
// An address at which nobody listens is refused by the kernel, at once. The
// sensors, raw sockets with a filter for those refusals, hear of them.
//
// # What is certain, and what is not
//
// Nothing leaves but by a socket that the dialer made, and the dialer is asked
// only with a rule in hand: a fault in the rest costs a connection, not the
// wall. No query of the box goes upstream; a name is resolved when it is dialled,
// and the address that was checked is the one that is dialled, so that a name
// server cannot exchange it in between.
//
// The server name of TLS and the Host of HTTP are what the program says. They
// keep it from asking an allowed machine for another site; they do not look
// inside TLS.
package netfilter
