#!/usr/bin/env python3
"""Signals, restarts and file descriptors of `tutti serve`: server_test.py PROGRAM SOURCE_DIRECTORY.

Test names carry the ids of the catalogue of abuse (R-… and H-05). KILLS=200 in the environment
makes R-01 the full one; three restarts are enough for every day.
"""

import http.client
import json
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Case, Server, tiny_r1

STREAM = {
    "prompt": "Once",
    "stream": True,
    "ignore_eos": True,
    "max_tokens": 1900,
    "temperature": 0,
}


def post(port, body, path="/v1/completions"):
    """Bytes of a request."""
    text = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(text)}\r\n\r\n"
    )
    return head.encode() + text


def open_stream(port):
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    s.sendall(post(port, STREAM))
    return s


def read_all(s):
    parts = []
    try:
        while data := s.recv(65536):
            parts.append(data)
    except ConnectionError:
        pass
    s.close()
    return b"".join(parts)


def read_in_background(sockets):
    """Reads each to its end; the texts are there after join()."""
    texts = [b""] * len(sockets)

    def run(i):
        texts[i] = read_all(sockets[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(sockets))]
    for t in threads:
        t.start()
    return threads, texts


def begun(sockets):
    """Waits until every stream has sent something."""
    for s in sockets:
        assert select.select([s], [], [], 30)[0], "a stream did not begin"


class ServerCase(Case):
    def serve(self, *args):
        server = Server(self, *args)
        server.wait_for(r"ready: ")
        return server


