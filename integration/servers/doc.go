// Package servers runs public, third-party MCP servers, bare and in a box.
//
// The servers are unmodified packages of the npm registry and the Go module
// proxy, pinned in package-lock.json and scripts/servers. A box must not change
// what they do: the tests of this package drive each of them with the same
// client through the same requests, once bare and once by `mcpbox run`, and
// want the same answers. They are also how this project notices that a rule of
// its jail is stricter than real programs can bear.
//
// [All] says how to start each server, what its box must declare, and what is
// asked of it. The demonstration (directory demo) and the benchmark
// (../bench) start servers by the same table.
//
// The tests send nothing into the network of the machine: they run in a network
// namespace of their own. For the servers whose work is on the internet, an
// origin inside it has the names of the real sites, says just enough to satisfy
// the servers, and writes down who was called.
package servers
