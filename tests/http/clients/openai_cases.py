"""The published Python SDK of OpenAI: chats, completions and responses."""

import asyncio
import os
import sys

import openai

from cases import case, run
from recite import BOTH, COUNT, COUNT_WORDS, KEY, MODEL, SUM, SUM_ANSWER, SUM_THOUGHT, WEATHER, WEATHER_ANSWER, WEATHER_RESULT

URL = sys.argv[1]
client = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
aclient = openai.AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": PARAMETERS}}]
TOOLS = [{"type": "function", "name": "weather", "description": "The weather", "parameters": PARAMETERS, "strict": False}]


def chat(text, stream=False, **more):
    return client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], stream=stream, temperature=0, **more)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


@case("whole", "stream")
def chat_says_and_thinks(way):
    if way == "whole":
        message = chat(SUM).choices[0].message
        assert message.content.strip() == SUM_ANSWER, message.content
        assert message.reasoning_content == SUM_THOUGHT, message
        return
    said = thought = ""
    finish = []
    for chunk in chat(SUM, True):
        delta = chunk.choices[0].delta
        said += delta.content or ""
        thought += getattr(delta, "reasoning_content", None) or ""
        finish += [chunk.choices[0].finish_reason] if chunk.choices[0].finish_reason else []
    assert (said.strip(), thought, finish) == (SUM_ANSWER, SUM_THOUGHT, ["stop"]), (said, thought, finish)


@case()
def chat_usage_is_the_same_streamed():
    whole = chat(SUM).usage
    last = [c for c in chat(SUM, True, stream_options={"include_usage": True})][-1]
    assert last.choices == [] and last.usage.total_tokens == whole.total_tokens
    assert last.usage.completion_tokens_details.reasoning_tokens == whole.completion_tokens_details.reasoning_tokens > 0


@case()
def chat_stream_helper():
    with client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": SUM}]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content.strip() == SUM_ANSWER


@case("whole", "stream")
def chat_calls_a_tool(way):
    messages = [{"role": "user", "content": WEATHER}]
    ask = dict(model=MODEL, messages=messages, tools=CHAT_TOOLS)
    if way == "whole":
        message = client.chat.completions.create(**ask).choices[0].message
        call = message.tool_calls[0]
    else:
        with client.chat.completions.stream(**ask) as stream:
            final = stream.get_final_completion()
        assert final.choices[0].finish_reason == "tool_calls"
        message = final.choices[0].message
        call = message.tool_calls[0]
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("weather", '{"city":"Oslo"}')
    messages += [message.model_dump(exclude_none=True, exclude={"parsed"}),
                 {"role": "tool", "tool_call_id": call.id, "content": WEATHER_RESULT}]
    for m in messages:
        for c in m.get("tool_calls", []):
            c["function"].pop("parsed_arguments", None)
    assert client.chat.completions.create(**ask).choices[0].message.content == WEATHER_ANSWER


@case("whole", "stream")
def chat_calls_two_tools(way):
    if way == "whole":
        message = chat(BOTH, tools=CHAT_TOOLS).choices[0].message
        calls = [c.function.arguments for c in message.tool_calls]
    else:
        calls = {}
        for chunk in chat(BOTH, True, tools=CHAT_TOOLS):
            for c in chunk.choices[0].delta.tool_calls or []:
                calls[c.index] = calls.get(c.index, "") + (c.function.arguments or "")
        calls = [calls[i] for i in sorted(calls)]
    assert [c.replace(" ", "") for c in calls] == ['{"city":"Oslo"}', '{"city":"Rome"}'], calls


@case()
def chat_one_call_if_asked():
    assert len(chat(BOTH, tools=CHAT_TOOLS, parallel_tool_calls=False).choices[0].message.tool_calls) == 1


@case("whole", "stream")
def chat_ends_at_a_stop_string(way):
    if way == "whole":
        choice = chat(COUNT, stop=["w003"]).choices[0]
        said, finish = choice.message.content, choice.finish_reason
    else:
        said, finish = "", None
        for c in chat(COUNT, True, stop=["w003"]):
            said += c.choices[0].delta.content or ""
            finish = c.choices[0].finish_reason or finish
    assert (said, finish) == ("".join(COUNT_WORDS[:3]), "stop"), (said, finish)


@case()
def chat_ends_at_max_tokens():
    choice = chat(COUNT, max_tokens=5).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("length", "".join(COUNT_WORDS[:5]))


@case()
def chat_has_logprobs():
    content = chat(SUM, logprobs=True, top_logprobs=2, max_tokens=3).choices[0].logprobs.content
    assert len(content) == 3 and all(len(t.top_logprobs) == 2 for t in content)


@case()
def chat_has_several_choices():
    assert [c.message.content.strip() for c in chat(SUM, n=3).choices] == [SUM_ANSWER] * 3


@case()
def chat_returns_token_ids():
    reply = chat(SUM, extra_body={"return_token_ids": True})
    assert len(reply.choices[0].token_ids) == reply.usage.completion_tokens, reply
    assert len(reply.prompt_token_ids) == reply.usage.prompt_tokens
    streamed = []
    for chunk in chat(SUM, True, extra_body={"return_token_ids": True}):
        streamed += getattr(chunk.choices[0], "token_ids", None) or []
    assert streamed == reply.choices[0].token_ids


@case()
def chat_goes_on_with_the_last_message():
    messages = [{"role": "user", "content": SUM}, {"role": "assistant", "content": "The answer"}]
    one = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=1, extra_body={
        "continue_final_message": True, "add_generation_prompt": False, "return_token_ids": True})
    two = client.chat.completions.create(model=MODEL, messages=messages, max_tokens=1, extra_body={"return_token_ids": True})
    assert len(one.prompt_token_ids) < len(two.prompt_token_ids)
    assert two.prompt_token_ids[:len(one.prompt_token_ids)] == one.prompt_token_ids