class Signals(ServerCase):
    def test_R02_sigterm_under_50_streams(self):
        server = self.serve("--drain-timeout", "2", "--max-batch-sequences", "64")
        streams = [open_stream(server.port) for _ in range(50)]
        begun(streams)
        threads, texts = read_in_background(streams)
        server.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        while server.request("GET", "/health/ready")[0] == 200:
            self.assertLess(time.monotonic() - asked, 1)
        self.assertEqual(server.request("GET", "/health/live")[0], 200)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request(
            "POST", "/v1/completions", json.dumps(STREAM), {"Content-Type": "application/json"}
        )
        reply = connection.getresponse()
        self.assertEqual(reply.status, 503)
        self.assertTrue(1 <= int(reply.getheader("Retry-After")) <= 60)
        connection.close()
        self.assertEqual(server.process.wait(timeout=20), 0)
        for t in threads:
            t.join()
        for text in texts:
            ended = b"data: [DONE]" in text or b'"code":"unavailable"' in text
            self.assertTrue(ended, text[-300:])
            self.assertTrue(text.endswith(b"0\r\n\r\n"), text[-100:])

    def test_R02_second_signal_ends_at_once(self):
        server = self.serve("--drain-timeout", "60")
        stream = open_stream(server.port)
        begun([stream])
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("finishing open requests")
        asked = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(timeout=10)
        self.assertLess(time.monotonic() - asked, 2)
        stream.close()

    def test_R03_sigterm_while_loading(self):
        for delay in (0.0, 0.05, 0.2):
            process = self.start("serve", tiny_r1(), "--device", "cpu", "--port", "0")
            time.sleep(delay)
            asked = time.monotonic()
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)
            self.assertLess(time.monotonic() - asked, 5)

    def test_R04_other_signals(self):
        # The terminal is gone: ends in order.
        server = self.serve()
        self.assertEqual(server.terminate(signal.SIGHUP), 0)
        # Writing to nobody is an error of one connection.
        server = self.serve()
        server.process.send_signal(signal.SIGPIPE)
        self.assertEqual(server.request("GET", "/health")[0], 200)
        self.assertEqual(server.terminate(signal.SIGINT), 0)

    def test_R04_what_the_parent_ignores_stays_ignored(self):
        # nohup: SIGHUP. Background jobs of a shell without job control: SIGINT.
        for ignored in ([signal.SIGHUP], [signal.SIGINT], [signal.SIGHUP, signal.SIGINT]):
            server = Server(self, ignored=ignored)
            for number in ignored:
                server.process.send_signal(number)  # while it loads
            server.wait_for(r"ready: ")
            for number in ignored * 2:
                server.process.send_signal(number)
            time.sleep(0.3)
            self.assertEqual(server.request("GET", "/health/ready")[0], 200)
            last = [s for s in (signal.SIGHUP, signal.SIGINT) if s not in ignored] or [signal.SIGTERM]
            self.assertEqual(server.terminate(last[0]), 0)

    def test_R05_live_and_ready_while_loading(self):
        server = Server(self)
        status, body = server.request("GET", "/health/ready")
        self.assertIn(status, (200, 503), body)
        self.assertEqual(server.request("GET", "/health/live")[0], 200)
        server.wait_for(r"ready: ")
        self.assertEqual(server.request("GET", "/health/ready")[0], 200)

    def test_R06_mistakes_end_at_once_with_one_line(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            for args, code in (
                (["--port", port], 75),
                (["--max-body", "1"], 64),
                (["--allowed-origins", "chat.example"], 64),
                (["--max-connections", "1.5"], 64),
                (["--header-timeout", "x"], 64),
                (["--log-format", "xml"], 64),
            ):
                begin = time.monotonic()
                process = self.start("serve", tiny_r1(), "--device", "cpu", *args)
                _, err = process.communicate(timeout=20)
                self.assertEqual(process.returncode, code, err)
                self.assertNotEqual(err, b"")
                self.assertLess(time.monotonic() - begin, 5)
        self.refused("serve", "/nonexistent/model", "--port", "0", "-q", code=66, parts=["model"])


class Restarts(ServerCase):
    def test_R01_kill_9_under_load(self):
        kills = int(os.environ.get("KILLS", "3"))
        port = 0
        before = set(os.listdir("/dev/shm"))
        for _ in range(kills):
            server = Server(self, port=port)
            begin = time.monotonic()
            server.wait_for(r"ready: ")
            self.assertLess(time.monotonic() - begin, 30)
            port = server.port
            streams = [open_stream(port) for _ in range(4)]
            begun(streams)
            server.process.kill()
            server.process.wait(timeout=10)
            for s in streams:
                s.close()
        self.assertEqual(set(os.listdir("/dev/shm")) - before, set())
        self.assertEqual(os.listdir(self.folder.name), [])


class Descriptors(ServerCase):
    def test_H05_health_answers_when_descriptors_are_few(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

        process = self.start(
            "serve", tiny_r1(), "--device", "cpu", "--port", "0", preexec_fn=limit
        )
        server = Server(self, process=process)
        server.wait_for(r"ready: ")
        flood = []
        for _ in range(200):
            s = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            flood.append(s)
        for path in ("/health", "/health/live", "/health/ready"):
            self.assertEqual(server.request("GET", path)[0], 200)
        ticks = self.cpu_ticks(process.pid)
        time.sleep(0.5)
        self.assertLess(self.cpu_ticks(process.pid) - ticks, 25, "accepting spins")
        for s in flood:
            s.close()
        end = time.monotonic() + 10
        while server.request("GET", "/v1/models")[0] != 200:
            self.assertLess(time.monotonic(), end)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)

    @staticmethod
    def cpu_ticks(pid):
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(") ", 1)[1].split()
        return int(fields[11]) + int(fields[12])


class Logs(ServerCase):
    def test_json_lines(self):
        server = self.serve("--log-format", "json")
        body = {"prompt": "canary", "max_tokens": 3, "temperature": 0, "ignore_eos": True}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request(
            "POST",
            "/v1/completions",
            json.dumps(body),
            {"Content-Type": "application/json", "X-Request-Id": "trace-7"},
        )
        reply = connection.getresponse()
        reply.read()
        self.assertEqual((reply.status, reply.getheader("x-request-id")), (200, "trace-7"))
        connection.close()
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        lines = [json.loads(line) for line in server.lines if line.startswith("{")]
        mine = [line for line in lines if line.get("request_id") == "trace-7"]
        self.assertEqual(len(mine), 1, server.lines)
        self.assertEqual(mine[0]["status"], 200)
        self.assertEqual(mine[0]["generated_tokens"], 3)
        self.assertEqual(mine[0]["finish_reason"], "length")
        self.assertGreater(mine[0]["first_token_seconds"], 0)
        self.assertNotIn("canary", "".join(server.lines))


class Flags(ServerCase):
    def test_every_flag_of_the_document_is_one_of_the_program(self):
        with open(os.path.join(cli_test.SOURCE, "docs", "serving.md"), encoding="utf-8") as f:
            table = f.read().split("<!-- limits -->")[1].split("<!-- end -->")[0]
        rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| `--")]
        self.assertGreater(len(rows), 30)
        text, _ = self.run_tutti("serve", "--help")
        for row in rows:
            flag, default = row[0].strip("| `"), row[1]
            self.assertRegex(text, rf"{flag} \w+(={default}| \[{default}\])\s", flag)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
