"""pydantic-ai's agents over three APIs."""

import asyncio
import os
import sys
from importlib.metadata import version

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from cases import case, run
from recite import KEY, MODEL, SUM, SUM_ANSWER, WEATHER, WEATHER_ANSWER, WEATHER_RESULT

URL = sys.argv[1]
APIS = ("chat", "responses", "anthropic")


def model(api):
    if api == "anthropic":
        return AnthropicModel(MODEL, provider=AnthropicProvider(
            anthropic_client=AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0)))
    provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=URL + "/v1", api_key=KEY, max_retries=0))
    return (OpenAIChatModel if api == "chat" else OpenAIResponsesModel)(MODEL, provider=provider)


async def answered(agent, text):
    return (await agent.run(text)).output


async def streamed(agent, text):
    async with agent.run_stream(text) as result:
        return await result.get_output()


@case(*APIS)
def runs(api):
    assert asyncio.run(answered(Agent(model(api)), SUM)).strip() == SUM_ANSWER


@case(*APIS)
def streams(api):
    assert asyncio.run(streamed(Agent(model(api), instructions="Be brief."), SUM)).strip() == SUM_ANSWER


@case(*[f"{way} {api}" for api in APIS for way in ("run", "stream")])
def tools(variant):
    way, api = variant.split()
    agent = Agent(model(api))
    asked = []

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a city"""
        asked.append(city)
        return WEATHER_RESULT

    output = asyncio.run((answered if way == "run" else streamed)(agent, WEATHER))
    assert (output, asked) == (WEATHER_ANSWER, ["Oslo"]), (output, asked)


@case(*APIS)
def usage(api):
    async def used():
        result = await Agent(model(api)).run(SUM)
        usage = result.usage
        return usage() if callable(usage) else usage

    assert asyncio.run(used()).output_tokens > 0


sys.exit(run("pydantic-ai " + version("pydantic-ai-slim") + os.environ.get("WAY", "")) > 0)
