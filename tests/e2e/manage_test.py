#!/usr/bin/env python3
"""Several models behind one door, as a user has them: manage_test.py PROGRAM SOURCE_DIRECTORY."""

import json
import os
import signal
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Server, tiny_r1
from supervise_test import ASK, SupervisedCase, children, is_dead, wait_until


class ManagedCase(SupervisedCase):
    def variables(self, **more):
        return {"XDG_RUNTIME_DIR": self.runtime, "TUTTI_HOME": self.path("home"), **more}

    def managed(self, *args):
        process = self.start(
            "serve", "--port", "0", "--device", "cpu", *args, variables=self.variables()
        )
        server = Server(self, process=process)
        server.wait_for(r"ready: ")
        return server

    def tutti(self, server, *args, code=0, **more):
        endpoint = f"http://127.0.0.1:{server.port}"
        return self.run_tutti(*args, code=code, variables=self.variables(TUTTI_ENDPOINT=endpoint, **more))

    def ask(self, server, model, expected=200):
        status, text = server.request("POST", "/v1/chat/completions", {**ASK, "model": model})
        self.assertEqual(status, expected, text)
        return json.loads(text)


class Commands(ManagedCase):
    def test_launch_list_ps_logs_terminate(self):
        server = self.managed("--empty")
        out, _ = self.tutti(server, "list")
        self.assertEqual(out.split(), ["UID", "MODEL", "STATUS", "REPLICAS"])
        out, err = self.tutti(
            server, "launch", "-n", "r1", "--model-path", tiny_r1(), "--model-engine", "vllm",
            "--quantization", "none", "--size-in-billions", "671", "--replica", "2", "--context", "512",
        )  # fmt: skip
        self.assertEqual(out, "Model uid: r1\n")
        self.assertIn("model_engine has no effect", err)
        self.assertIn("r1: ready, ready", err)
        out, _ = self.tutti(server, "launch", tiny_r1(), "--uid", "org/second")
        self.assertEqual(out, "Model uid: org/second\n")
        self.assertIn("7", self.ask(server, "r1")["choices"][0]["message"]["content"])
        self.assertIn("7", self.ask(server, "org/second")["choices"][0]["message"]["content"])
        self.ask(server, "third", expected=404)
        out, _ = self.tutti(server, "list")
        self.assertRegex(out, r"r1 .* READY +2\n")
        self.assertRegex(out, r"org/second .* READY +1\n")
        out, _ = self.tutti(server, "ps", "--json")
        replicas = json.loads(out)
        self.assertEqual(len(replicas), 3)
        pids = {one["tutti"]["pid"] for one in replicas}
        self.assertEqual(pids, set(children(server.process.pid)))
        out, _ = self.tutti(server, "logs", "org/second")
        self.assertIn("weights", out)
        self.assertEqual(self.tutti(server, "terminate", "--model-uid", "r1")[0], "terminated r1\n")
        self.ask(server, "r1", expected=404)
        self.assertTrue(wait_until(lambda: len(children(server.process.pid)) == 1))
        self.tutti(server, "terminate", "r1", code=66)
        # Another start has what was launched and not terminated.
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.assertTrue(all(is_dead(pid) for pid in pids))
        server = self.managed("--empty")
        self.assertTrue(wait_until(lambda: "READY" in self.tutti(server, "list")[0]))
        self.ask(server, "org/second")
        self.ask(server, "r1", expected=404)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        self.assertEqual(os.listdir(self.runtime), [])

    def test_a_launch_that_fails_is_no_success(self):
        server = self.managed("--empty")
        _, err = self.tutti(server, "launch", "/nonexistent/model", "--uid", "m", code=75)
        self.assertIn("/nonexistent/model", err)
        _, err = self.tutti(server, "launch", tiny_r1(), "--uid", "m", "--context", "999999", code=75)
        self.assertIn("999999", err)
        self.tutti(server, "launch", tiny_r1(), "--uid", "m")
        _, err = self.tutti(server, "launch", tiny_r1(), "--uid", "m", code=64)
        self.assertIn("in use", err)

    def test_nobody_listens(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.refused("list", "--endpoint", endpoint, code=75, parts=["tutti serve", endpoint[7:]])

    def test_one_state_file_has_one_server(self):
        self.managed("--empty")
        _, err = self.run_tutti(
            "serve", "--empty", "--port", "0", code=75, variables=self.variables()
        )
        self.assertIn("in use by another server", err)
        self.assertIn("--state", err)


class KeyCommands(ManagedCase):
    def test_keys_of_users(self):
        server = self.managed("--empty")
        _, err = self.tutti(server, "key", "add", "team", code=64)
        self.assertIn("manage", err)
        out, _ = self.tutti(server, "key", "add", "boss", "--scope", "manage,inference")
        boss = out.strip()
        self.assertRegex(boss, "^tutti-[0-9a-f]{48}$")
        self.tutti(server, "list", code=77)
        as_boss = {"TUTTI_API_KEY": boss}
        team = self.tutti(server, "key", "add", "team", "--requests-per-minute", "2", **as_boss)[0].strip()
        self.tutti(server, "launch", tiny_r1(), "--uid", "m", **as_boss)
        out, _ = self.tutti(server, "key", "list", **as_boss)
        self.assertRegex(out, r"boss +manage,inference +- +- +-\n")
        self.assertRegex(out, r"team +inference +2 +- +-\n")
        self.assertNotIn(boss[6:], out)

        def chat(key):
            return server.request("POST", "/v1/chat/completions", {**ASK, "model": "m"}, {"Authorization": f"Bearer {key}"})[0]

        self.assertEqual([chat(team) for _ in range(3)], [200, 200, 429])
        self.tutti(server, "list", code=77, TUTTI_API_KEY=team)
        second = self.tutti(server, "key", "rotate", "team", "--grace", "60", **as_boss)[0].strip()
        self.assertNotIn(401, (chat(team), chat(second)))
        self.assertEqual(self.tutti(server, "key", "remove", "team", **as_boss)[0], "removed team\n")
        self.assertEqual((chat(team), chat(second), chat(boss)), (401, 401, 200))
        # They outlive a restart; no log, no command line and no file tells one.
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        log = "".join(server.lines)
        server = self.managed("--empty")
        self.assertTrue(wait_until(lambda: chat(boss) == 200), "the model is not ready")
        self.assertEqual(chat(""), 401)
        for pid in [server.process.pid, *children(server.process.pid)]:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                self.assertNotIn(boss.encode(), f.read())
        for name in os.listdir(self.path("home")):
            with open(os.path.join(self.path("home"), name), "rb") as f:
                self.assertNotIn(boss[6:].encode(), f.read())
        self.assertNotIn(boss[6:], log + "".join(server.lines))
        self.assertEqual(server.terminate(signal.SIGTERM), 0)


class File(ManagedCase):
    def test_models_of_a_file(self):
        path = self.write(
            "models.yaml",
            f"""
models:
  - model: {tiny_r1()}
    name: a
  - {{model: {tiny_r1()}, name: b, context: 256, load: on-demand, unload-after: 1}}
""",
        )
        server = self.managed("-f", path)
        self.assertTrue(wait_until(lambda: '"id":"a"' in server.request("GET", "/v1/models")[1]))
        self.assertIn('"id":"b"', server.request("GET", "/v1/models")[1])
        self.assertEqual(len(children(server.process.pid)), 1)
        self.ask(server, "b")
        self.assertEqual(len(children(server.process.pid)), 2)
        self.assertIn("[b] ", "".join(server.lines))
        self.assertTrue(wait_until(lambda: len(children(server.process.pid)) == 1), "not unloaded")
        self.ask(server, "b")
        self.assertEqual(server.terminate(signal.SIGTERM), 0)

    def test_mistakes_name_their_place(self):
        for text, part in (
            ("models: [{model: a, contxt: 5}]", "models[0].contxt"),
            ("models: [\n", "line 2"),
            ("- a", "models:"),
        ):
            path = self.write("models.yaml", text)
            _, err = self.run_tutti("serve", "-f", path, code=64, variables=self.variables())
            self.assertIn(part, err)
            self.assertIn("models.yaml", err)
        self.run_tutti("serve", "-f", "/nonexistent.yaml", code=None, variables=self.variables())
        for args in (["m", "--empty"], ["m", "-f", "x"], ["--empty", "-f", "x"]):
            self.run_tutti("serve", *args, code=64, variables=self.variables())


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
