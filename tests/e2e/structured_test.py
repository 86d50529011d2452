#!/usr/bin/env python3
"""tiny-r1 bound to forms of its answer: structured_test.py PROGRAM SOURCE_DIRECTORY.

Whatever the model would say by itself: an answer that was not cut off has the form, streamed or whole, at any
temperature, and what is asked beside it goes on.
"""

import json
import os
import re
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
import script_model
from cli_test import Case, Server

CHAT = "/v1/chat/completions"


def is_record(answer):
    value = json.loads(answer)
    return (
        list(value) == ["name", "age", "tags"]
        and isinstance(value["name"], str)
        and len(value["name"]) <= 8
        and type(value["age"]) is int
        and 0 <= value["age"] <= 150
        and isinstance(value["tags"], list)
        and 1 <= len(value["tags"]) <= 2
        and all(tag in ("red", "blue", None) for tag in value["tags"])
    )


def is_tree(answer):
    def ok(value):
        return set(value) == {"v", "next"} and type(value["v"]) is int and (value["next"] is None or ok(value["next"]))

    return ok(json.loads(answer))


RECORD = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "blue", None]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "age", "tags"],
}
TREE = {
    "$defs": {
        "t": {
            "type": "object",
            "properties": {"v": {"type": "integer", "maximum": 99, "minimum": 0}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/t"}]}},
            "required": ["v", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/t",
}
FORMS = [
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "r", "strict": True, "schema": RECORD}}}, is_record),
    ({"structured_outputs": {"json": RECORD, "disable_additional_properties": True}}, is_record),
    ({"guided_json": TREE}, is_tree),
    ({"guided_choice": ["yes", "no", "perhaps"]}, lambda answer: answer in ("yes", "no", "perhaps")),
    ({"guided_regex": "[a-c]{2,4}-\\d+"}, lambda answer: re.fullmatch("[a-c]{2,4}-\\d+", answer) is not None),
    (
        {"guided_grammar": 'root ::= sum\nsum ::= term (" + " term){1,3}\nterm ::= [0-9] | "(" sum ")"'},
        lambda answer: re.fullmatch(r"[0-9+ ()]+", answer) is not None and answer.count("(") == answer.count(")"),
    ),
    ({"response_format": {"type": "json_object"}}, lambda answer: isinstance(json.loads(answer), dict)),
]
PROPERTIES = {"a": {"type": "integer", "minimum": 0, "maximum": 99}, "b": {"type": "integer", "minimum": 0, "maximum": 9}}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": PROPERTIES, "required": ["a", "b"], "additionalProperties": False},
        },
    }
    for name in ("add", "multiply")
]


