// Gives lines to the ReadBuffer of a TypeScript SDK, whose module is the
// argument: a line of base64 in, a line out: "refused", "same" if it is read as
// the one message that JSON.parse makes of it, or what it is read as.

import { createInterface } from "node:readline";
import { isDeepStrictEqual } from "node:util";

const { ReadBuffer } = await import(process.argv[2]);

function read(bytes) {
	const buffer = new ReadBuffer();
	buffer.append(Buffer.concat([bytes, Buffer.from("\n")]));
	const messages = [];
	try {
		for (let m; (m = buffer.readMessage()) !== null; ) messages.push(m);
	} catch {
		return "refused";
	}
	if (messages.length === 0) return "refused";
	let same = false;
	try {
		same = messages.length === 1 && isDeepStrictEqual(messages[0], JSON.parse(bytes.toString("utf8")));
	} catch {}
	return same ? "same" : JSON.stringify(messages);
}

for await (const row of createInterface({ input: process.stdin })) {
	console.log(read(Buffer.from(row, "base64")));
}
