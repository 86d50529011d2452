#!/usr/bin/env python3
"""Cases of the catalogue of abuse at full size: full_abuse.py PROGRAM SOURCE_DIRECTORY [CASE...].

  H04  15,000 idle connections from four loopback addresses: capped, probes answered, no spinning
  H10  100 bodies of 1,000,000 one-byte chunks: refused, resident memory grows by less than 1 MiB
  H22  2,000 streams begun and abandoned: nothing runs, waits or holds a KV block afterwards
  slow 1,000 connections each of slowhttptest's slow heads, slow bodies and slow readers (Debian package)

FLAGS in the environment are more flags of the server: --supervise puts a gateway in front.
The test suite holds all of them at a size that takes seconds. Prints a line per case; exits 1 if one fails.
"""

import http.client
import json
import os
import random
import re
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time


class Server:
    def __init__(self, program, source, *args):
        self.process = subprocess.Popen(
            [program, "serve", os.path.join(source, "models", "tiny-r1", "checkpoint"), "--device", "cpu",
             "--port", "0", "--log-format", "json", *os.environ.get("FLAGS", "").split(), *args],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for line in self.process.stderr:
            if match := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(match.group(1))
            if "ready: " in line:
                break
        threading.Thread(target=lambda: [None for _ in self.process.stderr], daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        code = self.process.wait(60)
        assert code == 0, f"exit code {code}"

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text

    def metric(self, name):
        match = re.search(rf"^tutti:{name}(?:{{[^}}]*}})? (\S+)$", self.get("/metrics")[1], re.M)
        return float(match.group(1))

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def post(body, path="/v1/completions"):
    text = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n\r\n"
    ).encode() + text


def h04(program, source):
    with Server(program, source) as server:
        flood = []
        try:
            for i in range(15000):
                s = socket.socket()
                s.setblocking(True)
                s.settimeout(20)
                s.bind((f"127.0.0.{1 + i % 4}", 0))
                s.connect(("127.0.0.1", server.port))
                flood.append(s)
            assert server.get("/health/live")[0] == 200
            begin = server.cpu_seconds()
            time.sleep(5)
            busy = (server.cpu_seconds() - begin) / 5
            slowest = 0.0
            for _ in range(50):
                asked = time.monotonic()
                assert server.get("/health/ready")[0] == 200
                slowest = max(slowest, time.monotonic() - asked)
            connections = server.metric("http_connections")
        finally:
            for s in flood:
                s.close()
        assert connections <= 1024 + 16, connections
        assert busy < 0.1, busy
        end = time.monotonic() + 10
        while server.metric("http_connections") > 2:
            assert time.monotonic() < end
        return f"{connections:.0f} open, {busy:.1%} of a CPU, slowest probe {slowest * 1000:.0f} ms"


def h10(program, source):
    body = b"1\r\n \r\n" * 1_000_000 + b"0\r\n\r\n"
    head = (
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )

    def once(server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as s:
            try:
                s.sendall(head + body)
            except OSError:
                pass
            got = b""
            try:
                got = s.recv(4096)
            except ConnectionError:
                return
            assert got.startswith(b"HTTP/1.1 400 "), got[:100]

    with Server(program, source) as server:
        for _ in range(10):
            once(server)
        before = server.resident()
        for _ in range(100):
            once(server)
        grown = server.resident() - before
        assert grown < 1024, grown
        return f"{grown} KiB grown"


def h22(program, source):
    with Server(program, source) as server:
        rng = random.Random(22)
        begin = time.monotonic()
        sent = 0
        while sent < 2000:
            sockets = []
            for _ in range(20):
                s = socket.create_connection(("127.0.0.1", server.port), timeout=20)
                s.sendall(post({"prompt": f"Number {sent}", "max_tokens": 500, "ignore_eos": True, "stream": True}))
                sockets.append(s)
                sent += 1
            for s in sockets:
                if rng.random() < 0.5:
                    s.recv(1)
                if rng.random() < 0.3:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.close()
        took = time.monotonic() - begin
        end = time.monotonic() + 10
        names = ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")
        while any(server.metric(name) != 0 for name in names):
            assert time.monotonic() < end, [server.metric(name) for name in names]
        return f"{sent} begun in {took:.1f} s, none left"


def slow(program, source):
    if shutil.which("slowhttptest") is None:
        return "left out: no slowhttptest"
    lines = []
    for name, flags in (("H-01 heads", ["-H", "-i", "5"]), ("H-02 bodies", ["-B", "-i", "5", "-f", "application/json"]),
                        ("H-03 readers", ["-X", "-w", "1", "-y", "1024", "-n", "5", "-z", "32"])):
        with Server(program, source) as server:
            path = "/metrics" if flags[0] == "-X" else "/v1/completions"
            test = subprocess.Popen(
                ["slowhttptest", *flags, "-c", "1000", "-r", "500", "-l", "40",
                 "-u", f"http://localhost:{server.port}{path}"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            slowest = 0.0
            most = 0
            while test.poll() is None:
                asked = time.monotonic()
                assert server.get("/health/live")[0] == 200
                slowest = max(slowest, time.monotonic() - asked)
                most = max(most, server.metric("http_connections"))
                time.sleep(0.5)
            end = time.monotonic() + 45
            while server.metric("http_connections") > 2:
                assert time.monotonic() < end
            assert server.metric("num_requests_running") == 0
            lines.append(f"{name}: at most {most:.0f} open, slowest probe {slowest * 1000:.0f} ms")
    return "; ".join(lines)


def main():
    program, source = sys.argv[1:3]
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    cases = {"H04": h04, "H10": h10, "H22": h22, "slow": slow}
    failed = 0
    for name in sys.argv[3:] or cases:
        try:
            print(f"{name}: {cases[name](program, source)}", flush=True)
        except AssertionError as e:
            failed = 1
            print(f"{name}: FAILED {e!r} at line {e.__traceback__.tb_lineno}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
