#!/usr/bin/env python3
"""Launches, terminations, kills and edits at random beside requests, for a long time: manage_soak.py PROGRAM SOURCE_DIRECTORY.

SECONDS in the environment says how long (60 unless set; tools/nightly takes an hour), SEED what happens. The last line
tells what was done; the memory of the gateway must not grow by more than 200 bytes a request.
"""

import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import tiny_r1
from kills_test import processes_that_name
from manage_test import ManagedCase
from supervise_test import ASK, children, wait_until

SECONDS = float(os.environ.get("SECONDS", "60"))
SEED = int(os.environ.get("SEED", random.randrange(1 << 30)))
MODELS = ("a", "b", "c")
MOST_GROWTH = 200  # bytes a request


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def slope(points):
    """Of a line through (x, y), by least squares."""
    n = len(points)
    mean_x = sum(x for x, _ in points) / n
    mean_y = sum(y for _, y in points) / n
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else 0.0


class Clients(threading.Thread):
    """Asks one model after the other; keeps what was no answer and no error in OpenAI's shape."""

    def __init__(self, soak, seed):
        super().__init__(daemon=True)
        self.soak = soak
        self.random = random.Random(seed)
        self.sent = self.good = self.refused = 0
        self.wrong = []

    def run(self):
        while not self.soak.over:
            try:
                self.ask()
            except (OSError, http.client.HTTPException) as e:
                if not self.soak.restarting and not self.soak.over:
                    self.wrong.append(repr(e))
                time.sleep(0.05)

    def ask(self):
        stream = self.random.random() < 0.5
        body = {**ASK, "model": self.random.choice(MODELS), "stream": stream, "max_tokens": self.random.randrange(1, 60)}
        connection = http.client.HTTPConnection("127.0.0.1", self.soak.server.port, timeout=90)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.sent += 1
            if stream and self.random.random() < 0.2:
                response.read(100)
                return  # leaves
            text = response.read().decode()
        finally:
            connection.close()
        if self.soak.restarting:
            return
        whole = text.endswith("data: [DONE]\n\n") if stream else '"choices":' in text
        if response.status == 200 and whole:
            self.good += 1
        elif response.status in (200, 404, 503) and text.count('"error":') == 1:
            self.refused += 1
            time.sleep(0.02)
        else:
            self.wrong.append(f"{response.status} {text[-300:]}")


