#!/usr/bin/env python3
"""What Xinference's client and scripts send, answered as they expect: xinference_calls_test.py PROGRAM SOURCE_DIRECTORY.

tests/http/xinference/calls.json was written while the published client did its work (scripts/test_xinference --record);
CURL is what its documentation has people type.
"""

import http.client
import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import tiny_r1
from manage_test import ManagedCase
from supervise_test import wait_until

BOTH = {"detail": "str", "error": {"message": "str", "type": "str", "code": "str"}}
OPENAI = {"error": {"message": "str", "type": "str", "code": "str"}}
LAUNCHED = {"model_uid": "str", "tutti": {"warnings": []}}
INSTANCE = [{"model_name": "str", "model_uid": "str", "model_ability": [], "replica": "number", "status": "str",
             "instance_created_ts": "number", "n_worker": "number", "replica_statuses": []}]
NODE = {"node_type": "str", "ip_address": "str", "gpu_count": "number", "gpu_vram_total": "number"}
CHAT = {"model": "my-model", "messages": [{"role": "system", "content": "You are a helpful assistant."},
                                          {"role": "user", "content": "What is 3+4?"}], "max_tokens": 100}
# (method, path, body, status, shape)
CURL = [
    ("GET", "/status", None, 200, {"uptime": "number", "workers": {}}),
    ("GET", "/v1/models", None, 200, {"object": "str", "data": []}),
    ("GET", "/v1/cluster/info", None, 200, [NODE]),
    ("GET", "/v1/cluster/info?detailed=true", None, 200, [{**NODE, "cpu_count": "number", "mem_used": "number", "mem_available": "number", "mem_total": "number"}]),
    ("GET", "/v1/cluster/version", None, 200, {"version": "str", "full-revisionid": "str"}),
    ("GET", "/v1/cluster/devices", None, 200, "number"),
    ("GET", "/v1/cluster/auth", None, 200, {"auth": "bool"}),
    ("GET", "/v1/models/prompts", None, 200, {}),
    ("GET", "/v1/models/families", None, 200, {}),
    ("POST", "/v1/models", {"model_uid": "my-model", "model_name": "tiny-r1", "model_engine": "transformers", "model_format": "pytorch",
                            "model_size_in_billions": "1_5", "quantization": "none", "replica": 1, "n_gpu": "auto", "download_hub": "modelscope"}, 200, LAUNCHED),
    ("GET", "/v1/models/my-model", None, 200, {"id": "str", "model_type": "str", "model_name": "str", "model_ability": [], "replica": "number"}),
    ("POST", "/v1/chat/completions", CHAT, 200, {"choices": [{"message": {"role": "str", "content": "str"}}], "usage": {"total_tokens": "number"}}),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}, 200, "stream"),
    ("POST", "/v1/completions", {"model": "my-model", "prompt": "3+4=", "max_tokens": 4}, 200, {"choices": [{"text": "str"}]}),
    ("GET", "/v1/models/instances", None, 200, INSTANCE),
    ("GET", "/v1/models/instances?model_uid=my-model", None, 200, INSTANCE),
    ("GET", "/v1/models/instances?model_uid=other", None, 200, []),
    ("GET", "/v1/models/my-model/replicas", None, 200, [{"replica_id": "number", "status": "str", "created_ts": "number", "error_message": "null"}]),
    ("POST", "/v1/models/my-model/replicas", {}, 200, {"replica_id": "number"}),
    ("GET", "/v1/models/my-model/events", None, 200, [{"event_type": "str", "event_ts": "number", "event_content": "str"}]),
    ("GET", "/v1/model_registrations/LLM", None, 200, [{"model_name": "str", "is_builtin": "bool"}]),
    ("GET", "/v1/model_registrations/LLM/tiny-r1", None, 200, {"model_name": "str"}),
    ("GET", "/v1/model_registrations/LLM/nobody", None, 404, BOTH),
    ("GET", "/v1/engines/tiny-r1", None, 200, {"tutti": []}),
    ("POST", "/v1/models", {"model_uid": "my-model", "model_name": "tiny-r1", "model_engine": "vllm"}, 409, BOTH),
    ("POST", "/v1/models", {"model_name": "tiny-r1", "model_engine": "vllm", "n_gpu": 0}, 400, BOTH),
    ("POST", "/v1/models", {"model_name": "tiny-r1", "model_engine": "vllm", "replica": True}, 400, BOTH),
    ("POST", "/v1/models", {"model_engine": "vllm"}, 400, BOTH),
    ("POST", "/v1/models", {"model_name": "tiny-r1", "peft_model_config": {"lora_list": [{"lora_name": "x", "local_path": "/x"}]}}, 400, BOTH),
    ("POST", "/v1/models", {"model_name": "bge-m3", "model_type": "embedding"}, 400, BOTH),
    ("POST", "/v1/models", {"model_name": "tiny-r1", "model_uid": "big", "kv_memory": "900TiB", "n_gpu": None}, 400, BOTH),
    ("POST", "/v1/embeddings", {"model": "my-model", "input": "x"}, 404, OPENAI),
    ("POST", "/v1/rerank", {"model": "my-model", "query": "x", "documents": ["y"]}, 404, OPENAI),
    ("POST", "/v1/models/my-model/cancel", None, 400, BOTH),
    ("DELETE", "/v1/models/my-model", None, 200, "null"),
    ("DELETE", "/v1/models/my-model", None, 404, BOTH),
    ("GET", "/v1/models/my-model/progress", None, 404, BOTH),
    ("POST", "/v1/chat/completions", CHAT, 404, OPENAI),
]


