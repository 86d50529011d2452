#!/usr/bin/env python3
"""Our grammars beside llguidance and, where torch is installed, xgrammar; jsonschema decides who is right.

  check_engines.py PROBE N [SEED]

N random schemas with values whose members stand in the order of the schema. For each engine: values that are valid and
it does not read, and values that are not and it does. Ours must have none of either.
"""

import json
import sys

import jsonschema

from check_schemas import Probe, Schemas, writable, written

try:
    import xgrammar
except ImportError:
    xgrammar = None
import llguidance


class Bytes:
    """A tokenizer of bytes, as llguidance takes one from Python."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [bytes([i]) for i in range(256)] + [b""]
    special_token_ids = [256]

    def __call__(self, text):
        return list(text if isinstance(text, bytes) else text.encode())


class Llguidance:
    name = "llguidance"

    def __init__(self):
        self.tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))

    def read(self, schema, texts):
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema, defaults={"whitespace_flexible": False})
        if llguidance.LLMatcher.validate_grammar(grammar, self.tokenizer):
            return None
        out = []
        for text in texts:
            matcher = llguidance.LLMatcher(self.tokenizer, grammar, log_level=0)
            out.append(matcher.consume_tokens(list(text.encode())) and matcher.is_accepting())
        return out


class Xgrammar:
    name = "xgrammar"

    def __init__(self):
        tokens = [bytes([i]) for i in range(256)] + [b"</s>"]
        info = xgrammar.TokenizerInfo(tokens, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[256])
        self.compiler = xgrammar.GrammarCompiler(info)

    def read(self, schema, texts):
        try:
            compiled = self.compiler.compile_json_schema(json.dumps(schema), any_whitespace=False, separators=(",", ":"), strict_mode=False)
        except (RuntimeError, ValueError):
            return None
        out = []
        for text in texts:
            matcher = xgrammar.GrammarMatcher(compiled)
            out.append(matcher.accept_string(text) and matcher.accept_token(256))
        return out


class Tutti:
    name = "tutti"

    def __init__(self, program):
        self.probe = Probe(program)

    def read(self, schema, texts):
        return self.probe.ask(kind="schema", schema=schema, texts=texts).get("matches")


def ordered(schemas, schema):
    """A value whose members stand as the schemas declare them."""
    shuffle, schemas.random.shuffle = schemas.random.shuffle, lambda items: None
    try:
        return schemas.value(schema)
    finally:
        schemas.random.shuffle = shuffle


def main():
    engines = [Llguidance(), *([Xgrammar()] if xgrammar else []), Tutti(sys.argv[1])]
    count = int(sys.argv[2])
    schemas = Schemas(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    rows = {engine.name: {"pairs": 0, "refused": 0, "missed": [], "wrong": []} for engine in engines}
    for _ in range(count):
        schema = schemas.schema(2)
        if not isinstance(schema, dict):
            continue
        validator = jsonschema.Draft202012Validator(schema)
        values = [v for v in (ordered(schemas, schema) for _ in range(8)) if writable(v)]
        for engine in engines:
            row = rows[engine.name]
            reply = engine.read(schema, [written(v) for v in values])
            if reply is None:
                row["refused"] += 1
                continue
            for value, got in zip(values, reply):
                row["pairs"] += 1
                valid = validator.is_valid(value)
                if valid != got:
                    row["missed" if valid else "wrong"].append(f"{written(schema)} and {written(value)}")
    for name, row in rows.items():
        print(f"{name}: {row['pairs']} pairs, {row['refused']} schemas refused, {len(row['missed'])} valid values missed, "
              f"{len(row['wrong'])} invalid values read")
        for kind in ("missed", "wrong"):
            for example in sorted(row[kind], key=len)[: 5 if name != "tutti" else 40]:
                print(f"  {kind}: {example}")
    return 1 if rows["tutti"]["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
