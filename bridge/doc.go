// Package bridge relays JSON-RPC between a host and a server over their
// standard streams, and lets pass what both sides, and everybody who looks at
// it on the way, read alike.
//
//	host stdin  ──► pump ──► server stdin      (ToServer)
//	host stdout ◄── pump ◄── server stdout     (ToHost)
//	host stderr ◄── CopyStderr ◄── server stderr
//
// # What passes
//
// One message is one line that ends with a line feed (Model Context Protocol,
// "Transports", stdio). It passes byte for byte, in order, or not at all. A line
// passes if it is JSON that parsers do not differ about (scanner), exactly a
// JSON-RPC request, notification or response (envelope), and has its place in
// the conversation (session): an answer answers a request of the other side
// that waits for it, and once; its result is one of that request's method;
// progress, task and subscription ids belong to something; a server asks only
// what the client has declared, and nothing at all in the era without sessions.
// A batch, which only 2025-03-26 has, passes without the messages that may not.
//
// testdata/hostile.txt has a few hundred lines with their verdicts, and
// TestReadAlike what parsers of several languages make of them. Names that only
// some parsers take for the protocol's, such as Text for text, do not pass either.
// The names of a tool's arguments are the tool's own: whoever judges them has to
// ignore case, as Go's encoding/json does.
//
// # What does not
//
// Nobody waits in vain. A request that does not pass is answered with an error,
// whoever made it; for a response that does not pass the host gets an error;
// when the server is gone, [Relay.Finish] answers all that still waits, and says
// why. An id that can be made out in a line which is no JSON any more, or is too
// long to be held, is answered too (skim). Errors of the relay have codes that
// neither JSON-RPC nor MCP has given a meaning, and data.mcpbox.rule.
//
// What a server prints that was never meant to be a message is noise, and hurts
// nobody; a flood of lines that go nowhere is slowed down (brake). What no honest
// server does counts, and ends the relay at a hundred.
// [Config.Observe] is told of each message and each line.
//
// # Memory and back-pressure
//
// Each direction has one buffer and no queue of what is forwarded. A pump reads
// only after it has written all that it read before, so a side that stops
// reading stops the other side through the kernel's pipe, and nothing piles up
// here. The buffer is small; it grows for a long line, up to the configured
// maximum, and shrinks again afterwards. Lines of the relay's own wait in a
// bounded queue, and go out between two lines of the pump (outlet).
//
// # How a relay ends
//
// The host ends its input: what it sent is delivered, then the server's stdin
// is closed, and [Relay.HostClosed] tells the launcher to begin its shutdown.
// The server ends its output: what it sent is delivered, then [Relay.Run]
// returns. The launcher then ends the box, and calls [Relay.Finish] with the
// reason.
//
// A read from the host or a write to it cannot be interrupted in general: its
// descriptors belong to an open file description that the host shares, whose
// O_NONBLOCK flag is not ours to set. Run and Finish therefore do not wait for a
// goroutine that is blocked there. It stays behind, transfers nothing more than
// the line that it is at, and ends with the process.
package bridge
