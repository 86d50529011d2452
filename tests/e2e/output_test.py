#!/usr/bin/env python3
"""What a model says, as clients see it: output_test.py PROGRAM SOURCE_DIRECTORY.

A model that recites plays tool calls and reasoning through the program, in odd pieces. Streamed or whole, on the
command line or over HTTP, the same must come out.
"""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
import script_model
from cli_test import Case, Server, environment

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("look", "add")]
ARGUMENTS = '{"text": "Close it with </tool_call> and go on.", "n": 1.0}'
SCRIPTS = {
    "call": ["Let ", "me ", "see.\n<tool", "_call>{\"name\": \"look\", \"argu", "ments\": ", ARGUMENTS[:30],
             ARGUMENTS[30:], "}</tool", "_call>\n<tool_", "call>{\"name\":\"add\",\"arguments\":", "{}}</", "tool_call>"],
    "cut": ["<tool_call>{\"na", "me\": \"look\", \"arguments\": {\"a\""],
    "unopened": ["I think ", "so…\n</th", "ink>\n\n", "Yes."],
    "thought": ["<thi", "nk>\nHm", "m.\n</thi", "nk>\n\nN", "o."],
    "42": ["It is ", "forty-two."],
}


def text(question):
    return "".join(SCRIPTS[question])


class ScriptCase(Case):
    def model(self):
        return script_model.make(self.path("recites"), SCRIPTS)


class Streams(ScriptCase):
    def setUp(self):
        super().setUp()
        self.server = Server(self, process=self.start("serve", self.model(), "--device", "cpu", "--port", "0"))
        self.server.wait_for(r"ready: ")

    def ask(self, question, **fields):
        body = {"messages": [{"role": "user", "content": question}], **fields}
        status, reply = self.server.request("POST", "/v1/chat/completions", body)
        self.assertEqual(status, 200, reply)
        return reply

    def whole(self, question, **fields):
        choice = json.loads(self.ask(question, **fields))["choices"][0]
        message = choice["message"]
        calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
        return message["content"] or "", message.get("reasoning_content", ""), calls, choice["finish_reason"]

    def streamed(self, question, **fields):
        content, reasoning, calls, finish = "", "", {}, None
        for line in self.ask(question, stream=True, **fields).split("\n\n"):
            if not line or line == "data: [DONE]":
                continue
            choice = json.loads(line[len("data: "):])["choices"][0]
            delta = choice["delta"]
            content += delta.get("content", "")
            reasoning += delta.get("reasoning_content", "")
            for call in delta.get("tool_calls", []):
                if call["index"] not in calls:
                    self.assertEqual(call["type"], "function")
                    self.assertTrue(call["id"])
                    calls[call["index"]] = [call["function"]["name"], ""]
                calls[call["index"]][1] += call["function"]["arguments"]
            finish = choice["finish_reason"] or finish
        self.assertEqual(list(calls), list(range(len(calls))))
        return content, reasoning, [tuple(c) for c in calls.values()], finish

    def both(self, question, want, **fields):
        self.assertEqual(self.whole(question, **fields), want)
        self.assertEqual(self.streamed(question, **fields), want)

    def test_calls(self):
        look, add = ("look", ARGUMENTS), ("add", "{}")
        self.both("call", ("Let me see.", "", [look, add], "tool_calls"), tools=TOOLS)
        self.both("call", ("Let me see.", "", [look], "tool_calls"), tools=TOOLS, parallel_tool_calls=False)
        self.both("call", (text("call"), "", [], "stop"))
        self.both("call", (text("call"), "", [], "stop"), tools=TOOLS, tool_choice="none")

    def test_what_is_no_whole_call_is_text(self):
        self.both("cut", (text("cut"), "", [], "stop"), tools=TOOLS)
        # Cut off by its length in the middle of the first call.
        content, _, calls, finish = self.whole("call", tools=TOOLS, max_tokens=6)
        self.assertEqual((content, calls, finish), ("".join(SCRIPTS["call"][:6]), [], "length"))
        self.assertEqual(self.streamed("call", tools=TOOLS, max_tokens=6)[0], content)

    def test_reasoning(self):
        self.both("thought", ("No.", "Hmm.", [], "stop"))
        self.assertEqual(self.whole("unopened"), ("Yes.", "I think so…", [], "stop"))
        self.assertEqual(self.streamed("unopened"), (text("unopened"), "", [], "stop"))


class Terminal(ScriptCase):
    def tools(self):
        return self.write("tools.json", json.dumps(TOOLS))

    def test_calls_are_shown(self):
        out, _ = self.run_tutti("run", self.model(), "call", "--tools", self.tools(), "--device", "cpu", "-q")
        self.assertEqual(out, f"Let me see.\n[call look {ARGUMENTS}]\n[call add {{}}]\n")
        out, _ = self.run_tutti("run", self.model(), "call", "--device", "cpu", "-q")
        self.assertEqual(out, text("call") + "\n")

    def test_a_chat_asks_for_results(self):
        process = subprocess.run(
            [cli_test.PROGRAM, "run", self.model(), "--tools", self.tools(), "--device", "cpu"],
            input="call\nsomething\n42\nthought\n", capture_output=True, text=True, timeout=60,
            env=environment(self.folder.name),
        )
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertIn(f"[call look {ARGUMENTS}]\n[call add {{}}]\nIt is forty-two.\n<think>\nHmm.", process.stdout)
        for part in ("look returns> ", "add returns> "):
            self.assertIn(part, process.stderr)

    def test_bad_tools_are_refused(self):
        for content, part in (("{}", "an array"), ("[1]", "function"), ("[", "invalid JSON")):
            self.refused("run", self.model(), "x", "--tools", self.write("bad.json", content), "--device", "cpu",
                         code=64, parts=["bad.json", part])


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