class Soak(ManagedCase):
    over = restarting = False

    def manage(self, method, path, body=None):
        return self.server.request(method, path, body)

    def launched(self):
        return [one["model_uid"] for one in json.loads(self.manage("GET", "/v1/models/instances")[1])]

    def act(self):
        uid = self.random.choice(MODELS)
        what = self.random.choice(("launch", "launch", "terminate", "kill", "more", "less", "cancel", "wrong", "look"))
        self.done[what] = self.done.get(what, 0) + 1
        launch = {"model_name": "x", "model_path": tiny_r1(), "model_uid": uid}
        if what == "launch":
            path = "/v1/models" + self.random.choice(("", "?wait_ready=false"))
            self.assertIn(self.manage("POST", path, launch)[0], (200, 409, 499, 503))
        elif what == "terminate":
            self.assertIn(self.manage("DELETE", f"/v1/models/{uid}")[0], (200, 404))
        elif what == "kill":
            engines = children(self.server.process.pid)
            if engines:
                try:
                    os.kill(self.random.choice(engines), self.random.choice((signal.SIGKILL, signal.SIGSEGV)))
                except ProcessLookupError:
                    pass
        elif what == "more":
            if sum(1 for _ in children(self.server.process.pid)) < 5:
                body = {"name": "none"} if self.random.random() < 0.2 else None
                self.assertIn(self.manage("POST", f"/v1/models/{uid}/replicas", body)[0], (200, 400, 404))
        elif what == "less":
            status, text = self.manage("GET", f"/v1/models/{uid}/replicas")
            if status == 200 and json.loads(text):
                one = self.random.choice(json.loads(text))["replica_id"]
                self.assertIn(self.manage("DELETE", f"/v1/models/{uid}/replicas/{one}")[0], (200, 400, 404))
        elif what == "cancel":
            self.assertIn(self.manage("POST", f"/v1/models/{uid}/cancel")[0], (200, 400, 404))
        elif what == "wrong":
            self.assertIn(self.manage("POST", "/v1/models", {**launch, "max_model_len": 10**9})[0], (400, 409, 499, 503))
        else:
            for path in ("/v1/models", "/v1/workers", "/status", f"/v1/models/{uid}/events", f"/v1/models/{uid}/logs"):
                self.assertIn(self.manage("GET", path)[0], (200, 404))

    def write_models(self):
        """Another file: a on demand or not, b in one or two processes, or not at all."""
        rows = [f"  - {{model: {tiny_r1()}, name: a, load: {self.random.choice(('at-start', 'on-demand'))}, unload-after: {self.random.choice((0, 1))}}}\n"]
        if self.random.random() < 0.7:
            rows.append(f"  - {{model: {tiny_r1()}, name: b, replicas: {self.random.choice((1, 2))}}}\n")
        return self.write("models.yaml", "models:\n" + "".join(rows))

    def restart(self, number):
        self.restarting = True
        self.server.process.send_signal(number)
        self.server.process.wait(timeout=60)
        self.assertTrue(wait_until(lambda: not processes_that_name(self.runtime), 10))
        self.server = self.managed("-f", self.write_models())
        self.restarting = False

    def memory(self):
        """(requests so far, resident bytes of the gateway)"""
        del self.server.lines[:-1000]
        return sum(c.sent for c in self.clients), resident(self.server.process.pid)

    def test_soak(self):
        print(f"seed {SEED}", flush=True)
        self.random = random.Random(SEED)
        self.done = {}
        self.server = self.managed("-f", self.write_models())
        self.clients = [Clients(self, SEED + i) for i in range(3)]
        for client in self.clients:
            client.start()
        begin = time.monotonic()
        restarts = [0.1, 0.2, 0.3]  # shares of the time; memory is looked at behind them
        points = []
        while (passed := (time.monotonic() - begin) / SECONDS) < 1:
            if restarts and passed > restarts[0]:
                restarts.pop(0)
                self.restart(self.random.choice((signal.SIGTERM, signal.SIGKILL)))
            self.act()
            if passed > 0.5:
                points.append(self.memory())
            time.sleep(self.random.random() * 0.3)
        self.over = True
        for client in self.clients:
            client.join(90)
        wrong = [w for c in self.clients for w in c.wrong]
        self.assertEqual(wrong, [])
        self.assertTrue(all(c.good > 0 for c in self.clients))
        # Nothing is stuck: what is launched gets ready or has failed, and goes when it is told to.
        for uid in self.launched():
            self.assertEqual(self.manage("DELETE", f"/v1/models/{uid}")[0], 200)
        self.assertTrue(wait_until(lambda: not children(self.server.process.pid), 60))
        self.assertEqual(len([f for f in os.listdir(self.runtime) if f.endswith(".sock")]), 0)
        self.assertTrue(wait_until(lambda: descriptors(self.server.process.pid) < 64, 30), descriptors(self.server.process.pid))
        growth = slope(points)
        sent = sum(c.sent for c in self.clients)
        self.assertEqual(self.server.terminate(signal.SIGTERM), 0)
        self.assertEqual(processes_that_name(self.runtime), [])
        self.assertEqual(os.listdir(self.runtime), [])
        self.assertEqual([f for f in os.listdir("/dev/shm") if f.startswith("tutti")], [])
        print(f"manage soak: {sent} requests, {sum(c.good for c in self.clients)} answered, "
              f"{sum(c.refused for c in self.clients)} told to come back; {self.done}; {growth:.0f} bytes a request", flush=True)
        if SECONDS >= 600:  # before, what is set up once weighs more
            self.assertLessEqual(growth, MOST_GROWTH)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
