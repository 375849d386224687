// Package bridge relays JSON-RPC between a host and a server over their
// standard streams, and asks inspectors about each message.
//
//	host stdin  ──► pump ──► server stdin      (ToServer)
//	host stdout ◄── pump ◄── server stdout     (ToHost)
//	host stderr ◄── CopyStderr ◄── server stderr
//
// One message is one line that ends with a line feed (Model Context Protocol,
// "Transports", stdio). The relay changes nothing: every byte comes out as it
// went in and in the same order, including carriage returns, empty lines and a
// last line without a line feed.
//
// # Memory and back-pressure
//
// Each direction has one buffer and no queue. A pump reads only after it has
// written all that it read before, so a side that stops reading stops the
// other side through the kernel's pipe, and nothing piles up here. The buffer
// is small; it grows for a long line, up to the configured maximum, and shrinks
// again afterwards.
//
// # How a relay ends
//
// The host ends its input: what it sent is delivered, then the server's stdin
// is closed, and [Relay.HostClosed] tells the launcher to begin its shutdown.
// The server ends its output: what it sent is delivered, then [Relay.Run]
// returns. Anything that the relay does not understand or may not pass ends it
// with an error, and the launcher then ends the box.
//
// A read from the host or a write to it cannot be interrupted in general: its
// descriptors belong to an open file description that the host shares, whose
// O_NONBLOCK flag is not ours to set. Run therefore does not wait for a
// goroutine that is blocked there. It stays behind, transfers nothing more, and
// ends with the process.
package bridge
