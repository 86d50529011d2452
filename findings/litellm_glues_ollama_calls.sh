#!/usr/bin/env bash
# What one would guess: two tool calls that an Ollama server streams, each with its index, reach who uses litellm as two calls.
# What happens: litellm's provider for Ollama's chats numbers the calls of each line from 0 and does not look at their index. Two calls in two lines
#   are both call 0, and its own stream_chunk_builder joins their arguments: one call, whose arguments are no JSON. In one line, or unstreamed, they are two.
# Why it matters here: a server that sends each call as soon as it is whole, as Ollama does, meets this with every model that calls tools in parallel. Users of litellm
#   are better served by its openai/ or anthropic/ provider against the same server (tests/http/clients/litellm_cases.py).
# Linux, Python 3 with pip, network; some 300 MB in a temporary folder. The server is Python's own and answers three lines.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet litellm==1.110.2
LITELLM_LOCAL_MODEL_COST_MAP=True "$work/venv/bin/python" - << 'END'
import http.server
import json
import threading
from importlib.metadata import version

import litellm

LINES = [{"message": {"role": "assistant", "content": "", "tool_calls": [
    {"function": {"index": i, "name": "weather", "arguments": {"city": city}}}]}, "done": False} for i, city in enumerate(("Oslo", "Rome"))]
LINES.append({"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        streams = self.path == "/api/chat"
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson" if streams else "application/json")
        self.end_headers()
        for line in LINES if streams else [{}]:
            self.wfile.write(json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", **line}).encode() + b"\n")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
chunks = list(litellm.completion(model="ollama_chat/m", api_base=f"http://127.0.0.1:{server.server_port}", stream=True, tools=tools,
                                 messages=[{"role": "user", "content": "Compare"}]))
calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or []]
joined = [c.function.arguments for c in litellm.stream_chunk_builder(chunks).choices[0].message.tool_calls]
print("litellm", version("litellm"))
print("sent: calls 0 and 1, a line each")
print("chunks:", [(c.index, c.function.arguments) for c in calls])
print("joined by stream_chunk_builder:", joined)
raise SystemExit(0 if [c.index for c in calls] == [0, 0] and len(joined) == 1 else "this has changed")
END
# Seen: litellm 1.110.2
#   sent: calls 0 and 1, a line each
#   chunks: [(0, '{"city": "Oslo"}'), (0, '{"city": "Rome"}')]
#   joined by stream_chunk_builder: ['{"city": "Oslo"}{"city": "Rome"}']
