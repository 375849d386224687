// Package relay proves what the relay promises, with clients, servers and checks
// that others wrote: between a host and a server in a box nothing changes that
// no policy asks to change, and every request gets one answer.
//
// Each test makes the same conversation twice, with a server that the host
// starts itself and with the same server by `mcpbox run`, and compares:
//
//   - the verdicts of the protocol's conformance suite, for both eras. The suite
//     speaks HTTP, so a front of ours, which passes the bytes of each message
//     on, stands between it and a server on stdio;
//   - what the command line of the MCP Inspector prints;
//   - go-sdk's transcripts, played by both sides;
//   - what a client sees of servers that ask it for roots, sampling and
//     elicitation, report progress, are cancelled, and send long results.
//
// In the box the server is started by the program peer, which writes down what
// the server reads and writes; the host's side writes down what it sends and
// receives. The two records must be the same, byte for byte.
//
// Much of it is done once more in containers, with runc and with gVisor, as an
// ordinary user: what is expected is the same to the byte, whatever the box is made
// of.
//
// The tests run in a network namespace of their own with loopback and nothing
// else. They need Node.js 22 and the packages of package.json, which
// scripts/test installs.
package relay
