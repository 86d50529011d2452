#!/usr/bin/env python3
"""Mistakes of newcomers, and what they are told: mistakes_test.py PROGRAM SOURCE_DIRECTORY.

Each row of the tables is a mistake: what was typed, a directory that was given, a request that was sent. The message must
be one line with what was wrong, the value, and a command or request that does what was meant. The test takes that from
the message, does it, and it works. `hf`, `transformers` and `peft` are stand-ins that write tiny-r1's files, since there is
no hub here.
"""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Case, Server, tiny_r1
from terminal import Terminal

CPU = ["--device", "cpu", "-q"]
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
USAGE, NOT_FOUND, UNSUPPORTED, CORRUPT, UNAVAILABLE = 64, 66, 69, 65, 75

# (typed, exit code, parts of the message, the command in the message that is run). In typed and run M is tiny-r1, F a
# file of text, I a file of ids; words in capitals of the command stand for what run_proposed() says. "= …" instead of a
# command: what was typed, put right with words of the message.
COMMANDS = [
    # Commands that are not there.
    ("plann M", USAGE, ['no command "plann"', "did you mean tutti plan?"], "tutti plan"),
    ("srve M", USAGE, ['"srve"', "did you mean tutti serve?"], "tutti serve"),
    ("Run M Hi", USAGE, ['"Run"', "did you mean tutti run?"], "tutti run"),
    ("benchmark", USAGE, ['"benchmark"', "tutti bench latency MODEL"], "tutti bench serve"),
    ("download Qwen/Qwen3-0.6B", USAGE, ['"download"', "hf download ORGANISATION/NAME"], "tutti serve ORGANISATION/NAME"),
    ("info", USAGE, ['"info"'], "tutti doctor"),
    ("status", USAGE, ['"status"', "/v1/models"], "tutti models"),
    ("zebra", USAGE, ['"zebra"', "run, serve"], "tutti --help"),
    ("pull llama3", USAGE, ['"pull"', "hf download ORGANISATION/NAME"], "tutti serve ORGANISATION/NAME"),
    ("ls", USAGE, ['"ls"', "tutti list"], "tutti models"),
    ("list --endpoint http://127.0.0.1:9", UNAVAILABLE, ["127.0.0.1:9", "--endpoint"], "tutti serve --empty"),
    ("list --endpoint https://h", 69, ["--endpoint https://h"], "tutti list --endpoint http://127.0.0.1:9997"),
    ("launch --endpoint http://127.0.0.1:9", USAGE, ["wanted a model"], "tutti models"),
    ("launch M --n-gpu 0", USAGE, ["--n-gpu 0"], "= launch M --n-gpu none"),
    ("launch M --gpu-idx 0,1 --endpoint http://127.0.0.1:9", UNAVAILABLE, ["127.0.0.1:9"], "tutti serve --empty"),
    ("launch M --gpu-idx a", USAGE, ["--gpu-idx a"], "tutti launch --help"),
    ("terminate --endpoint http://127.0.0.1:9", USAGE, ["wanted the name of a model"], "tutti list"),
    ("serve M --empty", USAGE, ["MODEL and --empty"], "tutti serve --empty"),
    ("serve -f M", USAGE, ["-f", "a directory"], "tutti serve MODEL"),
    ("serve M --tls-cert C", USAGE, ["--tls-cert and --tls-key go together"], "tutti serve --help"),
    ("key add", USAGE, ["NAME"], "tutti key add --help"),
    ("key add a --requests-per-minute 0", USAGE, ["--requests-per-minute 0"], "tutti key add --help"),
    ("key list --endpoint http://127.0.0.1:9", UNAVAILABLE, ["127.0.0.1:9"], "tutti serve --empty"),
    ("start M", USAGE, ['"start"'], "tutti serve MODEL"),
    ("stop", USAGE, ['"stop"', "Ctrl-C"], "kill PID"),
    ("rm llama3", USAGE, ['"rm"', "hf cache"], "rm -r DIRECTORY"),
    ("chat M", USAGE, ['"chat"'], "tutti run MODEL"),
    ("complete M", USAGE, ['"complete"'], 'tutti run MODEL "PROMPT"'),
    ("show M", USAGE, ['"show"'], "tutti plan MODEL"),
    ("collect-env", USAGE, ['"collect-env"'], "tutti doctor --dump FILE"),
    ("cal-model-mem", USAGE, ['"cal-model-mem"'], "tutti plan MODEL"),
    ("bench sreve", USAGE, ['tutti bench: no command "sreve"', "latency"], "tutti bench serve"),
    ("--model M", USAGE, ["--model stands before the command"], "tutti serve --model"),
    ("help zebra", USAGE, ['"zebra"'], "tutti --help"),
    # Flags that are not there.
    ("serve M --prot 8000", USAGE, ["no flag --prot", "did you mean --port?"], "tutti serve --help"),
    ("serve M -port 8000", USAGE, ["-port", "did you mean --port?"], "tutti serve --help"),
    ("serve M --max_batch_sequence 4", USAGE, ["did you mean --max-batch-sequences?"], "tutti serve --help"),
    ("bench serve --concurency=3", USAGE, ["--concurency=3", "did you mean --concurrency?"], "tutti bench serve --help"),
    ("run M --zebra", USAGE, ["no flag --zebra"], "tutti run --help"),
    ("run M -x", USAGE, ["no flag -x"], "tutti run --help"),
    ("plan M --hardwear 8xH200", USAGE, ["did you mean --hardware?"], "tutti plan --help"),
    ("tokenize M --fil F", USAGE, ["did you mean --file?"], "tutti tokenize --help"),
    # Values.
    ("serve M --port 70000", USAGE, ["--port 70000: wanted 0 to 65535"], "tutti serve --help"),
    ("serve M --port http", USAGE, ["--port http: wanted an integer"], "tutti serve --help"),
    ("serve M --port", USAGE, ["--port: a value must follow", "--port 9997"], "tutti serve --help"),
    ("serve M --port --host localhost", USAGE, ["--port: a value must follow"], "tutti serve --help"),
    ("serve M --port 1 --port 2", USAGE, ["--port: given twice"], "tutti serve --help"),
    ("serve M --port 70000 --tp 0", USAGE, ["--port 70000"], "tutti serve --help"),
    ("serve M --tp 0 --port 70000", USAGE, ["--tp 0: wanted 1 to 64"], "tutti serve --help"),
    ("serve M --max-batch-tokens 8k", USAGE, ["8k", "in digits that is 8192"], "tutti serve --help"),
    ("serve M --log-level loud", USAGE, ["--log-level loud", "warning"], "tutti serve --help"),
    ("serve M --log-format xml", USAGE, ["--log-format xml: wanted text or json"], "tutti serve --help"),
    ("serve M --request-timeout soon", USAGE, ["--request-timeout soon", "a number"], "tutti serve --help"),
    ("serve M --step-timeout nan", USAGE, ["--step-timeout nan", "0.05"], "tutti serve --help"),
    ("run M --p2p on", USAGE, ["--p2p on: wanted auto or off"], "tutti run --help"),
    ("run M --temperature hot", USAGE, ["--temperature hot"], "tutti run --help"),
    ("run M --temperature -1", USAGE, ["--temperature -1: wanted 0 to 100"], "tutti run --help"),
    ("run M --top-p 2", USAGE, ["--top-p 2"], "tutti run --help"),
    ("run M --max-tokens 0", USAGE, ["--max-tokens 0", "at least 1"], "tutti run --help"),
    ("bench serve --temperature hot", USAGE, ["--temperature hot: wanted a number"], "tutti bench serve --help"),
    ("bench latency M --prompt-tokens 99999999999999", USAGE, ["wanted at most 1099511627776"], "tutti bench latency --help"),
    ("plan deepseek-r1 --context 4k", USAGE, ["--context 4k", "4096"], "tutti plan --help"),
    ("plan deepseek-r1 --for speed", USAGE, ["--for speed", "latency"], "tutti plan --help"),
    ("score", USAGE, ["MODEL is required"], "tutti score --help"),
    ("score M", USAGE, ["--ids-file is required"], "tutti score --help"),
    ("tokenize M", USAGE, ["--file is required"], "tutti tokenize --help"),
    ("run M What is 3+4?", USAGE, ['"is" is one word too many', "quotes"], "tutti run --help"),
    ("serve M -q awq", USAGE, ['"awq"', "-q is --quiet"], "tutti serve --help"),
    # Words of other servers. What is typed instead is in FIXED too.
    ("serve M --gpu-memory-utilization 0.9", USAGE, ["--kv-memory", "20GiB"], "tutti serve --help"),
    ("serve M --n-gpu 2", USAGE, ["--gpus"], "tutti serve --help"),
    ("serve M -ngl 99", USAGE, ["--device cpu"], "tutti serve --help"),
    ("serve M --dtype float16", USAGE, ["--compute"], "tutti serve --help"),
    ("serve M --quantization fp8", USAGE, ["leave it out"], "tutti serve --help"),
    ("serve M --trust-remote-code", USAGE, ["leave it out"], "tutti serve --help"),
    ("serve M -t 8", USAGE, ["-t", "--threads"], "tutti serve --help"),
    ("serve M --ctx-size 4096", USAGE, ["--context"], "tutti serve --help"),
    ("serve M --verbose", USAGE, ["--log-level debug"], "tutti serve"),
    ("serve M --seed 1", USAGE, ["--seed", "each request"], "tutti serve --help"),
    ("serve M --cpu-offload-gb 10", USAGE, ["--cpu-offload-gb"], "tutti plan MODEL"),
    ("run M -cnv", USAGE, ["-cnv"], "tutti run MODEL"),
    # Models that are not there.
    ("plan deepsek-r1", NOT_FOUND, ["deepsek-r1", "deepseek-r1"], "tutti models"),
    ("run deepsek-r1 Hi", NOT_FOUND, ['"deepsek-r1"', "deepseek-r1"], "tutti models"),
    ("run llama3:8b Hi", NOT_FOUND, ["llama3:8b", "llama-3.1-8b-instruct"], "tutti models"),
    ("run ./nowhere Hi", NOT_FOUND, ["./nowhere: no such model directory"], "tutti models"),
    ("run some-org/some-model Hi", NOT_FOUND, ['"some-org/some-model" was not found'],
     "hf download some-org/some-model --local-dir"),
    ("run https://huggingface.co/Qwen/Qwen3-0.6B Hi", NOT_FOUND, ["given as Qwen/Qwen3-0.6B"], "hf download Qwen/Qwen3-0.6B"),
    ("run hf.co/Qwen/Qwen3-0.6B/tree/main Hi", NOT_FOUND, ["given as Qwen/Qwen3-0.6B"], "hf download Qwen/Qwen3-0.6B"),
    ("run unsloth/Qwen3-0.6B-GGUF Hi", NOT_FOUND, ["GGUF files, which are not read", "hf download ORGANISATION/Qwen3-0.6B"],
     "tutti models Qwen3-0.6B"),
    ("run hf.co/unsloth/Qwen3-0.6B-GGUF:Q4_K_M Hi", NOT_FOUND, ["Q4_K_M", "GGUF files, which are not read"],
     "tutti models Qwen3-0.6B"),
    ("models zebra", NOT_FOUND, ["models zebra:", "none of that name"], "tutti models"),
    ("run Qwen/Qwen3-0.6B:Q4_K_M Hi", NOT_FOUND, ["Q4_K_M", "given as Qwen/Qwen3-0.6B"], "hf download Qwen/Qwen3-0.6B"),
    ("serve M --host http://0.0.0.0", USAGE, ["--host http://0.0.0.0", "127.0.0.1"], "tutti serve --help"),
    ("serve M --host 0.0.0.0:8000", USAGE, ["--host 0.0.0.0:8000", "--port 8000"], "tutti serve --help"),
    ("serve M --api-key ''", USAGE, ["--api-key : is empty", "openssl rand -hex 24"], "tutti serve --help"),
    ("SERVE M", USAGE, ['"SERVE"', "did you mean tutti serve?"], "tutti serve"),
    ("serve M --tp 3 --device cpu -q", USAGE, ["--tp 3", "1, 2, 4, 8"], "= serve M --tp 4 --device cpu -q"),
    ("serve M --device tpu", USAGE, ["--device tpu", "auto, cpu or cuda"], "tutti serve --help"),
    ("serve M --device cpu -q --gpus all", UNAVAILABLE, ["--gpus all: contradicts --device cpu", "leave --gpus out"],
     "= serve M --device cpu -q"),
    ("serve M --device cpu -q --host 0.0.0.0", USAGE, ["--insecure", "--api-key"],
     "= serve M --device cpu -q --host 127.0.0.1"),
    ("serve M --device cpu --kv-memory 0", USAGE, ["--kv-memory 0", "512MiB"], "tutti serve --help"),
    ("serve M --device cpu --kv-memory lots", USAGE, ["--kv-memory lots", "512MiB"], "tutti serve --help"),
    ("generate M --device cpu --ids-file none.txt", NOT_FOUND, ["none.txt: no such file"],
     "tutti tokenize MODEL --file FILE > none.txt"),
    ("doctor --dump /nowhere/x.json", USAGE, ["--dump /nowhere/x.json: cannot write"], "= doctor --dump -"),
    ("plan M --hardware 8xH900", USAGE, ["8xH900"], "= plan M --hardware 8xH200"),
    ("plan M --hardware H200 --inventory x", USAGE, ["wanted one of them"], "tutti plan MODEL --hardware 8xH200"),
]

