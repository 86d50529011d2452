#!/usr/bin/env python3
"""Writes jinja_goldens.json: what Python's jinja2, set up as transformers' apply_chat_template sets it
up, renders for the cases in jinja_cases.py and the templates in jinja_templates/.

Run after changing a case: /usr/bin/python3 make_jinja_goldens.py (needs jinja2 3.1). The C++ test reads
only the written file.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jinja_cases import CASES, TEMPLATE_CASES

HERE = pathlib.Path(__file__).parent
NOW = 1753500000  # 2025-07-26 03:20:00 UTC


class Generation(jinja2.ext.Extension):
    """{% generation %} … {% endgeneration %}: prints its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_support")
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _support(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def make_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(
        NOW, datetime.timezone.utc
    ).replace(tzinfo=None).strftime(form)
    return environment


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
