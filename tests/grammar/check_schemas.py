#!/usr/bin/env python3
"""Grammars of JSON schemas beside jsonschema, the library.

  check_schemas.py PROBE suite DIRECTORY   the JSON Schema Test Suite of a draft: each group is either refused by name,
                                           or all its verdicts are those of the suite
  check_schemas.py PROBE random N [SEED]   N random schemas: what is drawn validates, and what validates is reachable
"""

import json
import pathlib
import random
import subprocess
import sys

import jsonschema


class Probe:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question, ensure_ascii=False) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def written(value):
    """As a model would write it: numbers without exponents, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def writable(value):
    """No number that our texts write otherwise (1.0 where an integer is meant, 1e400)."""
    if isinstance(value, float):
        return "e" not in repr(value) and value != int(value)
    if isinstance(value, dict):
        return all(writable(v) for v in value.values())
    return all(writable(v) for v in value) if isinstance(value, list) else True


def suite(probe, directory):
    groups = refused = right = 0
    wrong = []
    for path in sorted(pathlib.Path(directory).glob("*.json")):
        for group in json.loads(path.read_text()):
            groups += 1
            tests = [t for t in group["tests"] if writable(t["data"])]
            reply = probe.ask(kind="schema", schema=group["schema"], any_order=True, texts=[written(t["data"]) for t in tests])
            if "error" in reply:
                nothing = not any(t["valid"] for t in tests) and "no text can satisfy" in reply["error"]
                right += nothing
                refused += not nothing
                if not nothing and not reply["unsupported"]:
                    wrong.append(f"{path.name}: {group['description']}: {reply['error']}")
                continue
            bad = [t["description"] for t, got in zip(tests, reply["matches"]) if got != t["valid"]]
            if bad:
                wrong.append(f"{path.name}: {group['description']}: {bad}")
            else:
                right += 1
    return groups, refused, right, wrong


class Schemas:
    """Random schemas of the keywords that are enforced, and values that may or may not hold them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def string(self):
        schema = {"type": "string"}
        kind = self.random.randrange(6)
        if kind == 0:
            schema["minLength"] = self.random.randrange(3)
            schema["maxLength"] = schema["minLength"] + self.random.randrange(4)
        elif kind == 1:
            schema["pattern"] = self.random.choice(["^a", "b$", "^[ab]+$", "a{2}", "^(x|yy)?$", "\\d", "^\\w\\s?\\w$"])
        elif kind == 2:
            schema = {"enum": self.random.sample(["a", "b", "ab", "aa", "", "x y", "\u00e9", "\""], 3)}
        elif kind == 3:
            schema["maxLength"] = 3
            schema["pattern"] = self.random.choice(["a", "^b", "x|y"])
        return schema

    def number(self):
        schema = {"type": self.random.choice(["integer", "number"])}
        if self.random.random() < 0.6:
            schema[self.random.choice(["minimum", "exclusiveMinimum"])] = self.random.choice([-5, 0, 1.5, 3, 10])
        if self.random.random() < 0.6:
            schema[self.random.choice(["maximum", "exclusiveMaximum"])] = self.random.choice([2, 7.25, 12, 100])
        if self.random.random() < 0.2:
            schema["multipleOf"] = self.random.choice([2, 3, 0.5])
        return schema

    def array(self, depth):
        schema = {"type": "array"}
        if self.random.random() < 0.4:
            schema["prefixItems"] = [self.schema(depth - 1) for _ in range(self.random.randrange(1, 3))]
        schema["items"] = self.schema(depth - 1) if self.random.random() < 0.8 else False
        if self.random.random() < 0.5:
            schema["minItems"] = self.random.randrange(3)
        if self.random.random() < 0.5:
            schema["maxItems"] = self.random.randrange(1, 4)
        return schema

    def object(self, depth):
        names = self.random.sample(["a", "b", "ab", "c d", "x"], self.random.randrange(4))
        schema = {"type": "object", "properties": {n: self.schema(depth - 1) for n in names}}
        if names:
            schema["required"] = self.random.sample(names, self.random.randrange(len(names) + 1))
        kind = self.random.randrange(5)
        if kind == 0:
            schema["additionalProperties"] = False
        elif kind == 1:
            schema["additionalProperties"] = self.schema(depth - 1)
        elif kind == 2:
            schema["patternProperties"] = {self.random.choice(["^a", "b", "^x"]): self.schema(depth - 1)}
        elif kind == 3:
            schema["propertyNames"] = {"pattern": self.random.choice(["^[ab]", "^.{1,2}$"])}
        if self.random.random() < 0.2:
            schema["minProperties"] = self.random.randrange(3)
        if self.random.random() < 0.2:
            schema["maxProperties"] = self.random.randrange(1, 4)
        if len(names) > 1 and self.random.random() < 0.2 and not {"minProperties", "maxProperties"} & set(schema):
            schema["dependentRequired"] = {names[0]: [names[1]]}
        return schema

    def schema(self, depth):
        kind = self.random.randrange(9 if depth > 0 else 4)
        if kind == 0:
            return {"type": self.random.sample(["null", "boolean", "integer", "string"], 2)}
        if kind == 1:
            return self.string()
        if kind == 2:
            return self.number()
        if kind == 3:
            return self.random.choice([True, {}, {"const": 5}, {"type": "boolean"}, {"not": {"type": "string"}},
                                       {"type": "string", "not": {"enum": ["a", "b"]}}])
        if kind == 4:
            return self.array(depth)
        if kind in (5, 6):
            return self.object(depth)
        if kind == 7:
            return {"anyOf": [self.schema(depth - 1) for _ in range(2)]}
        return {"allOf": [self.object(depth), self.object(depth)]}

    def value(self, schema, depth=3):
        """Leans on the schema, so that some of them hold."""
        if isinstance(schema, bool) or not schema:
            schema = {}
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(self.random.choice(schema[key]), depth)
        if "allOf" in schema:
            out = {}
            for one in schema["allOf"]:
                value = self.value(one, depth)
                out.update(value if isinstance(value, dict) else {})
            return out
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if "const" in schema and self.random.random() < 0.8:
            return schema["const"]
        kind = schema.get("type", self.random.choice(["null", "integer", "string", "array", "object"]))
        kind = self.random.choice(kind) if isinstance(kind, list) else kind
        if kind == "null":
            return None
        if kind == "boolean":
            return self.random.random() < 0.5
        if kind == "integer":
            return self.random.choice([-6, -5, 0, 1, 2, 3, 4, 6, 7, 9, 12, 13, 50, 100])
        if kind == "number":
            return self.random.choice([-5.5, 0, 0.5, 1.5, 2, 3, 7.25, 7.5, 12, 99.5])
        if kind == "string":
            return self.random.choice(["", "a", "b", "ab", "aa", "aab", "bb", "x", "yy", "xb", "1", "a b", "\u00e9", "\"", "q\n"])
        if kind == "array":
            items = [self.value(s, depth - 1) for s in schema.get("prefixItems", [])]
            if schema.get("items") is not False and depth > 0:
                items += [self.value(schema.get("items", {}), depth - 1) for _ in range(self.random.randrange(3))]
            return items[: self.random.randrange(len(items) + 1)] if self.random.random() < 0.3 else items
        out = {}
        for name, inner in schema.get("properties", {}).items():
            if name in schema.get("required", []) or self.random.random() < 0.6:
                out[name] = self.value(inner, depth - 1)
        if depth > 0 and self.random.random() < 0.4:
            more = schema.get("additionalProperties", {})
            out[self.random.choice(["a1", "xb", "zz", "b"])] = self.value(more if isinstance(more, dict) else {}, depth - 1)
        items = list(out.items())
        self.random.shuffle(items)
        return dict(items)