@case()
def chat_cuts_the_prompt():
    reply = chat(SUM, max_tokens=1, extra_body={"truncate_prompt_tokens": 5, "return_token_ids": True})
    assert reply.usage.prompt_tokens == 5 == len(reply.prompt_token_ids)


@case("whole", "stream")
def completion_goes_on(way):
    if way == "whole":
        text = client.completions.create(model=MODEL, prompt="w000, ", max_tokens=2, temperature=0).choices[0].text
    else:
        text = "".join(c.choices[0].text for c in client.completions.create(
            model=MODEL, prompt="w000, ", max_tokens=2, temperature=0, stream=True))
    assert text


@case()
def errors_have_classes():
    assert raises(openai.BadRequestError, lambda: chat(SUM, top_p=7)).param == "top_p"
    assert raises(openai.NotFoundError, lambda: client.chat.completions.create(
        model="nobody", messages=[{"role": "user", "content": "x"}])).code == "model_not_found"
    other = openai.OpenAI(base_url=URL + "/v1", api_key="wrong", max_retries=0)
    assert raises(openai.AuthenticationError, other.models.list).status_code == 401
    assert raises(openai.NotFoundError, lambda: client.embeddings.create(model=MODEL, input="x"))


@case()
def a_timeout_of_the_request_is_not_tried_again():
    eager = openai.OpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=2)
    error = raises(openai.InternalServerError, lambda: eager.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": COUNT}], extra_body={"timeout": 0.001}))
    assert error.status_code == 504 and error.response.headers["x-should-retry"] == "false"


@case("break", "close")
def a_stream_is_left(way):
    stream = chat(COUNT, True, max_tokens=390)
    for i, _ in enumerate(stream):
        if i == 3:
            break
    stream.close()
    assert chat(SUM).choices[0].message.content.strip() == SUM_ANSWER


@case()
def models_are_listed():
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


@case()
def many_at_a_time():
    async def all_of_them():
        return await asyncio.gather(*[aclient.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": SUM}]) for _ in range(8)])

    assert {r.choices[0].message.content.strip() for r in asyncio.run(all_of_them())} == {SUM_ANSWER}


# ---- responses ----


def respond(text, **more):
    return client.responses.create(model=MODEL, input=text, **more)


@case()
def response_says_and_thinks():
    reply = respond(SUM)
    assert reply.output_text.strip() == SUM_ANSWER and reply.status == "completed", reply
    thought = [i for i in reply.output if i.type == "reasoning"][0]
    assert thought.content[0].text == SUM_THOUGHT
    assert reply.usage.total_tokens == chat(SUM).usage.total_tokens


@case()
def response_events():
    said = ""
    kinds = []
    numbers = []
    for event in respond(SUM, stream=True):
        kinds.append(event.type)
        numbers.append(event.sequence_number)
        said += event.delta if event.type == "response.output_text.delta" else ""
    assert said.strip() == SUM_ANSWER and numbers == list(range(len(numbers)))
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds


@case()
def response_stream_helper():
    with client.responses.stream(model=MODEL, input=SUM) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text.strip() == SUM_ANSWER


@case("whole", "stream")
def response_calls_a_function(way):
    items = [{"role": "user", "content": WEATHER}]
    if way == "whole":
        reply = client.responses.create(model=MODEL, input=items, tools=TOOLS)
    else:
        with client.responses.stream(model=MODEL, input=items, tools=TOOLS) as stream:
            reply = stream.get_final_response()
    call = [i for i in reply.output if i.type == "function_call"][0]
    assert (call.name, call.arguments.replace(" ", "")) == ("weather", '{"city":"Oslo"}')
    items += [i.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for i in reply.output]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": WEATHER_RESULT})
    assert client.responses.create(model=MODEL, input=items, tools=TOOLS).output_text == WEATHER_ANSWER


@case()
def response_goes_on_with_a_stored_one():
    first = respond(WEATHER, tools=TOOLS)
    call = [i for i in first.output if i.type == "function_call"][0]
    second = client.responses.create(model=MODEL, previous_response_id=first.id, tools=TOOLS, input=[
        {"type": "function_call_output", "call_id": call.call_id, "output": WEATHER_RESULT}])
    assert second.output_text == WEATHER_ANSWER and second.previous_response_id == first.id


@case("whole", "stream")
def response_is_stored_and_forgotten(way):
    if way == "whole":
        made = respond(SUM)
    else:
        made = [e for e in respond(SUM, stream=True)][-1].response
    assert client.responses.retrieve(made.id).output_text == made.output_text
    assert client.responses.input_items.list(made.id).data[0].content[0].text == SUM
    client.responses.delete(made.id)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(made.id))


@case()
def response_is_not_stored_if_asked():
    made = respond(SUM, store=False)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(made.id))


@case()
def response_ends_at_its_length():
    reply = respond(COUNT, max_output_tokens=4)
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@case()
def response_errors():
    assert raises(openai.BadRequestError, lambda: respond(SUM, temperature=9)).param == "temperature"
    assert raises(openai.NotFoundError, lambda: client.responses.create(model="nobody", input="x")).code == "model_not_found"
    assert raises(openai.BadRequestError, lambda: respond(SUM, background=True)).param == "background"


@case()
def response_tokens_are_counted():
    assert client.responses.input_tokens.count(model=MODEL, input=SUM).input_tokens == respond(SUM).usage.input_tokens


sys.exit(run("openai " + openai.__version__ + os.environ.get("WAY", "")) > 0)
