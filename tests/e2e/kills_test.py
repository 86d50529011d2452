#!/usr/bin/env python3
"""What dies beside others, at random moments: kills_test.py PROGRAM SOURCE_DIRECTORY.

KILLS in the environment is the number of moments of each test (2 unless set; tools/nightly takes 20); the seed is printed,
and SEED sets it.
"""

import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import tiny_r1
from manage_test import ManagedCase
from server_test import STREAM, begun, post
from supervise_test import ASK, read_one, wait_until

KILLS = int(os.environ.get("KILLS", "2"))


def open_stream(port, model):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.sendall(post(port, {**STREAM, "model": model, "max_tokens": 600}))
    return s


def processes_that_name(path):
    """Numbers of those with `path` in their command line."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    if path.encode() in f.read():
                        found.append(int(entry))
            except OSError:
                continue
    return found


class KillsCase(ManagedCase):
    def setUp(self):
        super().setUp()
        self.seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        print(f"{self.id().split('.')[-1]}: seed {self.seed}, {KILLS} moments", flush=True)
        self.random = random.Random(self.seed)

    def models(self, *models):
        """A file of models, all of them tiny-r1: (name, more fields)."""
        rows = [f"  - {{model: {tiny_r1()}, name: {name}{more}}}\n" for name, more in models]
        return self.write("models.yaml", "models:\n" + "".join(rows))

    def replicas(self, server, model):
        return json.loads(server.request("GET", f"/v1/models/{model}/replicas")[1])

    def pid_of(self, server, model):
        for one in self.replicas(server, model):
            if one["status"] == "READY":
                return one["tutti"]["pid"]
        return None

    def read_together(self, streams):
        """{name: text} of streams that are read at the same time."""
        texts = {}
        readers = [threading.Thread(target=lambda s=s, k=k: texts.update({k: read_one(s)})) for k, s in streams.items()]
        for reader in readers:
            reader.start()
        return readers, texts

    def assert_one_answer_or_error(self, text):
        """The whole of a stream, or one error in OpenAI's shape that says when to come back."""
        if text.startswith(b"HTTP/1.1 503"):
            after = re.search(rb"Retry-After: (\d+)", text)
            self.assertTrue(after and 1 <= int(after[1]) <= 60, text)
            self.assertIn(b'"error":{"message":', text)
            return
        self.assertTrue(text.startswith(b"HTTP/1.1 200"), text[:300])
        self.assertTrue(text.endswith(b"0\r\n\r\n"), text[-300:])
        errors = text.count(b'"error":')
        self.assertEqual(errors + text.count(b"data: [DONE]"), 1, text[-500:])

    def nothing_is_left(self, within=5):
        self.assertTrue(wait_until(lambda: not processes_that_name(self.runtime), within),
                        processes_that_name(self.runtime))

    @staticmethod
    def words(text):
        out = ""
        for part in text.split(b"data: ")[1:]:
            event = part.split(b"\n\n")[0]
            if event.startswith(b"{"):
                out += "".join(choice["text"] for choice in json.loads(event)["choices"])
        return out


class Engines(KillsCase):
    def test_neighbours_notice_nothing(self):
        server = self.managed("-f", self.models(("a", ""), ("b", "")))
        expected = None
        for i in range(KILLS):
            self.assertTrue(wait_until(lambda: self.pid_of(server, "a") and self.pid_of(server, "b"), 60))
            victim = self.pid_of(server, "b")
            streams = {name: open_stream(server.port, name) for name in ("a", "b")}
            begun(streams.values())
            readers, texts = self.read_together(streams)
            time.sleep(self.random.random() * 0.15)
            os.kill(victim, self.random.choice([signal.SIGKILL, signal.SIGSEGV]))
            for reader in readers:
                reader.join(60)
            self.assertIn(b"data: [DONE]", texts["a"])
            self.assert_one_answer_or_error(texts["b"])
            expected = expected or self.words(texts["a"])
            self.assertEqual(self.words(texts["a"]), expected)
            if i % 4 == 3:  # five ends within ten minutes would be the last
                self.assertEqual(server.request("DELETE", "/v1/models/b")[0], 200)
                self.tutti(server, "launch", tiny_r1(), "--uid", "b")
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.nothing_is_left()
        self.assertEqual(os.listdir(self.runtime), [])

    def test_killed_while_it_is_launched(self):
        server = self.managed("--empty")
        for i in range(KILLS):
            answers = []
            body = {"model_name": "x", "model_path": tiny_r1(), "model_uid": f"m{i}"}
            asking = threading.Thread(target=lambda: answers.append(server.request("POST", "/v1/models", body)))
            asking.start()
            time.sleep(self.random.random() * 0.4)
            for pid in processes_that_name(self.runtime):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            asking.join(60)
            status, text = answers[0]
            # It is started again, and so ready in the end.
            self.assertEqual(status, 200, text)
            # What comes in the moment of its death gets an error.
            chat = {**ASK, "model": f"m{i}"}
            self.assertTrue(wait_until(lambda: server.request("POST", "/v1/chat/completions", chat)[0] == 200, 60))
            self.assertEqual(server.request("DELETE", f"/v1/models/m{i}")[0], 200)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.nothing_is_left()

    def test_ranks_that_stop_at_random_steps(self):
        for _ in range(KILLS):
            job = self.random.randrange(60, 600)
            flags = f", tp: 2, flags: [--collective-timeout, 1, --fault-stall, 1@{job}]"
            server = self.managed("-f", self.models(("good", ""), ("bad", flags)))
            self.assertTrue(wait_until(lambda: self.pid_of(server, "good") and self.pid_of(server, "bad"), 60))
            streams = {name: open_stream(server.port, name) for name in ("good", "bad")}
            readers, texts = self.read_together(streams)
            for reader in readers:
                reader.join(60)
            self.assertIn(b"data: [DONE]", texts["good"])
            self.assert_one_answer_or_error(texts["bad"])
            self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.nothing_is_left()


