"""The published Python SDK of Anthropic."""

import os
import sys

import anthropic

from cases import case, run
from recite import BOTH, COUNT, COUNT_WORDS, KEY, MODEL, SUM, SUM_ANSWER, SUM_THOUGHT, WEATHER, WEATHER_ANSWER, WEATHER_RESULT

URL = sys.argv[1]
client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
TOOLS = [{"name": "weather", "description": "The weather", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]


def ask(text, **more):
    return client.messages.create(**{"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more})


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def text_of(message):
    return "".join(b.text for b in message.content if b.type == "text").strip()


def thought_of(message):
    return "".join(b.thinking for b in message.content if b.type == "thinking")


@case("whole", "stream", "helper")
def says_and_thinks(way):
    if way == "whole":
        message = ask(SUM)
        assert (text_of(message), thought_of(message)) == (SUM_ANSWER, SUM_THOUGHT), message
        assert message.stop_reason == "end_turn"
    elif way == "stream":
        said = thought = ""
        kinds = []
        for event in ask(SUM, stream=True):
            kinds.append(event.type)
            if event.type == "content_block_delta":
                said += getattr(event.delta, "text", "")
                thought += getattr(event.delta, "thinking", "")
        assert (said.strip(), thought) == (SUM_ANSWER, SUM_THOUGHT)
        assert (kinds[0], kinds[-2], kinds[-1]) == ("message_start", "message_delta", "message_stop")
    else:
        with client.messages.stream(model=MODEL, max_tokens=500, messages=[{"role": "user", "content": SUM}]) as stream:
            said = "".join(stream.text_stream)
            message = stream.get_final_message()
        assert said.strip() == text_of(message) == SUM_ANSWER and thought_of(message) == SUM_THOUGHT


@case()
def usage_is_the_same_streamed():
    whole = ask(SUM).usage
    with client.messages.stream(model=MODEL, max_tokens=500, messages=[{"role": "user", "content": SUM}]) as stream:
        usage = stream.get_final_message().usage
    assert usage.output_tokens == whole.output_tokens
    for one in (whole, usage):
        assert one.input_tokens + one.cache_read_input_tokens == client.messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": SUM}]).input_tokens


@case("whole", "stream")
def uses_a_tool(way):
    messages = [{"role": "user", "content": WEATHER}]
    if way == "whole":
        message = ask(WEATHER, tools=TOOLS)
    else:
        with client.messages.stream(model=MODEL, max_tokens=500, messages=messages, tools=TOOLS) as stream:
            message = stream.get_final_message()
    use = [b for b in message.content if b.type == "tool_use"][0]
    assert (message.stop_reason, use.name, use.input) == ("tool_use", "weather", {"city": "Oslo"}), message
    messages += [{"role": "assistant", "content": message.content},
                 {"role": "user", "content": [{"type": "tool_result", "tool_use_id": use.id, "content": WEATHER_RESULT}]}]
    assert text_of(ask(WEATHER, tools=TOOLS, messages=messages)) == WEATHER_ANSWER


@case("whole", "stream")
def uses_two_tools(way):
    if way == "whole":
        message = ask(BOTH, tools=TOOLS)
    else:
        with client.messages.stream(model=MODEL, max_tokens=500, tools=TOOLS,
                                    messages=[{"role": "user", "content": BOTH}]) as stream:
            message = stream.get_final_message()
    assert [b.input["city"] for b in message.content if b.type == "tool_use"] == ["Oslo", "Rome"]


@case()
def one_tool_if_asked():
    message = ask(BOTH, tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert len([b for b in message.content if b.type == "tool_use"]) == 1


@case()
def no_tool_if_asked():
    message = ask(WEATHER, tools=TOOLS, tool_choice={"type": "none"})
    assert [b for b in message.content if b.type == "tool_use"] == []


@case("whole", "stream")
def ends_at_a_stop_sequence(way):
    if way == "whole":
        message = ask(COUNT, stop_sequences=["w003"])
    else:
        with client.messages.stream(model=MODEL, max_tokens=500, stop_sequences=["w003"],
                                    messages=[{"role": "user", "content": COUNT}]) as stream:
            message = stream.get_final_message()
    assert (text_of(message), message.stop_reason, message.stop_sequence) == (
        "".join(COUNT_WORDS[:3]).strip(), "stop_sequence", "w003")


@case()
def ends_at_max_tokens():
    assert ask(COUNT, max_tokens=4).stop_reason == "max_tokens"


@case()
def a_system_text_counts():
    bare = client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": SUM}]).input_tokens
    for system in ("Be brief.", [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]):
        counted = client.messages.count_tokens(model=MODEL, system=system, messages=[{"role": "user", "content": SUM}])
        assert counted.input_tokens > bare


@case()
def errors_have_classes():
    assert "top_p" in str(raises(anthropic.BadRequestError, lambda: ask(SUM, extra_body={"top_p": 7})))
    error = raises(anthropic.NotFoundError, lambda: ask(SUM, model="nobody"))
    assert error.body["error"]["type"] == "not_found_error" and error.request_id == error.body["request_id"]
    other = anthropic.Anthropic(base_url=URL, api_key="wrong", max_retries=0)
    raises(anthropic.AuthenticationError, lambda: other.messages.create(
        model=MODEL, max_tokens=5, messages=[{"role": "user", "content": "x"}]))


@case()
def images_are_refused():
    source = {"type": "base64", "media_type": "image/png", "data": "aaaa"}
    error = raises(anthropic.BadRequestError, lambda: ask([{"type": "image", "source": source}]))
    assert "image" in str(error)


@case()
def either_header_has_the_key():
    bearer = anthropic.Anthropic(base_url=URL, auth_token=KEY, api_key=None, max_retries=0)
    assert text_of(bearer.messages.create(model=MODEL, max_tokens=500, messages=[{"role": "user", "content": SUM}])) == SUM_ANSWER


@case()
def a_timeout_of_the_request_is_not_tried_again():
    eager = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=2)
    error = raises(anthropic.APIStatusError, lambda: eager.messages.create(
        model=MODEL, max_tokens=300, messages=[{"role": "user", "content": COUNT}], extra_body={"timeout": 0.001}))
    assert error.status_code == 504


@case()
def a_stream_is_left():
    with client.messages.stream(model=MODEL, max_tokens=390, messages=[{"role": "user", "content": COUNT}]) as stream:
        for i, _ in enumerate(stream):
            if i == 5:
                break
    assert text_of(ask(SUM)) == SUM_ANSWER


@case()
def models_are_listed():
    models = client.models.list()
    assert [m.id for m in models.data] == [MODEL] and models.data[0].type == "model"
    assert client.models.retrieve(MODEL).display_name == MODEL


sys.exit(run("anthropic " + anthropic.__version__ + os.environ.get("WAY", "")) > 0)
