"""The published Python client of Ollama."""

import os
import sys
from importlib.metadata import version

import ollama

from cases import case, run
from recite import BOTH, COUNT, COUNT_WORDS, KEY, MODEL, SUM, SUM_ANSWER, SUM_THOUGHT, WEATHER, WEATHER_ANSWER, WEATHER_RESULT

URL = sys.argv[1]
client = ollama.Client(host=URL, headers={"Authorization": f"Bearer {KEY}"})
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]


def ask(text, **more):
    return client.chat(**{"model": MODEL, "messages": [{"role": "user", "content": text}], **more})


@case("whole", "stream")
def chat_says_and_thinks(way):
    if way == "whole":
        reply = ask(SUM)
        said, thought, last = reply.message.content, reply.message.thinking, reply
    else:
        said = thought = ""
        for last in ask(SUM, stream=True):
            said += last.message.content or ""
            thought += last.message.thinking or ""
    assert (said.strip(), thought) == (SUM_ANSWER, SUM_THOUGHT), (said, thought)
    assert last.done and last.done_reason == "stop" and last.eval_count > 0 and last.prompt_eval_count > 0


@case("whole", "stream")
def generate_answers(way):
    if way == "whole":
        reply = client.generate(model=MODEL, prompt=SUM)
        said, thought = reply.response, reply.thinking
    else:
        said = thought = ""
        for part in client.generate(model=MODEL, prompt=SUM, stream=True):
            said += part.response
            thought += part.thinking or ""
    assert (said.strip(), thought) == (SUM_ANSWER, SUM_THOUGHT)


@case("whole", "stream")
def calls_a_tool(way):
    messages = [{"role": "user", "content": WEATHER}]
    if way == "whole":
        message = ask(WEATHER, tools=TOOLS).message
        calls = message.tool_calls
        messages.append(message)
    else:
        calls = [c for part in ask(WEATHER, tools=TOOLS, stream=True) for c in part.message.tool_calls or []]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
    assert (calls[0].function.name, dict(calls[0].function.arguments)) == ("weather", {"city": "Oslo"})
    messages.append({"role": "tool", "tool_name": "weather", "content": WEATHER_RESULT})
    assert client.chat(model=MODEL, messages=messages, tools=TOOLS).message.content == WEATHER_ANSWER


@case("whole", "stream")
def calls_two_tools(way):
    parts = [ask(BOTH, tools=TOOLS)] if way == "whole" else ask(BOTH, tools=TOOLS, stream=True)
    cities = [c.function.arguments["city"] for part in parts for c in part.message.tool_calls or []]
    assert cities == ["Oslo", "Rome"]


@case("whole", "stream")
def options_count(way):
    options = {"num_predict": 5, "temperature": 0, "seed": 1}
    if way == "whole":
        reply = ask(COUNT, options=options)
        said = reply.message.content
    else:
        said = ""
        for reply in ask(COUNT, options=options, stream=True):
            said += reply.message.content
    assert (said, reply.done_reason, reply.eval_count) == ("".join(COUNT_WORDS[:5]), "length", 5)


@case()
def a_stop_string_ends():
    assert ask(COUNT, options={"stop": ["w003"]}).message.content == "".join(COUNT_WORDS[:3])


@case()
def a_function_is_a_tool():
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
          city: its name
        """
        return city

    assert ask(WEATHER, tools=[weather]).message.tool_calls[0].function.name == "weather"


@case()
def models_are_told():
    assert [m.model for m in client.list().models] == [MODEL]
    assert [m.model for m in client.ps().models] == [MODEL]
    shown = client.show(MODEL)
    assert {"completion", "tools", "thinking"} <= set(shown.capabilities), shown
    assert any(k.endswith(".context_length") and v == 8192 for k, v in shown.modelinfo.items())


@case()
def errors_have_a_class():
    for call, status in ((lambda: ask(SUM, model="nobody"), 404), (lambda: ask(SUM, options={"temperature": 9}), 400),
                         (lambda: ollama.Client(host=URL).list(), 401)):
        try:
            call()
        except ollama.ResponseError as error:
            assert error.status_code == status, error
        else:
            raise AssertionError("no error")


@case()
def images_are_refused():
    try:
        client.chat(model=MODEL, messages=[{"role": "user", "content": "x", "images": [b"\x89PNG"]}])
    except ollama.ResponseError as error:
        assert error.status_code == 400 and "images" in error.error
    else:
        raise AssertionError("no error")


@case()
def a_stream_is_left():
    for i, _ in enumerate(ask(COUNT, stream=True, options={"num_predict": 390})):
        if i == 3:
            break
    assert ask(SUM).message.content.strip() == SUM_ANSWER


sys.exit(run("ollama " + version("ollama") + os.environ.get("WAY", "")) > 0)