class Structured(Case):
    def setUp(self):
        super().setUp()
        self.server = Server(self, "--served-model-name", "tiny-r1")
        self.server.wait_for(r"ready: ")

    def ask(self, content="Sort 9, 4, 7", **fields):
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 400, **fields}
        status, text = self.server.request("POST", CHAT, body)
        self.assertEqual(status, 200, text)
        return text

    def test_answers_have_their_form(self):
        ended = 0
        for form, holds in FORMS:
            for temperature in (0, 1.5):
                reply = json.loads(self.ask(n=3, temperature=temperature, seed=5, **form))
                for choice in reply["choices"]:
                    if choice["finish_reason"] == "stop":
                        ended += 1
                        self.assertTrue(holds(choice["message"]["content"]), (form, choice))
                    else:
                        self.assertEqual(choice["finish_reason"], "length")
        self.assertGreater(ended, 25)

    def test_streams_say_the_same(self):
        for form, _ in FORMS[:4]:
            whole = json.loads(self.ask(temperature=0, **form))["choices"][0]["message"]["content"]
            streamed = ""
            for event in self.ask(temperature=0, stream=True, **form).split("\n\n"):
                if event and event != "data: [DONE]":
                    streamed += json.loads(event[len("data: ") :])["choices"][0]["delta"].get("content", "")
            self.assertEqual(streamed, whole)

    def test_calls_are_forced(self):
        """A model that would say something else altogether, and has Hermes' marks."""
        model = script_model.make(self.path("recites"), {"go": ["<thi", "nk>\nHm", "m.\n</thi", "nk>\n\n", "I would ", "rather ", "talk."]})
        self.server = Server(self, process=self.start("serve", model, "--device", "cpu", "--port", "0"))
        self.server.wait_for(r"ready: ")
        for choice, names in (
            ("required", ("add", "multiply")),
            ({"type": "function", "function": {"name": "multiply"}}, ("multiply",)),
        ):
            for temperature in (0, 1.5):
                reply = json.loads(self.ask("go", tools=TOOLS, tool_choice=choice, n=3, seed=1, temperature=temperature, parallel_tool_calls=False, max_tokens=460))
                for one in reply["choices"]:
                    self.assertEqual(one["finish_reason"], "tool_calls", one)
                    self.assertEqual(one["message"]["reasoning_content"], "Hmm.")
                    self.assertEqual(len(one["message"]["tool_calls"]), 1)
                    for call in one["message"]["tool_calls"]:
                        self.assertIn(call["function"]["name"], names)
                        arguments = json.loads(call["function"]["arguments"])
                        self.assertEqual(list(arguments), ["a", "b"])
                        self.assertTrue(0 <= arguments["a"] <= 99 and 0 <= arguments["b"] <= 9, arguments)
        self.assertEqual(json.loads(self.ask("go", tools=TOOLS))["choices"][0]["message"]["content"], "I would rather talk.")

    def test_completions_too(self):
        status, text = self.server.request("POST", "/v1/completions", {"prompt": "x", "max_tokens": 64, "guided_choice": ["a", "b"]})
        self.assertEqual(status, 200, text)
        self.assertIn(json.loads(text)["choices"][0]["text"], ("a", "b"))

    def test_other_dialects_too(self):
        messages = [{"role": "user", "content": "What is 3+4?"}]
        tool = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

        def post(path, **body):
            status, text = self.server.request("POST", path, {"model": "tiny-r1", **body})
            self.assertEqual(status, 200, text)
            return json.loads(text)

        anthropic = {"messages": messages, "max_tokens": 800, "temperature": 0}
        closed = {**RECORD, "additionalProperties": False}
        reply = post("/v1/messages", **anthropic, output_config={"format": {"type": "json_schema", "schema": closed}})
        self.assertTrue(is_record(reply["content"][-1]["text"]), reply)
        reply = post("/v1/messages", **anthropic, tools=[{"name": "add", "input_schema": tool}], tool_choice={"type": "any"})
        self.check_call(reply["stop_reason"] == "tool_use", [b["input"] for b in reply["content"] if b["type"] == "tool_use"])
        reply = post("/api/chat", messages=messages, stream=False, format=closed, options={"temperature": 0})
        self.assertTrue(is_record(reply["message"]["content"]), reply)
        form = {"type": "json_schema", "name": "r", "schema": RECORD, "strict": True}
        reply = post("/v1/responses", input="Sort 9, 4, 7", temperature=0, text={"format": form})
        self.assertTrue(is_record(reply["output"][-1]["content"][0]["text"]), reply)
        reply = post("/v1/responses", input="What is 3+4?", temperature=0, tools=[{"type": "function", "name": "add", "parameters": tool}], tool_choice="required")
        calls = [json.loads(item["arguments"]) for item in reply["output"] if item["type"] == "function_call"]
        self.check_call(reply["status"] == "completed", calls)

    def check_call(self, ended, calls):
        """The model may reason for ever about tools that it was not made for; then there is no call."""
        self.assertEqual(len(calls) >= 1, ended, calls)
        for arguments in calls:
            self.assertIs(type(arguments["a"]), int)

    def test_hostile_forms_are_refused_at_once(self):
        """G-01 to G-03: 400 within a second, and a neighbour's answer is what it was."""
        alone = json.loads(self.ask(temperature=0))["choices"][0]["message"]["content"]
        hostile = [
            {"guided_regex": "(" * 30000},
            {"guided_grammar": "root ::= root \"a\" | \"b\""},
            {"guided_grammar": "root ::= " + "(" * 30000},
            {"guided_json": {"$ref": "http://127.0.0.1/x.json"}},
            {"guided_json": {"allOf": [{"anyOf": [{"minimum": i}, {"maximum": i}]} for i in range(30)]}},
            {"guided_json": {"enum": ["x" * 40 + str(i) for i in range(60000)]}},
            {"guided_choice": [str(i) * 20 for i in range(99999)]},
            {"guided_json": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}},
        ]
        answers = []
        neighbour = threading.Thread(target=lambda: answers.append(json.loads(self.ask(temperature=0))))
        neighbour.start()
        for form in hostile:
            begin = time.monotonic()
            status, text = self.server.request("POST", CHAT, {"messages": [{"role": "user", "content": "x"}], **form})
            self.assertEqual(status, 400, (str(form)[:80], text[:200]))
            self.assertIn(next(iter(form)), text)
            self.assertLess(time.monotonic() - begin, 5)
        neighbour.join()
        self.assertEqual(answers[0]["choices"][0]["message"]["content"], alone)
        # What is only large while it is used ends by itself.
        for form in ({"guided_regex": "(a+)+b"}, {"guided_regex": "(.*){50}"}, {"guided_regex": "(a{1,1000}){1,1000}"}):
            self.assertIn(json.loads(self.ask(**form))["choices"][0]["finish_reason"], ("stop", "length"))


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1])
