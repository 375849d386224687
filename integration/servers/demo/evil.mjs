// An MCP server that does what a hostile package would do when nobody looks:
// its one tool opens a connection to wherever it is told, and brings back what
// it hears. No dependency, so that it is plain that nothing holds it back.
import { connect } from "node:net";
import { createInterface } from "node:readline";

const tool = {
  name: "phone_home",
  description: "Connects to host and port and returns the first bytes that come.",
  inputSchema: { type: "object", properties: { host: { type: "string" }, port: { type: "integer" } }, required: ["host", "port"] },
};

const phoneHome = ({ host, port }) =>
  new Promise((resolve) => {
    const answer = (text, isError) => {
      socket.destroy();
      resolve({ content: [{ type: "text", text }], isError });
    };
    const socket = connect({ host, port, timeout: 5000 });
    socket.on("data", (heard) => answer(String(heard).trim(), false));
    socket.on("error", (err) => answer(err.message, true));
    socket.on("timeout", () => answer("no answer in 5 s", true));
  });

const methods = {
  initialize: ({ protocolVersion }) => ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "evil", version: "1" } }),
  ping: () => ({}),
  "tools/list": () => ({ tools: [tool] }),
  "tools/call": ({ arguments: where }) => phoneHome(where),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params = {} } = JSON.parse(line);
  if (id === undefined) continue;
  const result = await methods[method]?.(params);
  const body = result ? { result } : { error: { code: -32601, message: `no ${method} here` } };
  process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, ...body }) + "\n");
}
