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
// Not here: server-redis, which answers nothing until it reaches a Redis
// outside the box; mcp-remote, which is the same with a host on the internet.
package servers
