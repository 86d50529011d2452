"""One prompt through every API: the same greedy tokens, the same usage. Over plain HTTP."""

import json
import os
import sys
import urllib.request

from cases import case, run
from recite import COUNT, KEY, MODEL, SUM, WEATHER

URL = sys.argv[1]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def post(path, body):
    request = urllib.request.Request(URL + path, json.dumps({"model": MODEL, **body}).encode(), {
        "Content-Type": "application/json", "Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def through_chat(text, most, tools):
    declared = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": PARAMETERS}}]
    reply = post("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": most,
                                          **({"tools": declared} if tools else {})})
    message = reply["choices"][0]["message"]
    calls = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", [])]
    usage = reply["usage"]
    return message["content"] or "", message.get("reasoning_content", ""), calls, usage["prompt_tokens"], usage["completion_tokens"]


def through_responses(text, most, tools):
    declared = [{"type": "function", "name": "weather", "description": "d", "parameters": PARAMETERS}]
    reply = post("/v1/responses", {"input": text, "temperature": 0, "max_output_tokens": most, **({"tools": declared} if tools else {})})
    said = "".join(c["text"] for i in reply["output"] if i["type"] == "message" for c in i["content"])
    thought = "".join(c["text"] for i in reply["output"] if i["type"] == "reasoning" for c in i["content"])
    calls = [(i["name"], json.loads(i["arguments"])) for i in reply["output"] if i["type"] == "function_call"]
    return said, thought, calls, reply["usage"]["input_tokens"], reply["usage"]["output_tokens"]


def through_messages(text, most, tools):
    declared = [{"name": "weather", "description": "d", "input_schema": PARAMETERS}]
    reply = post("/v1/messages", {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": most,
                                  **({"tools": declared} if tools else {})})
    blocks = reply["content"]
    usage = reply["usage"]
    return ("".join(b["text"] for b in blocks if b["type"] == "text"),
            "".join(b["thinking"] for b in blocks if b["type"] == "thinking"),
            [(b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"],
            usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"])


def through_ollama(text, most, tools):
    declared = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": PARAMETERS}}]
    reply = post("/api/chat", {"messages": [{"role": "user", "content": text}], "stream": False,
                               "options": {"temperature": 0, "num_predict": most}, **({"tools": declared} if tools else {})})
    message = reply["message"]
    calls = [(c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls", [])]
    return message["content"], message.get("thinking", ""), calls, reply["prompt_eval_count"], reply["eval_count"]


@case(*[f"{text}|{tools}" for text in (SUM, COUNT, WEATHER) for tools in ("", "tools")])
def the_same_everywhere(variant):
    text, tools = variant.split("|")
    replies = [through(text, 40, tools) for through in (through_chat, through_responses, through_messages, through_ollama)]
    for other in replies[1:]:
        assert other == replies[0], replies


@case()
def counts_agree():
    messages = [{"role": "user", "content": SUM}]
    used = post("/v1/chat/completions", {"messages": messages, "max_tokens": 1})["usage"]["prompt_tokens"]
    assert post("/tokenize", {"messages": messages})["count"] == used
    assert post("/v1/messages/count_tokens", {"messages": messages})["input_tokens"] == used
    assert post("/v1/responses/input_tokens", {"input": SUM})["input_tokens"] == used


@case()
def tokens_come_back_as_text():
    for text in (SUM, "Zwölf Boxkämpfer", "\n\n\t "):
        tokens = post("/tokenize", {"prompt": text, "return_token_strs": True})
        assert post("/detokenize", {"tokens": tokens["tokens"]})["prompt"] == text
        assert len(tokens["token_strs"]) == tokens["count"]


sys.exit(run("one prompt everywhere" + os.environ.get("WAY", "")) > 0)
