#!/usr/bin/env python3
"""How much memory the server keeps of each request: memory_growth.py PROGRAM SOURCE_DIRECTORY [REQUESTS].

Sends REQUESTS (20,000) requests after a warm-up of a quarter as many, a mix of streamed, whole, refused
and abandoned ones, and fits a line through resident memory over requests. Fails above 200 bytes per request
(its lower 95 % bound), or when 100 refused requests keep more than 1 MiB.
"""

import http.client
import json
import math
import os
import re
import socket
import subprocess
import sys
import threading

LIMIT = 200  # bytes per request
CLIENTS = 8


def start(program, source):
    process = subprocess.Popen(
        [program, "serve", os.path.join(source, "models", "tiny-r1", "checkpoint"), "--device", "cpu",
         # A KV pool that the warm-up fills: cached prefixes first touch memory that was reserved at the start.
         "--port", "0", "--log-format", "json", "--kv-memory", "32MiB"],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    port = 0
    for line in process.stderr:
        if match := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
            port = int(match.group(1))
        if "ready: " in line:
            break
    threading.Thread(target=lambda: [None for _ in process.stderr], daemon=True).start()
    return process, port


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))


def body(i):
    if i % 10 == 9:
        return {"prompt": "x", "n": 129}  # refused
    # Prompts differ, so that the prefix cache, which is bounded, fills during the warm-up.
    return {"prompt": f"Request {i} of many", "max_tokens": 4, "temperature": 0, "stream": i % 2 == 0}


def abandon(port, i):
    text = json.dumps({**body(2 * i), "max_tokens": 200}).encode()
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(text)}\r\n\r\n".encode() + text
        )
        s.recv(1)


def send(port, first, count):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for i in range(first, first + count):
        if i % 20 == 7:
            abandon(port, i)
            continue
        connection.request("POST", "/v1/completions", json.dumps(body(i)),
                           {"Content-Type": "application/json"})
        reply = connection.getresponse()
        reply.read()
        want = 400 if i % 10 == 9 else 200
        assert reply.status == want, (reply.status, body(i))
    connection.close()


def batch(port, first, count):
    each = count // CLIENTS
    threads = [threading.Thread(target=send, args=(port, first + k * each, each)) for k in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return each * CLIENTS


def slope(points):
    """Slope of the least-squares line and its standard error."""
    n = len(points)
    mx = sum(x for x, _ in points) / n
    my = sum(y for _, y in points) / n
    sxx = sum((x - mx) ** 2 for x, _ in points)
    b = sum((x - mx) * (y - my) for x, y in points) / sxx
    rest = sum((y - my - b * (x - mx)) ** 2 for x, y in points)
    return b, math.sqrt(rest / (n - 2) / sxx)


def main():
    program, source = sys.argv[1:3]
    requests = int(sys.argv[3]) if len(sys.argv) > 3 else 20000
    process, port = start(program, source)
    try:
        sent = 0
        while sent < requests // 4:
            sent += batch(port, sent, 400)
        points = []
        begin = sent
        while sent - begin < requests:
            sent += batch(port, sent, 400)
            points.append((sent, resident(process.pid)))
        b, error = slope(points)
        before = resident(process.pid)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for _ in range(100):
            connection.request("POST", "/v1/completions", "[" * 100000, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 400
        refused = resident(process.pid) - before
        print(f"{len(points)} samples over {sent - begin} requests: {b:.1f} bytes per request "
              f"(standard error {error:.1f}); resident {points[0][1] >> 10} to {points[-1][1] >> 10} KiB; "
              f"100 refused requests kept {refused >> 10} KiB")
        return 0 if b - 2 * error <= LIMIT and refused <= 1 << 20 else 1
    finally:
        process.terminate()
        process.wait(60)


if __name__ == "__main__":
    sys.exit(main())