# What was typed, put right: it must run.
FIXED = [
    ("plan deepsek-r1 --hardware 8xH200", "plan deepseek-r1 --hardware 8xH200"),
    ("plan deepseek-r1 --context 4k --hardware 8xH200", "plan deepseek-r1 --context 4096 --hardware 8xH200"),
    ("plan M --hardware 8xH900", "plan M --hardware 8xH200"),
    ("tokenize M --fil F", "tokenize M --file F"),
    ("generate M --ids-file I --device cpu -n 2", "generate M --ids-file I --device cpu --max-tokens 2"),
    ("generate M --ids-file I --device cpu --dtype float32 --max-tokens 1",
     "generate M --ids-file I --device cpu --compute f32 --max-tokens 1"),
    ("generate M --ids-file I --device cpu --gpu-memory-utilization 0.5 --max-tokens 1",
     "generate M --ids-file I --device cpu --kv-memory 64MiB --max-tokens 1"),
    ("generate M --ids-file I --device cpu --ctx-size 64 --max-tokens 1",
     "generate M --ids-file I --device cpu --context 64 --max-tokens 1"),
    ("generate M --ids-file I --device cpu --gpus all --max-tokens 1",
     "generate M --ids-file I --device cpu --max-tokens 1"),
    ("generate M --ids-file I --device cpu --tp 3 --max-tokens 1",
     "generate M --ids-file I --device cpu --tp 2 --max-tokens 1"),
    ("generate M --ids-file I --device gpu --max-tokens 1", "generate M --ids-file I --device cpu --max-tokens 1"),
    ("generate M --ids-file I --device cpu --kv-memory lots --max-tokens 1",
     "generate M --ids-file I --device cpu --kv-memory 64MiB --max-tokens 1"),
    ("run M --device cpu What is 3+4?", "run M --device cpu 'What is 3+4?'"),
    ("run M --device cpu -t 2 Hi", "run M --device cpu --threads 2 Hi"),
]

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 135\n"
PAGE = "<!DOCTYPE html><html><body>Sign in</body></html>"
INDEX = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


