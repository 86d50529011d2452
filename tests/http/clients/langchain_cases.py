"""LangChain's published models over three APIs."""

import os
import sys
from importlib.metadata import version

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from cases import case, run
from recite import BOTH, COUNT, COUNT_WORDS, KEY, MODEL, SUM, SUM_ANSWER, WEATHER, WEATHER_ANSWER, WEATHER_RESULT

URL = sys.argv[1]


@tool
def weather(city: str) -> str:
    """The weather of a city"""
    return WEATHER_RESULT


def model(api, **more):
    if api == "anthropic":
        return ChatAnthropic(model=MODEL, base_url=URL, api_key=KEY, max_retries=0, max_tokens=more.pop("max_tokens", 500), **more)
    if api == "ollama":
        headers = {"headers": {"Authorization": f"Bearer {KEY}"}}
        if "max_tokens" in more:
            more["num_predict"] = more.pop("max_tokens")
        return ChatOllama(model=MODEL, base_url=URL, client_kwargs=headers, **more)
    return ChatOpenAI(model=MODEL, base_url=URL + "/v1", api_key=KEY, max_retries=0, use_responses_api=api == "responses", **more)


APIS = ("chat", "responses", "anthropic", "ollama")


def joined(chunks):
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    return whole


@case(*APIS)
def invoke(api):
    reply = model(api).invoke([SystemMessage("Be brief."), HumanMessage(SUM)])
    assert reply.text.strip() == SUM_ANSWER, reply
    assert reply.usage_metadata["output_tokens"] > 0


@case(*APIS)
def stream(api):
    options = {"stream_usage": True} if api == "chat" else {}
    whole = model(api, **options).invoke(SUM)
    reply = joined(model(api, **options).stream(SUM))
    assert reply.text.strip() == SUM_ANSWER, reply
    for count in ("input_tokens", "output_tokens", "total_tokens"):
        assert reply.usage_metadata[count] == whole.usage_metadata[count], (reply.usage_metadata, whole.usage_metadata)


@case(*APIS)
def tool_round(api):
    bound = model(api).bind_tools([weather])
    messages = [HumanMessage(WEATHER)]
    reply = bound.invoke(messages)
    assert [(c["name"], c["args"]) for c in reply.tool_calls] == [("weather", {"city": "Oslo"})], reply
    messages += [reply, ToolMessage(WEATHER_RESULT, tool_call_id=reply.tool_calls[0]["id"])]
    assert bound.invoke(messages).text == WEATHER_ANSWER


@case(*APIS)
def tools_streamed(api):
    reply = joined(model(api).bind_tools([weather]).stream(BOTH))
    assert [c["args"]["city"] for c in reply.tool_calls] == ["Oslo", "Rome"], reply


@case(*APIS)
def cut_off(api):
    reply = model(api, max_tokens=16).invoke(COUNT)
    assert reply.text.strip() == "".join(COUNT_WORDS[:16]).strip(), reply


@case(*APIS)
def history(api):
    reply = model(api).invoke([HumanMessage("a"), AIMessage("b"), HumanMessage(SUM)])
    assert reply.text.strip() == SUM_ANSWER


@case(*APIS)
def batch(api):
    assert [r.text.strip() for r in model(api).batch([SUM, SUM])] == [SUM_ANSWER] * 2


@case(*APIS)
def wrong_model(api):
    other = model(api)
    setattr(other, "model_name" if api in ("chat", "responses") else "model", "nobody")
    try:
        other.invoke(SUM)
    except Exception as error:
        assert "nobody" in str(error), error
    else:
        raise AssertionError("no error")


sys.exit(run("langchain " + version("langchain-openai") + os.environ.get("WAY", "")) > 0)
