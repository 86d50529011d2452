#!/usr/bin/env bash
# What one would guess: the SDK of an API has a parameter for each field that the API documents, and sampling fields (temperature, top_p, top_k) are among the oldest.
# What happens: Messages.create of the Python package has none of the three any more: passing one is a TypeError before anything is sent. extra_body still
#   carries them. Wrappers that set a temperature by default have to know that.
# Why it matters here: tests of /v1/messages with this SDK send sampling fields in extra_body (tests/http/clients/anthropic_cases.py); examples for users that pass
#   temperature= break with newer packages, though the server takes the field.
# Linux, Python 3 with pip, network; some 60 MB in a temporary folder. The server is Python's own and answers one line.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet anthropic==2.14.0
"$work/venv/bin/python" - << 'END'
import http.server
import inspect
import json
import threading

import anthropic

sent = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = json.dumps({
            "id": "m", "type": "message", "role": "assistant", "model": "x", "content": [], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = anthropic.Anthropic(api_key="k", base_url=f"http://127.0.0.1:{server.server_port}", max_retries=0)
ask = {"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
print("anthropic", anthropic.__version__)
parameters = inspect.signature(type(client.messages).create).parameters
gone = [name for name in ("temperature", "top_p", "top_k") if name not in parameters]
print("no parameters of Messages.create:", ", ".join(gone))
try:
    client.messages.create(**ask, temperature=0.5)
    refused = False
except TypeError as error:
    refused = True
    print("temperature=0.5:", error)
client.messages.create(**ask, extra_body={"temperature": 0.5})
print("extra_body sends:", sent[-1].get("temperature"))
raise SystemExit(0 if len(gone) == 3 and refused and sent[-1].get("temperature") == 0.5 else "this has changed")
END
# Seen: anthropic 2.14.0
#   no parameters of Messages.create: temperature, top_p, top_k
#   temperature=0.5: Messages.create() got an unexpected keyword argument 'temperature'
#   extra_body sends: 0.5
