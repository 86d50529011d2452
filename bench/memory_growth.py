#!/usr/bin/env python3
"""Does the server grow with the requests it has served? Fits a line through its resident memory.

  bench/memory_growth.py [--build build/cpu] [--server steps|tiny-r1] [--requests 20000]

Starts the server (stream_server without pacing, or `tutti serve` with tiny-r1), sends warm-up requests
until caches and allocator pools are filled, then the measured ones in equal parts by
`tutti bench serve`, and reads VmRSS after each part, when the server is idle. Prints the points, the
slope of the least-squares line with its standard error, and exits 0 if the slope is within --limit.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time


class Server:
    """A server process that ends with this object's `with` block."""

    def __init__(self, build, kind):
        program = os.path.join(build, "bin")
        if kind == "steps":
            command = [os.path.join(program, "stream_server"), "0", "256"]
        else:
            # A KV pool that the warm-up fills: cached prefixes first touch memory that was reserved at the start.
            command = [os.path.join(program, "tutti"), "serve", "tiny-r1", "--device", "cpu", "--kv-memory", "32MiB",
                       "--port", "0", "--max-batch-sequences", "64"]
        self.kind = kind
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE if kind != "steps" else None)

    def __enter__(self):
        if self.kind == "steps":
            self.url = json.loads(self.process.stdout.readline())["url"]
            return self
        for line in self.process.stderr:
            match = re.search(rb"ready: (http://[0-9.:]+)/v1", line)
            if match:
                self.url = match.group(1).decode()
                break
        else:
            raise SystemExit("the server did not become ready")
        # Nobody reads its log from here on: it must not fill the pipe.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *unused):
        if self.kind == "steps":
            self.process.stdin.close()
        else:
            self.process.terminate()
        self.process.wait(timeout=60)
        if self.kind != "steps":
            self.drain.wait(timeout=10)

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) * 1024


def load(args, server, requests, seed):
    """Sends requests of varied lengths, streamed; every one must succeed."""
    command = [os.path.join(args.build, "bin", "tutti"), "bench", "serve", "--url", server.url,
               "--concurrency", str(args.concurrency), "--requests", str(requests),
               "--seed", str(seed), "--input-len", "uniform:4:24", "--output-len", "uniform:1:8",
               "--ignore-eos", "--json", "-"]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    figures = json.loads(out)
    assert figures["completed"] == requests and figures["failed"] == 0, figures
    return figures


def fit(xs, ys):
    """Slope of the least-squares line and its standard error."""
    n = len(xs)
    mx, my = sum(xs) / n, sum(ys) / n
    sxx = sum((x - mx) ** 2 for x in xs)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sxx
    residuals = sum((y - my - slope * (x - mx)) ** 2 for x, y in zip(xs, ys))
    return slope, (residuals / (n - 2) / sxx) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/cpu")
    parser.add_argument("--server", choices=["steps", "tiny-r1"], default="steps")
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--warmup", type=int, default=4000)
    parser.add_argument("--parts", type=int, default=20)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--limit", type=float, default=200.0, help="bytes per request")
    args = parser.parse_args()
    part = args.requests // args.parts
    begun = time.monotonic()
    with Server(args.build, args.server) as server:
        load(args, server, args.warmup, seed=1)
        xs, ys = [0], [server.resident()]
        for i in range(args.parts):
            load(args, server, part, seed=100 + i)
            xs.append((i + 1) * part)
            ys.append(server.resident())
    for x, y in zip(xs, ys):
        print(f"{x:8d} requests  {y:12d} bytes resident")
    slope, deviation = fit(xs, ys)
    verdict = "PASS" if slope <= args.limit else "FAIL"
    print(f"{verdict}: {slope:.1f} ± {deviation:.1f} bytes per request over {args.requests} requests of "
          f"{args.server} after {args.warmup} (limit {args.limit:.0f}); {time.monotonic() - begun:.0f} s")
    return 0 if verdict == "PASS" else 1


if __name__ == "__main__":
    sys.exit(main())
