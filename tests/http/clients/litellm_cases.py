"""litellm, as a library, over four APIs."""

import os
import sys
from importlib.metadata import version

import litellm

from cases import case, run
from recite import BOTH, COUNT, COUNT_WORDS, KEY, MODEL, SUM, SUM_ANSWER, SUM_THOUGHT, WEATHER, WEATHER_ANSWER, WEATHER_RESULT

URL = sys.argv[1]
litellm.telemetry = False
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
APIS = ("openai", "anthropic", "ollama_chat")


def ask(api, text, **more):
    base = URL + "/v1" if api == "openai" else URL
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return litellm.completion(model=f"{api}/{MODEL}", api_base=base, api_key=KEY, messages=messages, num_retries=0, **more)


@case(*APIS)
def says_and_thinks(api):
    message = ask(api, SUM).choices[0].message
    assert message.content.strip() == SUM_ANSWER, message
    assert message.reasoning_content == SUM_THOUGHT, message


@case(*APIS)
def streams(api):
    said = thought = ""
    for chunk in ask(api, SUM, stream=True):
        said += chunk.choices[0].delta.content or ""
        thought += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    assert (said.strip(), thought) == (SUM_ANSWER, SUM_THOUGHT), (said, thought)


@case(*APIS)
def tool_round(api):
    message = ask(api, WEATHER, tools=TOOLS).choices[0].message
    call = message.tool_calls[0]
    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("weather", '{"city":"Oslo"}')
    messages = [{"role": "user", "content": WEATHER}, message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": call.id, "content": WEATHER_RESULT}]
    assert ask(api, messages, tools=TOOLS).choices[0].message.content == WEATHER_ANSWER


# Not Ollama's: litellm numbers both calls 0 and glues their arguments (findings/litellm_glues_ollama_calls.sh).
@case("openai", "anthropic")
def two_tools_streamed(api):
    chunks = list(ask(api, BOTH, tools=TOOLS, stream=True))
    whole = litellm.stream_chunk_builder(chunks)
    arguments = [c.function.arguments.replace(" ", "") for c in whole.choices[0].message.tool_calls]
    assert arguments == ['{"city":"Oslo"}', '{"city":"Rome"}'], arguments


@case(*APIS)
def cut_off(api):
    choice = ask(api, COUNT, max_tokens=5).choices[0]
    assert (choice.finish_reason, choice.message.content.strip()) == ("length", "".join(COUNT_WORDS[:5]).strip()), choice


@case(*APIS)
def usage(api):
    assert ask(api, SUM).usage.total_tokens == ask("openai", SUM).usage.total_tokens


@case(*APIS)
def errors(api):
    try:
        ask(api, SUM, temperature=1.5, top_p=7)
    except Exception as error:
        assert "top_p" in str(error), error
    else:
        raise AssertionError("no error")


@case()
def responses():
    reply = litellm.responses(model=f"openai/{MODEL}", api_base=URL + "/v1", api_key=KEY, input=SUM)
    said = [c.text for i in reply.output if i.type == "message" for c in i.content]
    assert "".join(said).strip() == SUM_ANSWER


sys.exit(run("litellm " + version("litellm") + os.environ.get("WAY", "")) > 0)
