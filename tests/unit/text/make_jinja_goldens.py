#!/usr/bin/env python3
"""Writes jinja_goldens.json: what Python's jinja2, set up as transformers' apply_chat_template sets it
up, renders for the cases in jinja_cases.py and the templates in jinja_templates/.

Run after changing a case: /usr/bin/python3 make_jinja_goldens.py (needs jinja2 3.1). The C++ test reads
only the written file.
"""
import json
import pathlib
import sys

import jinja2

from jinja_cases import CASES, TEMPLATE_CASES

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "templates"))
from jinja2_oracle import NOW, make_environment  # noqa: E402: found by the line above


def render(source, context):
    """The output, or None if parsing or rendering fails."""
    try:
        return make_environment().from_string(source).render(**context)
    except Exception:  # whatever the template provokes is the answer "error"
        return None


def main():
    cases = []
    for entry in CASES:
        source, context = entry if isinstance(entry, tuple) else (entry, {})
        cases.append({"template": source, "context": context})
    for name, context in TEMPLATE_CASES:
        cases.append({"file": name, "context": context})
    for case in cases:
        source = case.get("template")
        if source is None:
            source = (HERE / "jinja_templates" / case["file"]).read_text(encoding="utf-8")
        case["expected"] = render(source, case["context"])
    # Many cases share a context: each is written once and referred to by its position.
    contexts = []
    for case in cases:
        text = json.dumps(case["context"], ensure_ascii=False)
        if text not in contexts:
            contexts.append(text)
        case["context"] = contexts.index(text)
    head = json.dumps({"now": NOW, "jinja2": jinja2.__version__})[:-1]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    text = f'{head}, "contexts": [\n' + ",\n".join(contexts) + f'\n], "cases": [\n{lines}\n]}}\n'
    (HERE / "jinja_goldens.json").write_text(text, encoding="utf-8")
    failing = sum(c["expected"] is None for c in cases)
    print(f"{len(cases)} cases ({failing} of them errors), {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
