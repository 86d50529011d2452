#!/usr/bin/env python3
"""Ranks that stop: fault_test.py PROGRAM SOURCE_DIRECTORY.

What clients, probes and whoever started `tutti` see when one rank of two stalls.
"""

import json
import os
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import tiny_r1
from server_test import STREAM, ServerCase, begun, open_stream, read_all

FAILED_WHILE_SERVING = 74
CAUSE = r"rank 0 waited 1\.0 s for rank 1, which did not arrive"


class Reader(threading.Thread):
    """Reads a stream to its end: `parts` are the (moment, bytes) of every read."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.parts = []
        self.failed = threading.Event()
        self.start()

    def run(self):
        try:
            while data := self.stream.recv(65536):
                self.parts.append((time.monotonic(), data))
                if b"device_error" in data:
                    self.failed.set()
        except ConnectionError:
            pass
        self.stream.close()


class Probe(threading.Thread):
    """Asks for /health/live again and again; keeps every different reply."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.replies = []
        self.start()

    def run(self):
        try:
            while True:
                reply = self.server.request("GET", "/health/live")
                if reply not in self.replies:
                    self.replies.append(reply)
                time.sleep(0.02)
        except OSError:
            pass  # the server is gone


class Stall(ServerCase):
    ARGS = ("--tp", "2", "--collective-timeout", "1")

    def test_clients_probes_and_the_exit_code(self):
        server = self.serve(*self.ARGS, "--fault-stall", "1@100")
        probe = Probe(server)
        streams = [open_stream(server.port) for _ in range(3)]
        begun(streams)
        readers = [Reader(s) for s in streams]
        whole = []
        body = {**STREAM, "stream": False}
        waiting = threading.Thread(
            target=lambda: whole.append(server.request("POST", "/v1/completions", body))
        )
        waiting.start()
        for reader in readers:
            self.assertTrue(reader.failed.wait(60))
        # Before the process ends; the asserts on what was read come after.
        status, refused = server.request("POST", "/v1/completions", STREAM)
        for reader in readers:
            reader.join(60)
            parts = reader.parts
            text = b"".join(data for _, data in parts).decode()
            self.assertIn('"code":"device_error"', text)
            self.assertRegex(text, CAUSE)
            # One second of silence, and not much more.
            pauses = [b[0] - a[0] for a, b in zip(parts, parts[1:])]
            self.assertGreater(max(pauses), 0.8)
            self.assertLess(max(pauses), 10)
        self.assertEqual(status, 503)
        self.assertRegex(refused, CAUSE)
        waiting.join()
        self.assertEqual(whole[0][0], 503, whole)
        self.assertEqual(json.loads(whole[0][1])["error"]["code"], "device_error")
        self.assertRegex(whole[0][1], CAUSE)
        self.assertEqual(server.process.wait(timeout=20), FAILED_WHILE_SERVING)
        probe.join(20)
        self.assertEqual(probe.replies[0], (200, '{"status":"ok"}'))
        self.assertEqual(probe.replies[1][0], 503)
        self.assertRegex(probe.replies[1][1], CAUSE)
        server.reader.join(10)
        log = "".join(server.lines)
        self.assertRegex(log, r" E the model stopped after a device failure: .*" + CAUSE)
        self.assertIn(f"exit code {FAILED_WHILE_SERVING}", log)

    def test_one_rank_that_hangs(self):
        """Nobody waits for it in a collective."""
        server = self.serve("--tp", "1", "--step-timeout", "1", "--fault-stall", "0@100")
        probe = Probe(server)
        stream = open_stream(server.port)
        begun([stream])
        reader = Reader(stream)
        self.assertTrue(reader.failed.wait(60))
        reader.join(60)
        text = b"".join(data for _, data in reader.parts).decode()
        self.assertIn("no rank returned from a step within 1.0 s", text)
        self.assertEqual(server.process.wait(timeout=20), FAILED_WHILE_SERVING)
        probe.join(20)
        self.assertEqual([status for status, _ in probe.replies[:2]], [200, 503])

    def test_a_device_that_fails_while_replies_are_finished(self):
        server = self.serve(*self.ARGS, "--fault-stall", "1@100")
        stream = open_stream(server.port)
        begun([stream])
        reader = Reader(stream)
        server.process.send_signal(signal.SIGTERM)
        self.assertTrue(reader.failed.wait(60))
        self.assertEqual(server.process.wait(timeout=30), FAILED_WHILE_SERVING)

    def test_a_process_that_stood_still_has_not_waited(self):
        server = self.serve(*self.ARGS)
        stream = open_stream(server.port)
        begun([stream])
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        server.process.send_signal(signal.SIGCONT)
        reader = threading.Thread(target=read_all, args=(stream,))
        reader.start()
        status, text = server.request("POST", "/v1/completions", {"prompt": "Hi", "max_tokens": 4})
        self.assertEqual(status, 200, text)
        self.assertEqual(server.request("GET", "/health/live")[0], 200)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        reader.join()

    def test_one_answer_in_the_terminal(self):
        out, err = self.run_tutti(
            "run", tiny_r1(), "What is 3+4?", "--device", "cpu", "--tp", "2",
            "--collective-timeout", "0.3", "--fault-stall", "1@12", "-q",
            code=71,
        )  # fmt: skip
        self.assertIn("rank 0 waited 0.3 s for rank 1, which did not arrive", err)


class FlagsOfRanks(ServerCase):
    def test_help_shows_the_time_out_and_hides_the_fault(self):
        for command in ("serve", "run"):
            text, _ = self.run_tutti(command, "--help")
            self.assertIn("--collective-timeout", text)
            self.assertIn("--step-timeout", text)
            self.assertNotIn("--fault", text)

    def test_wrong_values_are_refused(self):
        base = ("run", tiny_r1(), "Hi", "--device", "cpu", "--tp", "2", "-q")
        for value in ("1", "@3", "1@", "1@x", "a@1", "1@2@3"):
            self.refused(*base, "--fault-stall", value, code=64, parts=["RANK@JOB", value])
        self.refused(*base, "--fault-stall", "2@3", code=64, parts=["rank 2", "ranks 0 to 1"])
        self.run_tutti(*base, "--collective-timeout", "0", code=64)
        self.run_tutti(*base, "--step-timeout", "nan", code=64)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
