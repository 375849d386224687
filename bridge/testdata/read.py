"""Reads messages as the Python SDK does, and prints what json makes of them: a
line of base64 in, a line out. alike_test.go says what a reading looks like.

The argument says whose way it is. A server has sys.stdin as text, in which a
carriage return ends a line, too, and bytes that are no UTF-8 are replaced. A
client splits at line feeds only, and gives up at such bytes.
"""

import base64
import json
import struct
import sys

SERVER = sys.argv[1] == "server"


def text(s):
    units = s.encode("utf-16-be", "surrogatepass")
    out = '"'
    for i in range(0, len(units), 2):
        c = units[i] << 8 | units[i + 1]
        out += "\\%04x" % c if c < 0x20 or c > 0x7E or c in (0x22, 0x5C) else chr(c)
    return out + '"'


def reading(v):
    if v is None:
        return "null"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return text(v)
    if isinstance(v, (int, float)):
        try:
            f = float(v)
        except OverflowError:
            f = float("inf") if v > 0 else float("-inf")
        return "#" + struct.pack(">d", f if f != 0 else 0.0).hex()
    if isinstance(v, list):
        return "[" + ",".join(map(reading, v)) + "]"
    return "{" + ",".join(sorted_members(v)) + "}"


def sorted_members(v):
    return [k + ":" + e for k, e in sorted((text(k), reading(e)) for k, e in v.items())]


def read(line):
    if SERVER:
        decoded = line.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    else:
        decoded = line.decode("utf-8")
    return [reading(json.loads(part)) for part in decoded.split("\n") if part.strip() or not SERVER]


for row in sys.stdin:
    try:
        out = " ".join(read(base64.b64decode(row)))
    except (ValueError, RecursionError):
        out = "error"
    print(out)
