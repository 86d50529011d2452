#!/usr/bin/env python3
"""Xinference's published client, unmodified, against a running server: client_test.py URL MODEL_DIRECTORY."""

import asyncio
import sys
import time

from xinference_client import RESTfulClient
from xinference_client.client.restful.async_restful_client import AsyncClient

QUESTION = [{"role": "user", "content": "What is 3+4?"}]
checks = 0


def check(what, good):
    global checks
    checks += 1
    if not good:
        sys.exit(f"xinference client: {what}")


def fails(what, call, *parts):
    """`call` raises an error whose text has all parts."""
    try:
        call()
    except Exception as e:  # the client raises RuntimeError, its streams Exception
        missing = [part for part in parts if part not in str(e)]
        check(f"{what}: the error lacks {missing}: {e}", not missing)
        return
    check(f"{what}: no error", False)


def launch_and_terminate(client, model):
    uid = client.launch_model(
        "tiny", model_path=model, model_engine="vllm", model_uid="first", n_gpu=None,
        quantization="none", model_format="pytorch", model_size_in_billions=1.5, max_model_len=1024,
    )  # fmt: skip
    check("the uid is the one that was asked for", uid == "first")
    models = client.list_models()
    check("it is listed", set(models) == {"first"})
    check("and described", models["first"]["model_type"] == "LLM")
    described = client.describe_model("first")
    check("with its abilities", "chat" in described["model_ability"])
    check("one of its own", described["id"] == "first" and described["replica"] == 1)
    fails("a uid that is in use", lambda: client.launch_model("tiny", model_engine="vllm", model_uid="first", model_path=model), "in use")
    named = client.launch_model(model_name="tiny", model_engine="vllm", model_path=model, n_gpu="auto")
    check("a model without uid has its name", named == "tiny")
    client.terminate_model("tiny")
    check("and is gone", set(client.list_models()) == {"first"})
    fails("terminated twice", lambda: client.terminate_model("tiny"), "not found")


def chat(client):
    handle = client.get_model("first")
    check("a handle that chats", type(handle).__name__ == "RESTfulChatModelHandle")
    whole = handle.chat(QUESTION, generate_config={"temperature": 0, "max_tokens": 200})
    message = whole["choices"][0]["message"]
    check("a right answer", message["content"].strip() == "7")
    check("its reasoning apart", "3 + 4" in message["reasoning_content"])
    pieces = list(handle.chat(QUESTION, generate_config={"stream": True, "temperature": 0, "max_tokens": 200}))
    text = "".join(p["choices"][0]["delta"].get("content") or "" for p in pieces if p["choices"])
    check("the same as a stream", text.strip() == "7" and len(pieces) > 5)
    completed = handle.generate("3+4=", generate_config={"max_tokens": 4})
    check("a completion", completed["usage"]["completion_tokens"] == 4)
    streamed = list(handle.generate("3+4=", generate_config={"max_tokens": 4, "stream": True}))
    check("a completion as a stream", len(streamed) >= 2)
    fails("a wrong field", lambda: handle.chat(QUESTION, generate_config={"temperature": 9}), "400")
    fails("a model that is not there", lambda: client.get_model("nobody"), "")
    embeddings = type(handle)("nobody", handle._base_url, auth_headers={})
    fails("a chat with it", lambda: embeddings.chat(QUESTION), "404")


def life_of_a_launch(client, model):
    uid = client.launch_model("tiny", model_engine="vllm", model_uid="second", model_path=model, replica=2, wait_ready=False)
    check("it returns at once", uid == "second")
    end = time.monotonic() + 60
    while client.get_launch_model_progress("second")["progress"] < 1:
        check("it makes progress", time.monotonic() < end)
        time.sleep(0.05)
    instance = client.get_instance_info("", "second")[0]
    check("two replicas are ready", instance["status"] == "READY" and len(instance["replica_statuses"]) == 2)
    replicas = client.session.get(f"{client.base_url}/v1/models/second/replicas").json()
    left = client.terminate_model_replica("second", replicas[0]["replica_id"])
    check("one is left", left == 1)
    added = client.add_model_replica("second")
    check("one more", added["replica"] == 2)
    fails("a replica that is not there", lambda: client.terminate_model_replica("second", 9999), "9999")
    events = client.session.get(f"{client.base_url}/v1/models/second/events").json()
    check("its events", events[0]["event_content"] == "launched")
    fails("a cancel of what is ready", lambda: client.cancel_launch_model("second"), "terminate")
    client.terminate_model("second")
    fails("progress of what is gone", lambda: client.get_launch_model_progress("second"), "not found")


def refusals(client, model):
    fails("a model that is nowhere", lambda: client.launch_model("nowhere-at-all", model_engine="vllm", model_uid="x"), "nowhere-at-all")
    fails("too long a context", lambda: client.launch_model("tiny", model_engine="vllm", model_uid="x", model_path=model, max_model_len=10**9), "context")
    fails("adapters", lambda: client.launch_model("tiny", model_engine="vllm", model_path=model, peft_model_config={"lora_list": [{}]}), "peft_model_config")
    fails("embeddings", lambda: client.launch_model("bge", model_engine="vllm", model_type="embedding"), "model_type")
    fails("switches of engines", lambda: client.launch_model("tiny", model_engine="vllm", model_path=model, swap_space=4), "swap_space")
    fails("no GPUs at all", lambda: client.launch_model("tiny", model_engine="vllm", model_path=model, n_gpu=0), "n_gpu")
    check("nothing of it is left", set(client.list_models()) == {"first"})


def cluster(client):
    check("workers", client.get_workers_info()[0]["models"]["first"]["status"] == "READY")
    check("the supervisor", "supervisor_ip" in client.get_supervisor_info())
    check("its address", ":" in client._get_supervisor_internal_address())
    check("registrations", client.list_model_registrations("LLM")[0]["is_builtin"] is False)
    check("engines", "tutti" in client.query_engine_by_model_name("tiny"))
    check("no list of names", client.vllm_models() == {})


async def with_async_client(url, model):
    client = AsyncClient(url)
    try:
        uid = await client.launch_model("tiny", model_engine="vllm", model_uid="third", model_path=model)
        check("launched by the async client", uid == "third")
        handle = await client.get_model("third")
        whole = await handle.chat(QUESTION, generate_config={"temperature": 0, "max_tokens": 200})
        check("which answers", whole["choices"][0]["message"]["content"].strip() == "7")
        stream = await handle.chat(QUESTION, generate_config={"stream": True, "temperature": 0, "max_tokens": 200})
        pieces = [piece async for piece in stream]
        check("and streams", len(pieces) > 5)
        check("and lists", set(await client.list_models()) == {"first", "third"})
        await client.terminate_model("third")
        await handle.close()
    finally:
        await client.close()


def main():
    url, model = sys.argv[1:3]
    client = RESTfulClient(url)
    launch_and_terminate(client, model)
    chat(client)
    life_of_a_launch(client, model)
    refusals(client, model)
    cluster(client)
    asyncio.run(with_async_client(url, model))
    client.terminate_model("first")
    check("nothing is left", client.list_models() == {})
    print(f"xinference client 4.1.0: {checks} checks passed")


if __name__ == "__main__":
    main()
