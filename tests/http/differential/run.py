#!/usr/bin/env python3
"""H-16: the server behind nginx and HAProxy: run.py FAKE_SERVER.

Each case of bytes is sent through each proxy on a connection of its own, and once without one. A proxy and the server
agree when the server saw as many requests as replies of it came back: a request smuggled past the proxy would be answered
into nobody's hands, or into those of the next client. Without a proxy there is one reading only: bytes that a case means
to hide in a body (they ask for /hidden, which is 404) must not be answered, unless the framing before them is plain.

Needs Debian's nginx and haproxy; not part of the test suite.
"""

import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import time

HIDDEN = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = '{"messages":[{"role":"user","content":"hi"}]}'


def post(framing, rest, version="1.1", line_end="\r\n"):
    head = f"POST /v1/chat/completions HTTP/{version}{line_end}Host: localhost{line_end}"
    head += f"Content-Type: application/json{line_end}"
    return (head + framing.replace("\n", line_end) + line_end + rest).encode("latin-1")


def chunked(text):
    return f"{len(text):x}\r\n{text}\r\n0\r\n\r\n"


def cases():
    length = f"Content-Length: {len(BODY)}\n"
    both = f"Content-Length: 5\nTransfer-Encoding: chunked\n"
    yield "plain", post(length, BODY), True
    yield "plain chunked", post("Transfer-Encoding: chunked\n", chunked(BODY)), True
    yield "pipelined", post(length, BODY) * 3, True
    yield "chunk extension", post("Transfer-Encoding: chunked\n", f"{len(BODY):x};a=b\r\n{BODY}\r\n0\r\n\r\n"), True
    yield "trailer", post("Transfer-Encoding: chunked\n", f"{len(BODY):x}\r\n{BODY}\r\n0\r\nX: y\r\n\r\n"), True
    te = [
        "Transfer-Encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\tchunked",
        "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked", 'Transfer-Encoding: "chunked"', "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: CHUNKED", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding:\x00chunked",
        "Transfer-Encoding:chunked\x20", "X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked",
        " Transfer-Encoding: chunked", "X: y\n Transfer-Encoding: chunked", "Transfer-Encoding\n: chunked",
        "Transfer_Encoding: chunked", "Transfer-Encoding: chunked\nTransfer-Encoding: x",
        "Transfer-Encoding: x\nTransfer-Encoding: chunked", "Transfer-Encoding: \xe3chunked",
        "\xc2Transfer-Encoding: chunked", "Content-Encoding: chunked",
    ]
    for t in te:
        yield f"CL.TE {t!r}", post(f"Content-Length: {5 + len(HIDDEN)}\n{t}\n", "0\r\n\r\n" + HIDDEN), False
        yield f"TE.CL {t!r}", post(f"{t}\nContent-Length: 4\n", f"{len(HIDDEN):x}\r\n{HIDDEN}\r\n0\r\n\r\n"), False
    for cl in ("+5", "-1", "0x5", "5 ", " 5", "5, 5", "5, 6", "5,", "", "05", "5.0", "5e0", "1_0", "٥",
               "18446744073709551621", "9223372036854775813", "5\nContent-Length: 6", "5\nContent-Length: 5",
               "0\nContent-Length: 40"):
        plain = cl in ("5 ", " 5", "05")  # spaces around and zeros before a number mean nothing
        yield f"CL {cl!r}", post(f"Content-Length: {cl}\n".encode().decode("latin-1"), "12345" + HIDDEN), plain
    for chunk in ("-1", "+5", "0x5", "5 ", " 5", "5\n", "5\r", "0000000000000000005", "fffffffffffffffff",
                  "ffffffffffffffff", "100000005", "5;\n", "5;a=\"", "5\r\n12345", "5\r\n1234567", "1_0", "5,5", "g"):
        yield f"chunk size {chunk!r}", post("Transfer-Encoding: chunked\n", f"{chunk}\r\n12345\r\n0\r\n\r\n{HIDDEN}"), chunk == '5;a="'
    for end in ("0\n\n", "0\r\n\n", "0\n\r\n", "0\r\r\n", "00\r\n\r\n", "0;\r\n\r\n", "0\r\nX: y\n\r\n", "-0\r\n\r\n", "0 \r\n\r\n"):
        yield f"last chunk {end!r}", post("Transfer-Encoding: chunked\n", f"5\r\n12345\r\n{end}{HIDDEN}"), end in ("00\r\n\r\n", "0;\r\n\r\n")
    for version in ("1.0", "0.9", "1.2", "2.0", "1.1x", "01.1"):
        yield f"version {version}", post("Transfer-Encoding: chunked\n", "0\r\n\r\n" + HIDDEN, version), False
    yield "bare LF", post(length, BODY + HIDDEN, line_end="\n"), False
    for method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        yield f"{method} with body", (f"{method} /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(HIDDEN)}\r\n\r\n"
                                      f"{HIDDEN}").encode(), False
    for header in ("Host: a\r\nHost: b", "Host: localhost/x", "Host : localhost", "", "Connection: close, content-length",
                   "Connection: Host", "Expect: 100-continue", "Expect: x", "Upgrade: h2c\r\nConnection: Upgrade"):
        yield f"header {header!r}", (f"POST /v1/chat/completions HTTP/1.1\r\n{header}\r\nContent-Type: application/json\r\n"
                                     f"Content-Length: {len(HIDDEN)}\r\n\r\n{HIDDEN}").encode(), False
    for target in ("/health%00", "/a\\b", "http://localhost/health", "//health", "/health?a=\x7f", "/%zz", "*", "/health#x"):
        yield f"target {target!r}", f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1"), True


