"""A server with the standard library alone: it keeps notes in a directory."""

import concurrent.futures
import json
import pathlib
import subprocess
import sys

directory = pathlib.Path(sys.argv[1])


def write_note(name, text):
    (directory / name).write_text(text, encoding="utf-8")
    return "written"


def read_note(name):
    return (directory / name).read_text(encoding="utf-8")


def count_words(names):
    """Counts in threads, each with a program."""
    def count(name):
        command = ["/bin/sh", "-c", 'read line <"$1"; set -- $line; echo $#', "sh", str(directory / name)]
        return int(subprocess.run(command, check=True, capture_output=True).stdout)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return str(sum(pool.map(count, names)))


tools = {f.__name__: f for f in (write_note, read_note, count_words)}


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "notes", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools]}
    if method == "tools/call":
        try:
            text, failed = tools[params["name"]](**params.get("arguments", {})), False
        except Exception as e:  # the client's to read
            text, failed = f"{type(e).__name__}: {e}", True
        return {"content": [{"type": "text", "text": text}], "isError": failed}
    return None


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message and "method" in message:
        result = answer(message["method"], message.get("params", {}))
        said = {"result": result} if result else {"error": {"code": -32601, "message": "there is no such method"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **said}), flush=True)