def random_schemas(probe, count, seed):
    schemas = Schemas(seed)
    drawn = reached = refused = 0
    wrong = []
    while count > 0:
        schema = schemas.schema(3)
        validator = jsonschema.Draft202012Validator(schema)
        values = [v for v in (schemas.value(schema) for _ in range(12)) if writable(v)]
        reply = probe.ask(kind="schema", schema=schema, any_order=True, texts=[written(v) for v in values], draw=4, seed=count)
        if "error" in reply:
            refused += 1
            if "cannot be enforced together" in reply["error"]:
                pass
            elif "no text can satisfy" not in reply["error"]:
                wrong.append(f"{written(schema)}: {reply['error']}")
            elif any(validator.is_valid(v) for v in values):
                wrong.append(f"{written(schema)} is said to have no value")
            count -= 1
            continue
        for value, got in zip(values, reply["matches"]):
            if got != validator.is_valid(value):
                wrong.append(f"{written(schema)}: {written(value)}: got {got}")
            reached += got
        for text in reply["drawn"]:
            if text == "" or "\ufeff" in text:  # \s of ECMA-262, not of Python
                continue
            drawn += 1
            try:
                valid = validator.is_valid(json.loads(text))
            except ValueError:
                valid = False
            if not valid:
                wrong.append(f"{written(schema)}: drawn {text}")
        count -= 1
    return drawn, reached, refused, wrong


def main():
    probe = Probe(sys.argv[1])
    if sys.argv[2] == "suite":
        groups, refused, right, wrong = suite(probe, sys.argv[3])
        enforced = groups - refused
        print("\n".join(wrong))
        print(f"{groups} groups: {refused} refused by name, {right} of {enforced} others right ({right / enforced:.1%})")
        return 0 if right >= 0.9 * enforced else 1
    count = int(sys.argv[3])
    drawn, reached, refused, wrong = random_schemas(probe, count, int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    print("\n".join(wrong[:20]))
    print(f"{count} schemas: {drawn} texts drawn, {reached} valid values reached, {refused} without a value or refused, {len(wrong)} wrong")
    return 1 if wrong or drawn < count or reached < count else 0


if __name__ == "__main__":
    sys.exit(main())
