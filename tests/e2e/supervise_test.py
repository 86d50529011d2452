#!/usr/bin/env python3
"""`tutti serve --supervise`: a real model in a process that is killed: supervise_test.py PROGRAM SOURCE_DIRECTORY.

KILLS in the environment is the number of random moments (20 unless set); the seed is printed.
"""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Server, tiny_r1
from server_test import STREAM, ServerCase, begun, open_stream, read_all

ASK = {"messages": [{"role": "user", "content": "What is 3+4?"}], "temperature": 0, "max_tokens": 60}


def children(pid):
    """Numbers of the processes that `pid` has started."""
    out = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii") as f:
                    fields = f.read().rsplit(") ", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                out.append(int(entry))
    return out


def is_dead(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(") ", 1)[1].startswith("Z")
    except OSError:
        return True


def wait_until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class SupervisedCase(ServerCase):
    def setUp(self):
        super().setUp()
        self.runtime = self.path("run")
        os.mkdir(self.runtime)

    def supervised(self, *args, model=None, **kwargs):
        process = self.start(
            "serve", model or tiny_r1(), "--device", "cpu", "--port", "0", "--supervise", *args,
            variables={"XDG_RUNTIME_DIR": self.runtime}, **kwargs,
        )  # fmt: skip
        server = Server(self, process=process)
        server.wait_for(r"ready: ")
        return server

    def engine_of(self, server):
        found = children(server.process.pid)
        self.assertEqual(len(found), 1, found)
        return found[0]

    def answer(self, server):
        status, text = server.request("POST", "/v1/chat/completions", ASK)
        self.assertEqual(status, 200, text)
        return json.loads(text)["choices"][0]["message"]

    def back_to_normal(self, server, after):
        """Until another engine than `after` (a process) is ready; returns its process."""

        def is_there():
            found = children(server.process.pid)
            return len(found) == 1 and found[0] != after and ready(server.port)

        self.assertTrue(wait_until(is_there), server.lines)
        return self.engine_of(server)


class Life(SupervisedCase):
    def test_answers_and_ends_without_a_trace(self):
        server = self.supervised()
        self.assertIn("7", self.answer(server)["content"])
        engine = self.engine_of(server)
        status, text = server.request("GET", "/v1/models")
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(text)["data"][0]["id"], "checkpoint")
        stream = open_stream(server.port)
        begun([stream])
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        text = read_all(stream)
        self.assertTrue(b"data: [DONE]" in text or b'"code":"unavailable"' in text, text[-300:])
        self.assertTrue(is_dead(engine))
        self.assertEqual(os.listdir(self.runtime), [])

    def test_the_same_text_as_in_one_process(self):
        alone = self.serve()
        behind = self.supervised()
        self.assertEqual(self.answer(alone), self.answer(behind))
        texts = []
        for server in (alone, behind):
            s = open_stream(server.port)
            # Without the framing of chunks, and what differs between any two replies.
            text = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", read_all_of_stream(s))
            texts.append(re.sub(rb'"(id|created)":("[^"]*"|[0-9]+)', b"", text).split(b"data: ", 1)[1])
        self.assertEqual(texts[0], texts[1])

    def test_every_language_through_a_gateway(self):
        server = self.supervised()
        user = [{"role": "user", "content": "What is 3+4?"}]
        said = self.answer(server)["content"].strip()
        status, text = server.request("POST", "/v1/messages", {"messages": user, "temperature": 0, "max_tokens": 60})
        self.assertEqual(status, 200, text)
        self.assertEqual("".join(b.get("text", "") for b in json.loads(text)["content"]).strip(), said)
        status, text = server.request("POST", "/v1/messages/count_tokens", {"messages": user})
        self.assertGreater(json.loads(text)["input_tokens"], 0)
        status, text = server.request("POST", "/api/chat", {"messages": user, "options": {"temperature": 0, "num_predict": 60}})
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual("".join(line["message"]["content"] for line in lines).strip(), said)
        self.assertTrue(lines[-1]["done"])
        self.assertEqual(len(json.loads(server.request("GET", "/api/tags")[1])["models"]), 1)
        status, text = server.request("POST", "/v1/responses", {"input": "What is 3+4?", "temperature": 0, "max_output_tokens": 60})
        made = json.loads(text)
        self.assertEqual(made["output"][-1]["content"][0]["text"].strip(), said)
        self.assertEqual(json.loads(server.request("GET", f"/v1/responses/{made['id']}")[1]), made)
        self.assertEqual(server.request("DELETE", f"/v1/responses/{made['id']}")[0], 200)
        self.assertEqual(server.request("GET", f"/v1/responses/{made['id']}")[0], 404)
        status, text = server.request("POST", "/tokenize", {"prompt": "3+4"})
        self.assertEqual(json.loads(server.request("POST", "/detokenize", {"tokens": json.loads(text)["tokens"]})[1])["prompt"][-3:], "3+4")
        self.assertEqual(server.request("POST", "/v1/messages", {"messages": 7})[0], 400)

    def test_a_kept_stream_through_a_gateway(self):
        server = self.supervised()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/chat/completions", json.dumps({**ASK, "stream": True}),
                           {"Content-Type": "application/json", "X-Tutti-Keep": "30"})
        reply = connection.getresponse()
        self.assertEqual(len(reply.headers.get_all("X-Tutti-Reply")), 1)
        path = "/v1/replies/" + reply.headers["X-Tutti-Reply"]
        begun_with = reply.read1(300)
        connection.close()
        self.assertIn(b"id: 1\n", begun_with)
        status, whole = server.request("GET", path)
        self.assertEqual(status, 200, whole)
        self.assertTrue(whole.startswith(begun_with.decode()[:200]) and whole.endswith("data: [DONE]\n\n"), whole[-300:])
        status, rest = server.request("GET", path, headers={"Last-Event-ID": "2"})
        self.assertTrue(whole.endswith(rest) and rest.startswith("id: 3\n"), rest[:100])
        self.assertEqual(json.loads(server.request("GET", "/v1/replies")[1])["data"][0]["status"], "ended")
        self.assertEqual(server.request("DELETE", path)[0], 200)
        self.assertTrue(wait_until(lambda: server.request("GET", path)[0] == 404))

    def test_what_cannot_be_loaded_ends_it(self):
        for args, code, part in (
            (["/nonexistent/model"], 66, "/nonexistent/model"),
            ([tiny_r1(), "--tp", "7"], 64, "7"),
        ):
            direct = self.start("serve", *args, "--device", "cpu", "--port", "0", "-q")
            said = direct.communicate(timeout=60)[1].decode()
            self.assertEqual(direct.returncode, code, said)
            process = self.start(
                "serve", *args, "--device", "cpu", "--port", "0", "-q", "--supervise",
                variables={"XDG_RUNTIME_DIR": self.runtime},
            )  # fmt: skip
            err = process.communicate(timeout=60)[1].decode()
            self.assertEqual(process.returncode, code, err)
            self.assertIn(part, err)
            self.assertEqual(err.splitlines()[-1], said.splitlines()[-1])
        self.assertEqual(os.listdir(self.runtime), [])

    def test_sigterm_while_loading(self):
        for delay in (0.0, 0.05, 0.3):
            process = self.start(
                "serve", tiny_r1(), "--device", "cpu", "--port", "0", "--supervise",
                variables={"XDG_RUNTIME_DIR": self.runtime},
            )  # fmt: skip
            time.sleep(delay)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        self.assertEqual(os.listdir(self.runtime), [])

    def test_a_full_disk_for_the_log(self):
        with open("/dev/full", "wb") as full:
            process = self.start_with_log(full)
            port = self.port_of(process)
            self.assertTrue(wait_until(lambda: ready(port)))
            stream = open_stream(port)
            begun([stream])
            stream.close()
            self.assertTrue(ready(port))
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(timeout=40), 0)

    def start_with_log(self, log):
        process = subprocess.Popen(
            [cli_test.PROGRAM, "serve", tiny_r1(), "--device", "cpu", "--port", "0", "--supervise"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            env={**cli_test.environment(self.folder.name), "XDG_RUNTIME_DIR": self.runtime},
        )  # fmt: skip
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    @staticmethod
    def port_of(process):
        """The port that it listens on: its log cannot be read."""
        found = []

        def look():
            inodes = set()
            for fd in os.listdir(f"/proc/{process.pid}/fd"):
                try:
                    target = os.readlink(f"/proc/{process.pid}/fd/{fd}")
                except OSError:
                    continue
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
            with open("/proc/net/tcp", encoding="ascii") as f:
                for line in f.readlines()[1:]:
                    fields = line.split()
                    if fields[3] == "0A" and fields[9] in inodes:
                        found.append(int(fields[1].split(":")[1], 16))
            return found

        assert wait_until(look)
        return found[0]


def ready(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def read_all_of_stream(s):
    text = b""
    while b"data: [DONE]" not in text:
        part = s.recv(65536)
        if not part:
            break
        text += part
    s.close()
    return text


class Kills(SupervisedCase):
    def test_X02_engine_killed_at_random_moments(self):
        kills = int(os.environ.get("KILLS", "20"))
        seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
        print(f"seed {seed}", flush=True)
        rng = random.Random(seed)
        server = self.supervised()
        engine = None
        for i in range(kills):
            engine = self.back_to_normal(server, engine)
            streams = [open_stream(server.port) for _ in range(3)]
            whole = []
            asking = threading.Thread(
                target=lambda: whole.append(
                    server.request("POST", "/v1/completions", {**STREAM, "stream": False})
                )
            )
            asking.start()
            time.sleep(rng.random() * 0.2)
            os.kill(engine, rng.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT]))
            for s in streams:
                text = read_one(s)
                if text.startswith(b"HTTP/1.1 503"):
                    after = re.search(rb"Retry-After: (\d+)", text)
                    self.assertTrue(after and 1 <= int(after[1]) <= 60, text)
                    self.assertIn(b'"error":{"message":', text)
                else:
                    self.assertTrue(text.startswith(b"HTTP/1.1 200"), text[:200])
                    self.assertTrue(text.endswith(b"0\r\n\r\n"), text[-200:])
                    self.assertEqual(text.count(b'"error":'), 1, text[-400:])
                    self.assertIn(b'"code":"unavailable"', text)
            asking.join(30)
            self.assertEqual(whole[0][0], 503, whole)
            # Five within ten minutes would be its end.
            if i % 4 == 3:
                self.assertEqual(server.terminate(signal.SIGTERM), 0)
                server = self.supervised()
        self.back_to_normal(server, engine)
        self.assertIn("7", self.answer(server)["content"])
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.assertEqual(os.listdir(self.runtime), [])

    def test_a_crash_loop_ends_it(self):
        server = self.supervised()
        engine = None
        for _ in range(5):
            engine = self.back_to_normal(server, engine)
            os.kill(engine, signal.SIGKILL)
        self.assertEqual(server.process.wait(timeout=30), 74)
        server.reader.join(10)
        log = "".join(server.lines)
        self.assertIn("signal 9 (SIGKILL)", log)
        self.assertIn("5 times within", log)

    def test_R01_gateway_killed_takes_its_engine_along(self):
        for _ in range(3):
            server = self.supervised()
            engine = self.engine_of(server)
            stream = open_stream(server.port)
            begun([stream])
            server.process.kill()
            server.process.wait(timeout=10)
            self.assertTrue(wait_until(lambda: is_dead(engine), 5))
            stream.close()
        server = self.supervised()
        # The directories of those that were killed are gone, its own is there.
        self.assertEqual(len(os.listdir(self.runtime)), 1)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)

    def test_a_rank_that_stops(self):
        server = self.supervised("--tp", "2", "--collective-timeout", "1", "--fault-stall", "1@100")
        engine = self.engine_of(server)
        stream = open_stream(server.port)
        text = read_one(stream)
        self.assertIn(b'"code":"device_error"', text)
        self.assertIn(b"which did not arrive", text)
        self.back_to_normal(server, engine)
        status, text = server.request("POST", "/v1/completions", {"prompt": "Hi", "max_tokens": 4})
        self.assertEqual(status, 200, text)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.assertIn("starting it again", "".join(server.lines))


def read_one(s):
    """One response, to its end or that of the connection."""
    s.settimeout(30)
    text = b""
    while True:
        head, blank, body = text.partition(b"\r\n\r\n")
        if blank and b"chunked" in head and body.endswith(b"0\r\n\r\n"):
            break
        length = re.search(rb"Content-Length: (\d+)", head)
        if blank and length and len(body) >= int(length[1]):
            break
        part = s.recv(65536)
        if not part:
            break
        text += part
    s.close()
    return text


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
