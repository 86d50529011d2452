#!/usr/bin/env python3
"""Writes down what Xinference's published client sends and what it is answered: record.py URL MODEL_DIRECTORY PYTHON.

Stands between client_test.py, run by PYTHON, and the server at URL; writes calls.json beside itself, which
tests/e2e/xinference_calls_test.py plays again. Run it (scripts/test_xinference --record) when client_test.py has changed.
"""

import http.client
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))


def shape(value):
    """Fields and types, without values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "null" if value is None else "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


def shape_of_text(text):
    try:
        return shape(json.loads(text))
    except json.JSONDecodeError:
        return "stream" if text.startswith("data: ") else "text"


def main():
    url, model, python = sys.argv[1:4]
    server = urllib.parse.urlsplit(url)
    calls = []
    lock = threading.Lock()

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            connection = http.client.HTTPConnection(server.hostname, server.port, timeout=120)
            headers = {k: v for k, v in self.headers.items() if k.lower() in ("content-type", "authorization", "accept")}
            connection.request(self.command, self.path, body or None, headers)
            response = connection.getresponse()
            text = response.read()
            connection.close()
            self.send_response(response.status)
            self.send_header("Content-Type", response.getheader("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            call = {"method": self.command, "path": self.path, "status": response.status, "shape": shape_of_text(text.decode())}
            if body:
                call["body"] = json.loads(body.replace(model, "$MODEL"))
            with lock:
                if calls and calls[-1]["path"] == self.path and self.path.endswith("/progress"):
                    calls.pop()  # it is asked until it is done
                calls.append(call)

        do_GET = do_POST = do_DELETE = handle_one

        def log_message(self, *_):
            pass

    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    subprocess.run([python, os.path.join(HERE, "client_test.py"), f"http://127.0.0.1:{proxy.server_port}", model], check=True)
    proxy.shutdown()
    with open(os.path.join(HERE, "calls.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(call) for call in calls) + "\n]\n")
    print(f"record: {len(calls)} calls")


if __name__ == "__main__":
    main()
