#!/usr/bin/env bash
# What one would guess: a client library that posts JSON says so: Content-Type: application/json. The same library does it for
#   OpenAI's and for Anthropic's API.
# What happens: litellm's provider for Ollama's chats sends the JSON text as a body without any Content-Type. Ollama's server does not look.
# Why it matters here: a server that takes JSON only under its name, which is what keeps pages of other sites from posting
#   without asking first, refuses every such request (415). Ollama's routes here take JSON under any type from programs, and from pages (Origin, Sec-Fetch-Site) only
#   under its own (src/serve/http_api.cc).
# Linux, Python 3 with pip, network; some 300 MB in a temporary folder. The server is Python's own and answers one line.
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

seen = {}
ANSWERS = {
    "/api/chat": {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": "hi"}, "done": True,
                  "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1},
    "/v1/chat/completions": {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    "/v1/messages": {"id": "x", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
                     "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}},
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        json.loads(body)
        seen[self.path] = self.headers["Content-Type"]
        answer = json.dumps(ANSWERS.get(self.path, {})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
for model, url in (("ollama_chat/m", base), ("openai/m", base + "/v1"), ("anthropic/m", base)):
    reply = litellm.completion(model=model, api_base=url, api_key="k", messages=[{"role": "user", "content": "hello"}])
    assert reply.choices[0].message.content == "hi"
print("litellm", version("litellm"))
for path, kind in seen.items():
    print(f"{path}: Content-Type {kind}")
typed = all(seen[p] == "application/json" for p in ("/v1/chat/completions", "/v1/messages"))
raise SystemExit(0 if typed and seen["/api/chat"] is None else "this has changed")
END
# Seen: litellm 1.110.2
#   /api/chat: Content-Type None
#   /v1/chat/completions: Content-Type application/json
#   /v1/messages: Content-Type application/json
