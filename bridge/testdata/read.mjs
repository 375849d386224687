// Reads messages as the TypeScript SDK's ReadBuffer does, and prints what
// JSON.parse makes of them: a line of base64 in, a line out. alike_test.go says
// what a reading looks like.

import { createInterface } from "node:readline";

const bits = new DataView(new ArrayBuffer(8));

function text(s) {
	let out = '"';
	for (let i = 0; i < s.length; i++) {
		const c = s.charCodeAt(i);
		out += c < 0x20 || c > 0x7e || c === 0x22 || c === 0x5c ? "\\" + c.toString(16).padStart(4, "0") : s[i];
	}
	return out + '"';
}

function reading(v) {
	switch (typeof v) {
		case "string":
			return text(v);
		case "number":
			bits.setFloat64(0, v === 0 ? 0 : v);
			return "#" + bits.getBigUint64(0).toString(16).padStart(16, "0");
		case "boolean":
			return String(v);
	}
	if (v === null) return "null";
	if (Array.isArray(v)) return "[" + v.map(reading).join(",") + "]";
	return "{" + Object.entries(v).map(([k, e]) => [text(k), reading(e)]).sort(([a], [b]) => (a < b ? -1 : 1)).map(([k, e]) => k + ":" + e).join(",") + "}";
}

for await (const row of createInterface({ input: process.stdin })) {
	const line = Buffer.from(row, "base64").toString("utf8").replace(/\r$/, "");
	let out;
	try {
		out = reading(JSON.parse(line));
	} catch {
		out = "error";
	}
	console.log(out);
}