def kind(value):
    return "null" if value is None else "bool" if isinstance(value, bool) else "number" if isinstance(value, (int, float)) else "str"


class Calls(ManagedCase):
    def check_shape(self, wanted, got, where):
        """At least these fields, of these types; what was null or empty may have come to be something."""
        if isinstance(wanted, dict):
            self.assertIsInstance(got, dict, where)
            for key, inner in wanted.items():
                self.assertIn(key, got, where)
                self.check_shape(inner, got[key], f"{where}.{key}")
        elif isinstance(wanted, list):
            self.assertIsInstance(got, list, where)
            if wanted:
                self.assertTrue(got, where)
                self.check_shape(wanted[0], got[0], where + "[0]")
        elif wanted != "null":
            self.assertEqual(kind(got), wanted, where)

    def play(self, server, method, path, body, status, shape):
        where = f"{method} {path} {json.dumps(body)[:200]}"
        answer = {}

        def ask():
            answer["status"], answer["text"] = self.ask_server(server, method, path, body)
            waits = path.endswith("/progress") and answer["status"] == 200
            return not waits or json.loads(answer["text"])["progress"] == 1

        self.assertTrue(wait_until(ask, 60), where)
        self.assertEqual(answer["status"], status, where + answer["text"])
        if shape == "stream":
            self.assertTrue(answer["text"].startswith("data: ") and answer["text"].endswith("data: [DONE]\n\n"), where)
        else:
            self.check_shape(shape, json.loads(answer["text"]), where)
        return answer["text"]

    @staticmethod
    def ask_server(server, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def test_the_published_client(self):
        with open(os.path.join(cli_test.SOURCE, "tests/http/xinference/calls.json"), encoding="utf-8") as f:
            calls = json.loads(f.read().replace("$MODEL", tiny_r1()))
        self.assertGreaterEqual(len(calls) + len(CURL), 60)
        server = self.managed("--empty")
        for call in calls:
            self.play(server, call["method"], call["path"], call.get("body"), call["status"], call["shape"])
        self.assertEqual(server.terminate(signal.SIGTERM), 0)

    def test_what_people_type(self):
        server = self.managed("--empty")
        for call in CURL:
            text = self.play(server, *call)
            if call[2] and call[2].get("kv_memory"):
                error = json.loads(text)["error"]
                self.assertEqual(error["code"], "does_not_fit")
                self.assertIn("900", error["plan"])
        self.assertEqual(server.terminate(signal.SIGTERM), 0)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