class Gateways(KillsCase):
    def test_R01_killed_at_random_moments(self):
        """In any state of its engines: none is left, and the next one has the launches."""
        for _ in range(KILLS):
            process = self.start("serve", "--port", "0", "--device", "cpu", "-f", self.models(("a", ""), ("b", ", replicas: 2")),
                                 variables=self.variables())
            time.sleep(self.random.random() * 1.5)
            process.kill()
            process.communicate(timeout=30)
            self.nothing_is_left()
        server = self.managed("--empty")
        self.tutti(server, "launch", tiny_r1(), "--uid", "kept")
        for _ in range(KILLS):
            stream = open_stream(server.port, "kept")
            time.sleep(self.random.random() * 0.2)
            server.process.kill()
            server.process.wait(timeout=30)
            self.nothing_is_left()
            text = b""
            try:
                text = read_one(stream)
            except ConnectionError:
                pass
            self.assertNotIn(b"data: [DONE]", text)
            server = self.managed("--empty")
            self.assertTrue(wait_until(lambda: self.pid_of(server, "kept"), 60))
            self.ask(server, "kept")
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        # The directories of those that were killed went with a later start: at the next one a child of the dead may still
        # have been on its way to what it was to run, and held the lock that it had inherited.
        server = self.managed("--empty")
        self.assertEqual(len(os.listdir(self.runtime)), 1)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.assertEqual(os.listdir(self.runtime), [])


class Disks(KillsCase):
    """A log that cannot be written any more: the server goes on."""

    def answers(self, port):
        return self.manage(port, "POST", "/v1/chat/completions", {**ASK, "model": "a"})

    @staticmethod
    def manage(port, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def serve_with_log(self, log, limit=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]

        def prepare():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as a full disk: an error, no signal
            if limit:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            os.dup2(log, 2)

        process = self.start("serve", "--port", str(port), "--device", "cpu", "-f", self.models(("a", "")),
                             variables=self.variables(), preexec_fn=prepare, pass_fds=(log,), restore_signals=False)
        self.assertTrue(wait_until(lambda: self.is_up(port), 60))
        return process, port

    def is_up(self, port):
        try:
            return self.answers(port)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def test_a_disk_that_fills_up(self):
        """Of the log and of the state: no file of the server's may be longer than this."""
        for i in range(KILLS):
            limit = self.random.randrange(40_000, 80_000)  # what an empty state takes fits
            path = self.path(f"log{i}")
            with open(path, "wb") as log:
                log.write(b"x" * (limit - self.random.randrange(5_000)))  # what was there before
                log.flush()
                process, port = self.serve_with_log(log.fileno(), limit)
            sent = 0
            while sent < 5 or (os.path.getsize(path) < limit - 300 and sent < 200):
                status, text = self.answers(port)
                self.assertEqual(status, 200, text)
                sent += 1
            for uid in ("b", "c"):  # what cannot be kept is refused, or is there until the next start
                status, text = self.manage(port, "POST", "/v1/models", {"model_name": "x", "model_path": tiny_r1(), "model_uid": uid})
                self.assertIn(status, (200, 503), text)
                if status == 200:
                    self.assertEqual(self.manage(port, "DELETE", f"/v1/models/{uid}")[0], 200)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)
        self.nothing_is_left()

    def test_a_disk_that_is_full_at_the_start(self):
        def prepare():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        process = self.start("serve", "--empty", "--port", "0", variables=self.variables(), preexec_fn=prepare, restore_signals=False)
        err = process.communicate(timeout=60)[1].decode()
        self.assertEqual(process.returncode, 75, err)
        self.assertIn("state.db", err)

    def test_a_log_that_nobody_reads_any_more(self):
        for _ in range(KILLS):
            reader, writer = os.pipe()
            process, port = self.serve_with_log(writer)
            os.close(writer)
            closes = threading.Timer(self.random.random() * 0.3, os.close, [reader])
            closes.start()
            for _ in range(10):
                status, text = self.answers(port)
                self.assertEqual(status, 200, text)
            closes.join()
            self.assertEqual(self.answers(port)[0], 200)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0)
        self.nothing_is_left()


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