def no_template(folder):
    path = os.path.join(folder, "tokenizer_config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    del config["chat_template"]
    return {"tokenizer_config.json": json.dumps(config)}


# (what, {file: content, None removes it}, exit code, parts): tiny-r1 with these changes, given to `run`.
DIRECTORIES = [
    ("tokenizer is a pointer", {"tokenizer.json": LFS}, CORRUPT, ["tokenizer.json", "Git LFS"]),
    ("configuration is a pointer", {"config.json": LFS}, CORRUPT, ["config.json", "Git LFS"]),
    ("weights are a pointer", {"model.safetensors": LFS}, CORRUPT, ["model.safetensors", "Git LFS"]),
    ("configuration is a web page", {"config.json": PAGE}, CORRUPT, ["config.json", "web page"]),
    ("weights are a web page", {"model.safetensors": PAGE}, CORRUPT, ["model.safetensors", "web page"]),
    ("configuration is empty", {"config.json": ""}, CORRUPT, ["config.json", "is empty"]),
    ("configuration is cut off", {"config.json": '{"architectures": ['}, CORRUPT, ["config.json", "line 1"]),
    ("weights are empty", {"model.safetensors": ""}, CORRUPT, ["model.safetensors", "0 bytes"]),
    ("weights are cut off", {"model.safetensors": 100_000}, CORRUPT, ["model.safetensors", "past the end of the file"]),
    ("no tokenizer", {"tokenizer.json": None}, UNSUPPORTED, ["no tokenizer.json"]),
    ("no weights", {"model.safetensors": None}, NOT_FOUND, ["*.safetensors"]),
    ("GGUF beside a configuration", {"model.safetensors": None, "m.Q4_K_M.gguf": "GGUF"}, UNSUPPORTED, ["m.Q4_K_M.gguf"]),
    ("GGUF under a wrong name", {"model.safetensors": "GGUF" + "x" * 64}, UNSUPPORTED, ["GGUF file by its content"]),
    ("pickled weights", {"model.safetensors": None, "pytorch_model.bin": "PK\x03\x04"}, UNSUPPORTED, ["pytorch_model.bin", "pickled"]),
    ("pickled under a wrong name", {"model.safetensors": "PK\x03\x04" + "x" * 64}, UNSUPPORTED, ["pickled"]),
    ("a download of hf that stopped",
     {"model.safetensors": None, ".cache/huggingface/download/model.safetensors.abc.incomplete": "x"}, NOT_FOUND,
     ["not complete", "model.safetensors.abc.incomplete"]),
    ("a download of a browser that stopped", {"model.safetensors": None, "model.safetensors.crdownload": "x"}, NOT_FOUND,
     ["not complete", "model.safetensors.crdownload"]),
    ("shards that are missing",
     {"model.safetensors": None, "model.safetensors.index.json": json.dumps(INDEX), "model-00001-of-00002.safetensors": "x"},
     NOT_FOUND, ["1 of 2 files of weights are missing", "model-00002-of-00002.safetensors"]),
    ("all shards are missing", {"model.safetensors": None, "model.safetensors.index.json": json.dumps(INDEX)}, NOT_FOUND,
     ["2 of 2 files"]),
    ("no configuration", {"config.json": None}, NOT_FOUND, ["has no config.json", "weights alone"]),
    ("an empty directory", {None: None}, NOT_FOUND, ["the directory is empty"]),
    ("ONNX", {None: None, "model.onnx": "x"}, NOT_FOUND, ["ONNX"]),
    ("GGUF alone", {None: None, "m-Q4_K_M.gguf": "GGUF"}, UNSUPPORTED, ["m-Q4_K_M.gguf", "GGUF files are not read"]),
    ("Meta's own files", {None: None, "params.json": "{}", "consolidated.00.pth": "x"}, NOT_FOUND, ["maker's own format"]),
    ("something else", {None: None, "holiday.jpg": "x"}, NOT_FOUND, ["config.json: no such file"]),
]

# As those, but no download helps: (…, the command in the message, what it is run with).
OTHER_DIRECTORIES = [
    ("an architecture that is not there", {"config.json": '"DeepseekV3ForCausalLM"->"GPT2LMHeadModel"'}, UNSUPPORTED,
     ["GPT2LMHeadModel", "LlamaForCausalLM"], "tutti models"),
    ("no chat template", no_template, UNSUPPORTED, ["no chat template", TEXT], "tutti serve"),
    ("another tokenizer", {"tokenizer.json": None, "tokenizer.model": "x"}, UNSUPPORTED,
     ["tokenizer.model is not read"], "python3 -c"),
    ("a LoRA adapter", {None: None, "adapter_config.json": "{}", "adapter_model.safetensors": "x"}, NOT_FOUND,
     ["LoRA adapter", "merge it"], "python3 -c"),
]

HELLO = {"messages": [{"role": "user", "content": "What is 3+4?"}], "max_tokens": 4}
PROMPT = {"prompt": "3+4=", "max_tokens": 4}


def hello(**fields):
    return {**HELLO, **fields}


# (method, path, body, status, parts of the message, what the message says to send instead: (method, path, body)).
LOST = [
    ("POST", "/api/pull", {"model": "x"}, ["Ollama", "hf download"], ("GET", "/api/tags", None)),
    ("POST", "/api/embed", {"model": "x", "input": "a"}, ["Ollama", "embeddings"], ("GET", "/api/tags", None)),
    ("POST", "/api/chats", HELLO, ["Ollama"], ("POST", "/api/chat", HELLO)),
    ("POST", "/v1/messages/batches", {"requests": []}, ["Anthropic", "POST /v1/messages"], ("POST", "/v1/messages", HELLO)),
    ("POST", "/v1/complete", PROMPT, ["Anthropic", "POST /v1/messages"], ("POST", "/v1/messages", HELLO)),
    ("POST", "/v1/threads", {}, ["OpenAI"], ("POST", CHAT, HELLO)),
    ("POST", "/v1/tokenize", PROMPT, ["vLLM", "POST /tokenize"], ("POST", "/tokenize", PROMPT)),
    ("POST", "/generate", {"inputs": "Hi"}, ["TGI"], ("POST", TEXT, PROMPT)),
    ("POST", "/completion", PROMPT, ["llama.cpp"], ("POST", TEXT, PROMPT)),
    ("GET", "/props", None, ["llama.cpp"], ("GET", "/v1/models", None)),
    ("GET", "/get_model_info", None, ["SGLang"], ("GET", "/v1/models", None)),
    ("GET", "/redoc", None, ["FastAPI"], ("GET", "/docs", None)),
    ("POST", "/chat/completions", HELLO, ["base URL", "/v1"], ("POST", CHAT, HELLO)),
    ("POST", "/v1/v1/chat/completions", HELLO, ["did you mean"], ("POST", CHAT, HELLO)),
    ("POST", "/v1/chat/completions/", HELLO, ["none at the end"], ("POST", CHAT, HELLO)),
    ("POST", "/v1/chat/completion", HELLO, ["did you mean"], ("POST", CHAT, HELLO)),
    ("GET", "/models", None, ["did you mean"], ("GET", "/v1/models", None)),
    ("GET", "/nothing", None, ["no such route"], ("GET", "/", None)),
    ("POST", "/v1/embeddings", {"input": "Hi"}, ["embeddings"], ("GET", "/v1/models", None)),
]

REFUSED = [
    ("GET", CHAT, None, 405, ["takes POST"], ("POST", CHAT, HELLO)),
    ("POST", "/v1/models", {"model_uid": "x"}, 405, ["GET, HEAD", "tutti serve MODEL"], ("GET", "/v1/models", None)),
    ("DELETE", "/v1/models/x", None, 405, ["Ctrl-C"], ("GET", "/v1/models", None)),
    ("POST", CHAT, {"model": "gpt-4o", **HELLO}, 404, ["gpt-4o", "tiny-r1"], ("POST", CHAT, {"model": "tiny-r1", **HELLO})),
    ("POST", CHAT, {"prompt": "Hi"}, 400, ["messages: missing", TEXT], ("POST", TEXT, PROMPT)),
    ("POST", TEXT, HELLO, 400, ["prompt: missing", CHAT], ("POST", CHAT, HELLO)),
    ("POST", CHAT, {"messages": "Hi"}, 400, ["messages", "array"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, {"messages": []}, 400, ["messages", "at least one"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, {"messages": [{"role": "bot", "content": "Hi"}]}, 400, ["bot", "assistant"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, {"messages": [{"content": "Hi"}]}, 400, ["messages[0].role"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(temperature=5), 400, ["temperature: got 5, wanted 0 to 2"], ("POST", CHAT, hello(temperature=2))),
    ("POST", CHAT, hello(temperature="0.7"), 400, ["temperature", "a number"], ("POST", CHAT, hello(temperature=0.7))),
    ("POST", CHAT, hello(max_tokens=0), 400, ["max_tokens: got 0, wanted 1"], ("POST", CHAT, hello(max_tokens=1))),
    ("POST", CHAT, hello(max_tokens=99999), 400, ["99999", "2048"], ("POST", CHAT, hello(max_tokens=100))),
    ("POST", CHAT, hello(n=500), 400, ["n: got 500, wanted 1 to 128"], ("POST", CHAT, hello(n=2))),
    ("POST", CHAT, hello(top_p=0), 400, ["top_p: got 0"], ("POST", CHAT, hello(top_p=1))),
    ("POST", CHAT, hello(stream="yes"), 400, ["stream", "true or false"], ("POST", CHAT, hello(stream=True))),
    ("POST", CHAT, hello(stream_options={}), 400, ["stream is true"], ("POST", CHAT, hello(stream=True, stream_options={}))),
    ("POST", CHAT, hello(top_logprobs=3), 400, ["logprobs is true"], ("POST", CHAT, hello(logprobs=True, top_logprobs=3))),
    ("POST", CHAT, hello(response_format={"type": "json"}), 400, ["response_format.type", "json_schema"],
     ("POST", CHAT, hello(response_format={"type": "json_object"}))),
    ("POST", CHAT, hello(guided_json={"type": "array", "uniqueItems": True}), 400, ["guided_json", "uniqueItems", "leave it out"],
     ("POST", CHAT, hello(guided_json={"type": "array", "maxItems": 2}))),
    ("POST", CHAT, hello(guided_regex="(a"), 400, ["guided_regex", "at byte 2", "a ( without its )"],
     ("POST", CHAT, hello(guided_regex="(a)"))),
    ("POST", CHAT, hello(guided_grammar="start ::= \"a\""), 400, ["guided_grammar", "there is no rule root"],
     ("POST", CHAT, hello(guided_grammar="root ::= \"a\""))),
    ("POST", CHAT, hello(tool_choice="required"), 400, ["tool_choice", "no tools"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(tools=[{"name": "f"}]), 400, ["tools[0].type", '"function"'], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(enable_thinking=False), 400, ["always reasons", "leave the field out"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(chat_template_kwargs={"enable_thinking": False}), 400,
     ["enable_thinking: got false", "leave the field out"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(reasoning_effort="none"), 400, ["reasoning_effort", "leave the field out"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(reasoning_effort="much"), 400, ["much", "medium"], ("POST", CHAT, hello(reasoning_effort="medium"))),
    ("POST", CHAT, hello(think=False), 400, ["think", "always reasons"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, hello(system="Be brief"), 400, ["system", "first message"],
     ("POST", CHAT, {**HELLO, "messages": [{"role": "system", "content": "Be brief"}] + HELLO["messages"]})),
    ("POST", CHAT, hello(stop=5), 400, ["stop: got", "a string or a list"], ("POST", CHAT, hello(stop=["5"]))),
    ("POST", CHAT, hello(seed=1.5), 400, ["seed: got 1.5"], ("POST", CHAT, hello(seed=1))),
    ("POST", CHAT, hello(logit_bias={"x": 1}), 400, ["logit_bias", '"x"'], ("POST", CHAT, hello(logit_bias={"1": 1}))),
    ("POST", TEXT, {"prompt": [99999999]}, 400, ["prompt[0]: got 99999999"], ("POST", TEXT, {"prompt": [1], "max_tokens": 1})),
    ("POST", TEXT, {"prompt": "x" * 20000}, 400, ["2048"], ("POST", TEXT, PROMPT)),
    ("POST", CHAT, "{'messages': []}", 400, ["double quotes"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, "{", 400, ["invalid JSON at line 1"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, "", 400, ["the body is empty"], ("POST", CHAT, HELLO)),
    ("POST", CHAT, "[]", 400, ["wanted a JSON object"], ("POST", CHAT, HELLO)),
]

# (fields, the warning in the header): answered all the same.
WARNED = [
    ({"max_token": 4}, "max_token: no such field, so it has no effect; did you mean max_tokens?"),
    ({"maxTokens": 4}, "did you mean max_tokens?"),
    ({"max_new_tokens": 4}, "did you mean max_tokens?"),
    ({"num_predict": 4}, "did you mean max_tokens?"),
    ({"temprature": 0.5}, "did you mean temperature?"),
    ({"stop_sequences": ["x"]}, "did you mean stop?"),
    ({"repeat_penalty": 1.1}, "did you mean repetition_penalty?"),
    ({"zebra": 1}, "zebra: no such field, so it has no effect"),
    ({"reasoning_effort": "low"}, "reasoning_effort: this model's chat template does not read it"),
    ({"chat_template_kwargs": {"colour": "red"}}, "chat_template_kwargs.colour: this model's chat template does not read it"),
]

# A module of Python that writes those of tiny-r1's files that are of the tokenizer, or the others.
PYTHON = """
import shutil

class Saved:
    def from_pretrained(_):
        return Saved()

    def merge_and_unload(self):
        return self

    def save_pretrained(self, folder):
        shutil.copytree({model!r}, folder, ignore=lambda _, names: [n for n in names if n.startswith("tokenizer") != {tokenizer}],
                        dirs_exist_ok=True)

AutoTokenizer = AutoPeftModelForCausalLM = Saved
"""
HF = """#!/bin/sh
# hf download NAME [--local-dir DIR]: what the hub would give, a whole model.
[ "$1" = download ] || exit 64
to="$HOME/.cache/huggingface/hub/models--$(echo "$2" | sed 's,/,--,')/snapshots/abc"
[ "$3" = --local-dir ] && to=$4
mkdir -p "$to" && cp -f {model}/* "$to" && rm -f "$to"/*.crdownload "$to"/*.index.json "$to"/model-0*
"""


class MistakeCase(Case):
    def setUp(self):
        super().setUp()
        self.file = self.write("text.txt", "abc\n")
        self.ids = self.write("ids.txt", "1 2 3")
        self.message = self.write("messages.json", json.dumps(HELLO["messages"]))
        os.mkdir(self.path("bin"))
        with open(self.path("bin/hf"), "w", encoding="utf-8") as f:
            f.write(HF.format(model=shlex.quote(tiny_r1())))
        os.chmod(self.path("bin/hf"), 0o755)
        for module, tokenizer in (("transformers", True), ("peft", False)):
            self.write(f"bin/{module}.py", PYTHON.format(model=tiny_r1(), tokenizer=tokenizer))
        self.shell_variables = {
            **cli_test.environment(self.folder.name), "PATH": self.path("bin") + ":" + os.environ["PATH"], "PYTHONPATH": self.path("bin")
        }

    def shell(self, command):
        cli_test.subprocess.run(["bash", "-c", command], check=True, env=self.shell_variables, cwd=self.folder.name)

    def words(self, typed):
        names = {"M": tiny_r1(), "F": self.file, "I": self.ids}
        return [names.get(word, word) for word in shlex.split(typed)]

    def serve(self, *args):
        """Starts a server, which says that it is ready, and ends it."""
        server = Server(self, process=self.start("serve", *args, "--port", "0"), quiet=True)
        self.assertEqual(server.terminate(signal.SIGTERM), 0)

    def ask_server(self, *words):
        """A command that asks a running server."""
        server = Server(self, process=self.start("serve", "--empty", "--port", "0"), quiet=True)
        self.run_tutti(*words, "--endpoint", f"http://127.0.0.1:{server.port}")
        self.assertEqual(server.terminate(signal.SIGTERM), 0)

    def run_right(self, typed):
        words = self.words(typed)
        if words[0] == "serve":
            self.serve(*words[1:])
        elif words[0] == "launch":
            self.ask_server(*words)
        else:
            self.run_tutti(*words)

    def run_proposed(self, command):
        """Runs a command as a message has it, with what its capitals stand for."""
        if command == "kill PID":
            server = Server(self, process=self.start("serve", tiny_r1(), *CPU, "--port", "0"), quiet=True)
            self.shell(command.replace("PID", str(server.process.pid)))
            self.assertEqual(server.process.wait(cli_test.TIMEOUT), 0)
            return
        if command == "rm -r DIRECTORY":
            os.mkdir(self.path("a-model"))
            self.shell(command.replace("DIRECTORY", "a-model"))
            self.assertFalse(os.path.exists(self.path("a-model")))
            return
        if command.startswith("hf download "):  # the name is then found, also under --local-dir
            name = command.split()[2]
            local = " " + self.path(f".tutti/models/{name}") if command.endswith("--local-dir") else ""
            self.shell(command + local)
            self.run_tutti("run", name, "Hi", *CPU, "--max-tokens", "4")
            return
        if " > " in command:
            command = command.replace("MODEL", shlex.quote(tiny_r1())).replace("FILE", shlex.quote(self.file))
            self.shell(command.replace("tutti", shlex.quote(cli_test.PROGRAM), 1))
            self.run_tutti("generate", tiny_r1(), *CPU, "--max-tokens", "2", "--ids-file", self.path(command.split()[-1]))
            return
        fill = {"MODEL": tiny_r1(), "ORGANISATION/NAME": tiny_r1(), "FILE": self.path("dump.json"), "PROMPT": "Hi"}
        words = [fill.get(word, word) for word in shlex.split(command)]
        self.assertEqual(words[0], "tutti")
        words = words[1:]
        if words[0] == "serve" and "--help" not in words:
            self.serve(*(["--empty"] if "--empty" in words else [tiny_r1(), *CPU]))
            return
        if words[0] == "list":
            self.ask_server("list")
            return
        needs = {"plan": ["tiny-r1"], "run": [tiny_r1(), "Hi"], "bench": ["--help"]}.get(words[0], [])
        if len(words) <= 2 and "--help" not in words and needs and words[-1] != needs[-1]:
            words = words[:1] + (words[1:] if words[0] == "bench" else []) + needs
        if words[0] == "run":
            words += [*CPU, "--max-tokens", "4"]
        self.run_tutti(*words)


class CommandLineTest(MistakeCase):
    def test_each_mistake_is_named_with_a_command_that_works(self):
        done = set()
        for typed, code, parts, proposed in COMMANDS:
            with self.subTest(typed):
                err = self.refused(*self.words(typed), code=code, parts=parts)
                self.assertLess(len(err), 900)
                self.assertNotRegex(err, r"\d{21}")
                if proposed.startswith("= "):
                    right = proposed.removeprefix("= ")
                    for word in set(right.split()) - set(typed.split()):
                        self.assertIn(word, err)
                    self.run_right(right)
                    continue
                self.assertIn(proposed, err)
                if proposed not in done:
                    done.add(proposed)  # the same command works again
                    self.run_proposed(proposed)

    def test_what_was_put_right_runs(self):
        for wrong, right in FIXED:
            with self.subTest(wrong):
                err = self.run_tutti(*self.words(wrong), code=None)[1]
                self.assertEqual(err.strip().count("\n"), 0, err)
                for word in set(shlex.split(right)) - set(shlex.split(wrong)) - {"--max-tokens"}:
                    if word.startswith("--"):
                        self.assertIn(word, err)
                self.run_tutti(*self.words(right))

    def test_words_of_other_servers_that_are_ours_too_mean_the_same(self):
        """A new flag that others have as well must be looked at: same word, same meaning?"""
        same = {
            "--allowed-origins", "--api-key", "--device", "--frequency-penalty", "--help", "--host", "--ignore-eos",
            "--load-format", "--log-level", "--min-p", "--port", "--presence-penalty", "--seed", "--served-model-name",
            "--system", "--temperature", "--threads", "--top-k", "--top-p", "-h",
        }
        # Where a value or a missing one tells them apart at once.
        other = {
            "--chunk",  # score: tokens per step; llama.cpp: a folder's pieces of perplexity
            "--drain-timeout",  # of a server; Xinference's is of a worker
            "--insecure",  # without a key; Ollama's is for registries
            "--tools",  # a file; llama.cpp's are its own tools
            "-f",  # serve: a file of models; llama.cpp's is of a prompt
            "-q",  # --quiet; vLLM and Xinference: --quantization, see "serve M -q awq"
        }
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer_flags.json"), encoding="utf-8") as f:
            others = {flag for server in json.load(f).values() for flag in server["flags"]}
        ours = set()
        for command in ("run", "serve", "score", "generate"):
            out, _ = self.run_tutti(command, "--help")
            for line in re.findall(r"^  (-[^ ]+)", out, re.MULTILINE):
                ours.update(line.split(","))
        self.assertEqual(ours & others - same, other & ours)


class DirectoryTest(MistakeCase):
    def model(self, changes):
        folder = self.path("model")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tiny_r1(), folder)
        changes = changes(folder) if callable(changes) else changes
        for name, content in changes.items():
            path = os.path.join(folder, name or "")
            if name is None:
                shutil.rmtree(folder)
                os.mkdir(folder)
            elif content is None:
                os.remove(path)
            elif isinstance(content, int):
                os.truncate(path, content)
            else:
                old, arrow, new = content.partition("->")
                if arrow:
                    with open(path, encoding="utf-8") as f:
                        content = f.read().replace(old, new)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as f:
                    f.write(content)
        return folder

    def run_model(self, folder, **kwargs):
        return self.run_tutti("run", folder, "Hi", *CPU, "--max-tokens", "4", **kwargs)

    def test_what_has_to_be_downloaded_says_how(self):
        for what, changes, code, parts in DIRECTORIES:
            with self.subTest(what):
                folder = self.model(changes)
                _, err = self.run_model(folder, code=code)
                self.assertEqual(err.count("\n"), 1, err)
                for part in (folder, *parts):
                    self.assertIn(part, err)
                command = re.search(r"hf download ORGANISATION/NAME --local-dir \S+", err)
                self.assertTrue(command, err)
                self.shell(command[0])
                self.run_model(folder)

    def test_others(self):
        for what, changes, code, parts, proposed in OTHER_DIRECTORIES:
            with self.subTest(what):
                folder = self.model(changes)
                _, err = self.run_model(folder, code=code)
                for part in (folder, *parts, proposed):
                    self.assertIn(part, err)
                if proposed == "python3 -c":
                    self.shell(re.search(r'python3 -c "[^"]+"', err)[0])
                    given = re.search(r"give (\S+)$", err.strip())
                    self.run_model(given[1] if given else folder)
                elif proposed == "tutti serve":
                    self.serve(folder, *CPU)
                else:
                    self.run_tutti(*proposed.split()[1:])

    def test_a_stopped_download_in_the_cache_goes_on(self):
        snapshot = self.path(".cache/huggingface/hub/models--org--m/snapshots/abc")
        os.makedirs(snapshot)
        os.makedirs(self.path(".cache/huggingface/hub/models--org--m/blobs"))
        self.write(".cache/huggingface/hub/models--org--m/blobs/4d7a.incomplete", "x")
        shutil.copy(os.path.join(tiny_r1(), "config.json"), snapshot)
        _, err = self.run_model("org/m", code=NOT_FOUND)
        self.assertIn("4d7a.incomplete", err)
        command = re.search(r"hf download org/m$", err.strip())
        self.assertTrue(command, err)
        self.shell(command[0])
        self.run_model("org/m")

    def test_a_model_that_is_nowhere_is_found_after_the_download(self):
        _, err = self.run_model("some-org/some-model", code=NOT_FOUND)
        command = re.search(r"hf download some-org/some-model --local-dir \S+", err)
        self.assertTrue(command, err)
        self.shell(command[0])
        self.run_model("some-org/some-model")

    def test_a_model_without_a_template_says_so_at_start_and_to_who_chats(self):
        folder = self.model(no_template)
        server = Server(self, process=self.start("serve", folder, "--device", "cpu", "--port", "0"))
        server.wait_for(r" W .*no chat template")
        server.wait_for(r"ready: ")
        status, body = server.request("POST", CHAT, HELLO)
        self.assertEqual(status, 400)
        for part in ("no chat template", TEXT):
            self.assertIn(part, body)
        self.assertEqual(server.request("POST", TEXT, PROMPT)[0], 200)
        os.remove(os.path.join(folder, "tokenizer.json"))
        server = Server(self, process=self.start("serve", folder, "--device", "cpu", "--port", "0"))
        server.wait_for(r" W .*no tokenizer.json")
        server.wait_for(r"ready: ")
        for path, request in ((CHAT, HELLO), (TEXT, PROMPT)):
            status, body = server.request("POST", path, request)
            self.assertEqual(status, 400)
            self.assertIn("token ids", body)
        self.assertEqual(server.request("POST", TEXT, {"prompt": [1, 2], "max_tokens": 2})[0], 200)


class RequestTest(MistakeCase):
    def setUp(self):
        super().setUp()
        self.server = Server(self, "--served-model-name", "tiny-r1")
        self.server.wait_for(r"ready: ")

    def send(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=cli_test.TIMEOUT)
        try:
            text = body if isinstance(body, str) or body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if method == "POST" else {})
            response = connection.getresponse()
            return response.status, response.read().decode(), response.headers.get_all("X-Tutti-Warning") or []
        finally:
            connection.close()

    def check(self, method, path, body, status, parts, instead):
        got, text, _ = self.send(method, path, body)
        self.assertEqual(got, status, text)
        error = json.loads(text)["error"]
        for part in parts:
            self.assertIn(part, error["message"])
        self.assertLess(len(error["message"]), 900)
        if status == 404 and path not in (CHAT, TEXT):
            self.assertIn(f"{instead[0]} {instead[1]}", error["message"])
        got, text, warnings = self.send(*instead)
        self.assertEqual(got, 200, (instead, text))
        # The log has a line with the same words.
        self.server.wait_for(rf"{method} {re.escape(path)} {status} .* from 127\.0\.0\.1: ")

    def test_lost_requests(self):
        for method, path, body, parts, instead in LOST:
            with self.subTest(path):
                self.check(method, path, body, 404, parts, instead)

    def test_refused_requests(self):
        for row in REFUSED:
            with self.subTest(row[:3]):
                self.check(*row)

    def test_answered_with_a_warning(self):
        for fields, warning in WARNED:
            with self.subTest(fields):
                status, text, warnings = self.send("POST", CHAT, hello(**fields))
                self.assertEqual(status, 200, text)
                self.assertEqual(len(warnings), 1)
                self.assertIn(warning, warnings[0])
                if meant := re.search(r"did you mean (\w+)\?", warnings[0]):
                    status, text, warnings = self.send("POST", CHAT, hello(**{meant[1]: list(fields.values())[0]}))
                    self.assertEqual((status, warnings), (200, []), text)
        self.server.wait_for("warned of max_token: no such field")

    def test_a_form_is_no_json(self):
        status, body = self.server.request("POST", CHAT, HELLO, {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(status, 415)
        header = re.search(r"-H '([^:]+): ([^']+)'", json.loads(body)["error"]["message"])
        self.assertEqual(self.server.request("POST", CHAT, HELLO, {header[1]: header[2]})[0], 200)

    def test_what_is_no_http_is_told_in_the_log(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as s:
            s.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            s.recv(1000)
        self.server.wait_for("http://, not https://")


class CountTest(unittest.TestCase):
    def test_the_tables_are_long(self):
        rows = len(COMMANDS) + len(FIXED) + len(DIRECTORIES) + len(OTHER_DIRECTORIES) + len(LOST) + len(REFUSED) + len(WARNED)
        self.assertGreaterEqual(rows, 120)


class QuietTest(MistakeCase):
    def test_a_quiet_server_says_that_it_is_ready_and_nothing_else(self):
        process = self.start("serve", tiny_r1(), *CPU, "--port", "0")
        server = Server(self, process=process, quiet=True)
        server.request("GET", "/nothing")
        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        server.reader.join()
        self.assertEqual(len(server.lines), 1, server.lines)

    def test_colours_are_for_terminals_that_want_them(self):
        args = ["run", tiny_r1(), "What is 3+4?", "--device", "cpu", "--temperature", "0"]
        out, err = self.run_tutti(*args)
        self.assertNotIn("\x1b", out + err)
        env = {**cli_test.environment(self.folder.name), "TERM": "xterm"}
        env.pop("NO_COLOR", None)
        for more, coloured in (({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
            with self.subTest(more):
                terminal = Terminal(self, [cli_test.PROGRAM, *args], {**env, **more})
                self.assertEqual("\x1b[2m" in terminal.until(""), coloured)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = map(os.path.abspath, sys.argv[1:3])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
