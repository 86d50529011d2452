#!/usr/bin/env python3
"""Every prompt of 300 rounds of tool calls (tests/engine/tool_rounds_test.cc) as Python's jinja2 renders it.

usage: check_rounds.py TOOL_ROUNDS_TEST
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from jinja2_oracle import make_environment, prepare

TEMPLATES = pathlib.Path(__file__).parent.parent / "unit" / "text" / "jinja_templates"


def with_sorted_keys(value):
    """What Kimi's tokenizer does before its template sees the tools."""
    if isinstance(value, dict):
        return {key: with_sorted_keys(value[key]) for key in sorted(value)}
    return [with_sorted_keys(item) for item in value] if isinstance(value, list) else value


def check(family, lines):
    template = make_environment().from_string((TEMPLATES / f"{family}_style.jinja").read_text(encoding="utf-8"))
    for number, line in enumerate(lines):
        case = json.loads(line)
        tools = with_sorted_keys(case["tools"]) if family == "kimi" else case["tools"]
        want = template.render(messages=prepare(case["messages"], True), tools=tools, documents=None, add_generation_prompt=True)
        if case["prompt"] != want:
            at = next((i for i, (a, b) in enumerate(zip(case["prompt"], want)) if a != b), min(len(case["prompt"]), len(want)))
            raise SystemExit(f"{family}, round {number}, character {at}:\n got  {case['prompt'][at:at + 200]!r}\n want {want[at:at + 200]!r}")
    return len(lines)


def main():
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        base = os.path.join(folder, "rounds")
        subprocess.run([sys.argv[1], "--gtest_brief=1"], check=True, env=dict(os.environ, TUTTI_WRITE_ROUNDS=base))
        for family in ("kimi", "minimax"):
            count += check(family, pathlib.Path(f"{base}.{family}").read_text(encoding="utf-8").splitlines())
    assert count == 600, count
    print(f"{count} prompts equal jinja2's")


if __name__ == "__main__":
    main()
