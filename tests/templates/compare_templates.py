#!/usr/bin/env python3
"""Renders generated conversations with chat templates, once with Tutti and once with Python's jinja2, and demands
the same bytes; where jinja2 raises, Tutti must refuse, with the template's own message if it has one.

usage: compare_templates.py RENDER_CASES MODEL_DIR|FILE.jinja... [--count N] [--seed S]
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys

import jinja2

from conversations import conversations
from jinja2_oracle import NOW, make_environment, prepare

TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")


# Templates that go through lists of content parts themselves; the others get one text.
READ_PARTS = ("gemma3", "minimax_style.jinja", "kimi_style.jinja")


def load(path):
    """(template, special tokens, how render_cases finds it), as transformers reads them."""
    if path.suffix == ".jinja":
        source = path.read_text(encoding="utf-8")
        tokens = {"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"}
        return source, tokens, {"source": source, "special_tokens": tokens}
    directory = path
    config = json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokens = {}
    for name in TOKENS:
        token = config.get(name)
        if token is not None:
            tokens[name] = token["content"] if isinstance(token, dict) else token
    source = config["chat_template"]
    if not isinstance(source, str):
        source = next(entry["template"] for entry in source if entry["name"] == "default")
    return source, tokens, {"model": str(directory)}


def expected(template, tokens, case, keeps_parts):
    variables = {
        "documents": None,
        **tokens,
        **case.get("kwargs", {}),
        "messages": prepare(case["messages"], keeps_parts),
        "tools": case.get("tools") or None,
        "add_generation_prompt": case["add_generation_prompt"],
    }
    try:
        return {"text": template.render(**variables)}
    except jinja2.exceptions.TemplateError as error:
        own = type(error) is jinja2.exceptions.TemplateError  # raise_exception() in the template
        return {"error": str(error) if own else None}
    except Exception:  # TypeError and the like: any refusal will do
        return {"error": None}


def features(case):
    found = set()
    for message in case["messages"]:
        found.add(message["role"])
        content = message.get("content", "absent")
        found.add("content " + ("empty" if content == "" else "absent" if content == "absent" else type(content).__name__))
        if message.get("reasoning_content"):
            found.add("reasoning_content")
        calls = message.get("tool_calls") or []
        found.update("arguments " + type(c["function"]["arguments"]).__name__ for c in calls)
        if len(calls) > 1:
            found.add("parallel calls")
    found.add("tools" if case.get("tools") else "no tools")
    found.add(f"generation prompt {case['add_generation_prompt']}")
    found.update("kwarg " + name for name in case.get("kwargs", {}))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("render_cases")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cases = list(conversations(options.seed, options.count))
    counts = collections.Counter(feature for case in cases for feature in features(case))
    print("conversations:", len(cases), "seed:", options.seed)
    print("  " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))
    lines, answers = [], []
    for model in options.models:
        source, tokens, how = load(model)
        template = make_environment().from_string(source)
        keeps_parts = any(str(model).find(name) >= 0 for name in READ_PARTS)
        name = model.name if model.suffix else model.parent.name
        for case in cases:
            lines.append(json.dumps({"now": NOW, **how, **case}))
            answers.append((name, case, expected(template, tokens, case, keeps_parts)))
    result = subprocess.run(
        [options.render_cases], input="\n".join(lines) + "\n", stdout=subprocess.PIPE, encoding="utf-8", check=True
    )
    got = [json.loads(line) for line in result.stdout.split("\n")[:-1]]
    if len(got) != len(answers):
        sys.exit(f"{len(answers)} cases, but {len(got)} answers")
    tally = collections.Counter()
    failures = 0
    for (name, case, want), have in zip(answers, got):
        refused = "error" in want
        same = ("error" in have and want["error"] in (None, have["error"])) if refused else have == want
        tally[name, "refused by both" if refused and same else "identical" if same else "DIFFERENT"] += 1
        if not same:
            failures += 1
            if failures <= 3:
                print(f"-- {name}\n{json.dumps(case, ensure_ascii=False)}\nwanted {want}\n   got {have}")
    for (name, how), count in sorted(tally.items()):
        print(f"  {name}: {count} {how}")
    if failures:
        sys.exit(f"templates: {failures} differences")


if __name__ == "__main__":
    main()