def wait_port(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def exchange(port, data):
    """Status lines of all replies."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        try:
            s.sendall(data)
        except OSError:
            pass
        got = b""
        while select.select([s], [], [], 0.4)[0]:
            try:
                part = s.recv(65536)
            except OSError:
                break
            if not part:
                break
            got += part
    return [int(m) for m in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)], got


def counts(port):
    """Requests that the server says it answered, by status, without those of this function."""
    _, text = exchange(port, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return {m[0]: int(m[1]) for m in re.findall(rb'http_requests_total(\{[^}]*\}) (\d+)', text) if b"/metrics" not in m[0]}


def main():
    server = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    upstream = int(server.stdout.readline().rsplit(":", 1)[1])
    started = [server]
    failures = 0
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        ports = {"none": upstream, "nginx": free_port(), "haproxy": free_port()}
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as f:
            f.write(f"""daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; user root; worker_processes 1;
events {{ worker_connections 256; }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream tutti {{ server 127.0.0.1:{upstream}; keepalive 4; }}
  server {{ listen 127.0.0.1:{ports['nginx']}; location / {{ proxy_pass http://tutti; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host localhost; proxy_request_buffering off; }} }} }}
""")
        with open(os.path.join(folder, "haproxy.cfg"), "w", encoding="ascii") as f:
            f.write(f"""global
  maxconn 256
defaults
  mode http
  timeout client 3s
  timeout server 3s
  timeout connect 3s
frontend f
  bind 127.0.0.1:{ports['haproxy']}
  default_backend b
backend b
  http-reuse always
  http-request set-header Host localhost
  server s 127.0.0.1:{upstream}
""")
        try:
            started.append(subprocess.Popen(["nginx", "-c", os.path.join(folder, "nginx.conf")], stderr=subprocess.DEVNULL))
            started.append(subprocess.Popen(["haproxy", "-db", "-f", os.path.join(folder, "haproxy.cfg")],
                                            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
            for name, port in ports.items():
                wait_port(port)
                for label, data, honest in cases():
                    total += 1
                    before = counts(upstream)
                    statuses, got = exchange(port, data)
                    time.sleep(0.02)
                    after = counts(upstream)
                    served = sum(after.values()) - sum(before.values())
                    # Each request that the server saw has one reply at the client: none was smuggled past it.
                    replies = got.lower().count(b"x-request-id: ")
                    bad = served != replies
                    bad = bad or (name == "none" and not honest and 404 in statuses)
                    if bad:
                        failures += 1
                        print(f"FAILED {name}: {label}: replies {statuses}, the server saw {served}\n{got[:300]}")
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(20)
    print(f"{total} cases through {', '.join(ports)}: {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
