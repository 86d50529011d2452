#!/usr/bin/env python3
"""Is the first request after "ready" as fast as the hundredth? Sends 100 requests one after another to a server that has
answered none yet: prompts of one length but of different ids, so that no cache helps, 16 tokens each.

    first_request.py URL      prints both times and the median; exit code 1 if the first takes 1.5 times the median
"""
import json
import random
import statistics
import sys
import time
import urllib.request


def seconds(url, model, prompt):
    body = json.dumps({"model": model, "prompt": prompt, "max_tokens": 16, "temperature": 0, "ignore_eos": True}).encode()
    request = urllib.request.Request(url + "/v1/completions", body, {"Content-Type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()
    return time.perf_counter() - began


def main(url):
    with urllib.request.urlopen(url + "/v1/models", timeout=60) as reply:
        model = json.load(reply)["data"][0]["id"]
    draw = random.Random(1)
    times = [seconds(url, model, [draw.randrange(1000) for _ in range(200)]) for _ in range(100)]
    middle = statistics.median(times)
    print(f"request of 200 + 16 tokens: first {1e3 * times[0]:.1f} ms, hundredth {1e3 * times[-1]:.1f}, median {1e3 * middle:.1f}")
    return 0 if times[0] <= 1.5 * middle else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
