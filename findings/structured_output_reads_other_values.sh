#!/usr/bin/env bash
# What one would guess: an engine that binds a model's output to a JSON schema lets out valid values only, and refuses a schema that
#   it cannot enforce. For `pattern` it searches, as JSON Schema says, or refuses as well.
# What happens: xgrammar compiles each schema below. It takes a pattern for the whole string, so that "ab" cannot come under
#   {"pattern": "^a"}; and it drops keywords with a line on standard error: minLength and maxLength beside a pattern, multipleOf of
#   numbers or beside a bound, `not`, allOf of several. Invalid values then come out of a request that looked accepted. llguidance refuses
#   what it cannot enforce and is right on the rest.
# Why it matters here: neither engine alone is an oracle for src/grammar. tests/grammar/check_engines.py asks both and lets jsonschema
#   decide; what cannot be enforced is a 400 that names the keyword.
# x86-64 Linux, Python 3 with pip, network; some 3 GB in a temporary folder (torch). No GPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.15.0 transformers==5.17.0 xgrammar==0.2.9 llguidance==1.9.1 jsonschema==4.26.0
"$work/venv/bin/python" - 2> /dev/null << 'END'
import json
from importlib.metadata import version

import jsonschema
import llguidance
import xgrammar

CASES = [
    ({"type": "string", "pattern": "^a"}, "ab"),
    ({"type": "string", "pattern": "^a+$", "maxLength": 2}, "aaaa"),
    ({"type": "number", "multipleOf": 0.5}, 0.3),
    ({"type": "integer", "minimum": 1, "multipleOf": 2}, 3),
    ({"not": {"type": "string"}}, "x"),
    ({"allOf": [{"type": "integer", "minimum": 1}, {"maximum": 5}]}, 9),
]


class Bytes:
    eos_token_id, bos_token_id = 256, None
    tokens = [bytes([i]) for i in range(256)] + [b""]
    special_token_ids = [256]

    def __call__(self, text):
        return list(text if isinstance(text, bytes) else text.encode())


tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))
info = xgrammar.TokenizerInfo([bytes([i]) for i in range(256)] + [b"</s>"], vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[256])
compiler = xgrammar.GrammarCompiler(info)


def by_llguidance(schema, text):
    grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
    if llguidance.LLMatcher.validate_grammar(grammar, tokenizer):
        return "refused"
    matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
    return matcher.consume_tokens(list(text.encode())) and matcher.is_accepting()


def by_xgrammar(schema, text):
    matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema), strict_mode=False))
    return matcher.accept_string(text) and matcher.accept_token(256)


print(f"xgrammar {version('xgrammar')}, llguidance {version('llguidance')}, jsonschema {version('jsonschema')}")
got = []
for schema, value in CASES:
    text = json.dumps(value)
    row = (jsonschema.Draft202012Validator(schema).is_valid(value), by_xgrammar(schema, text), by_llguidance(schema, text))
    print(f"{json.dumps(schema)} and {text}: valid {row[0]}, xgrammar {row[1]}, llguidance {row[2]}")
    got.append(row)
wrong = sum(valid != xg for valid, xg, _ in got)
careful = all(ll == "refused" or ll == valid for valid, _, ll in got)
print(f"xgrammar differs from the validator in {wrong} of {len(CASES)}")
raise SystemExit(0 if wrong == len(CASES) and careful else "this has changed")
END
