#!/usr/bin/env python3
"""Cases for grammar_bench: JSON schemas as pydantic emits them, each with a text that holds it.

  grammar_cases.py N [SEED] > cases.jsonl        wants pydantic (pip)
  grammar_cases.py large > cases.jsonl           ten by hand: prose, counts, recursion, many fields, many constants

bench/grammar_cases.mjs makes the same of zod.
"""

import datetime
import enum
import json
import random
import sys
import uuid
from typing import Annotated, Dict, List, Literal, Optional, Union

import pydantic

WORDS = "the order was sent to Oslo on Monday and came back with a note saying that nobody lives there any more".split()


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.models = 0

    def text(self, most=12):
        return " ".join(self.random.choice(WORDS) for _ in range(self.random.randrange(1, most)))

    def field(self, depth):
        """A type and a value of it."""
        r = self.random
        kind = r.randrange(14 if depth > 0 else 10)
        if kind in (0, 1):
            return str, self.text(20)
        if kind == 2:
            return int, r.randrange(-1000, 1000)
        if kind == 3:
            return float, r.randrange(1000) + 0.5
        if kind == 4:
            return bool, r.random() < 0.5
        if kind == 5:
            return Literal["low", "medium", "high"], r.choice(["low", "medium", "high"])
        if kind == 6:
            return Annotated[str, pydantic.Field(min_length=1, max_length=200)], self.text()[:200]
        if kind == 7:
            return Annotated[int, pydantic.Field(ge=0, le=150)], r.randrange(151)
        if kind == 8:
            when = datetime.datetime(2024, r.randrange(1, 13), 3, 4, 5, tzinfo=datetime.timezone.utc)
            return r.choice([(datetime.datetime, when), (uuid.UUID, uuid.UUID(int=r.getrandbits(128))), (Color, Color.GREEN)])
        if kind == 9:
            return Annotated[str, pydantic.Field(pattern=r"^[A-Z]{2}-\d{4}$")], "NO-1234"
        if kind == 10:
            inner, value = self.field(depth - 1)
            return Optional[inner], r.choice([value, None])
        if kind == 11:
            inner, value = self.field(depth - 1)
            return List[inner], [value] * r.randrange(4)
        if kind == 12:
            inner, value = self.field(depth - 1)
            return Dict[str, inner], {w: value for w in WORDS[: r.randrange(3)]}
        if r.random() < 0.3:
            a, first = self.field(0)
            b, _ = self.field(0)
            return Union[a, b], first
        return self.model(depth - 1)

    def model(self, depth):
        self.models += 1
        fields, values = {}, {}
        for i in range(self.random.randrange(1, 9)):
            kind, value = self.field(depth)
            fields[f"{self.random.choice(WORDS)}_{i}"] = (kind, pydantic.Field(description=self.text()))
            values[list(fields)[-1]] = value
        made = pydantic.create_model(f"Model{self.models}", **fields)
        return made, made.model_construct(**values)


def large():
    prose = 3 * (
        'The quick brown fox jumps over the lazy dog. It was not amused, said "the dog", and left;\nwhat followed is a '
        "matter of dispute \u2014 see chapter 12 \u2014 but nobody doubts the facts. "
    )
    text = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}

    def limited(**limits):
        return {**text, "properties": {"text": {"type": "string", **limits}}}

    person = {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "email": {"type": "string", "format": "email"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "kind": {"enum": ["admin", "user", "guest"]},
    }
    tree = {
        "type": "object",
        "properties": {"v": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/t"}}},
        "required": ["v", "kids"],
        "additionalProperties": False,
    }
    fields = {f"field_{i}": {"anyOf": [{"type": "string", "maxLength": 60}, {"type": "null"}]} for i in range(60)}
    dated = {"at": {"type": "string", "format": "date-time"}, "id": {"type": "string", "format": "uuid"}}
    row = {"at": "2024-05-06T12:34:56.789Z", "id": "2eb8aa08-aa98-11ea-b4aa-73b441d16380"}
    leaf = {"v": "b", "kids": []}
    return [
        ("person", {"type": "object", "properties": person, "required": ["name", "age"]},
         {"name": "Ada Lovelace", "age": 36, "email": "ada@example.com", "tags": ["mathematician", "poet's daughter"], "kind": "admin"}),
        ("prose", text, {"text": prose}),
        ("prose maxLength", limited(maxLength=2000, minLength=10), {"text": prose}),
        ("prose pattern", limited(pattern="^The"), {"text": prose}),
        ("any object", {"type": "object"}, {"a": [1, 2, {"b": prose}], "c": {"d": {"e": [True, None, 3.25]}}}),
        ("nested", {"$defs": {"t": tree}, "$ref": "#/$defs/t"}, {"v": "root", "kids": [{"v": "a", "kids": [leaf]}, leaf]}),
        ("60 fields", {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False},
         {name: None if i % 3 == 0 else f"value number {i} of the record" for i, name in enumerate(fields)}),
        ("60 optional", {"type": "object", "properties": {f"opt_{i}": {"type": "number"} for i in range(60)}},
         {f"opt_{i}": i * 1.5 for i in range(0, 60, 2)}),
        ("dates", {"type": "array", "items": {"type": "object", "properties": dated, "required": ["at", "id"]}}, [row] * 4),
        ("2000 constants", {"type": "array", "items": {"enum": [f"category {i}: {chr(97 + i % 26)}" for i in range(2000)]}},
         ["category 77: z", "category 1999: x", "category 3: d"]),
    ]


def main():
    if sys.argv[1] == "large":
        for name, schema, value in large():
            print(json.dumps({"name": name, "schema": schema, "text": json.dumps(value, ensure_ascii=False)}, ensure_ascii=False))
        return
    maker = Maker(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    for i in range(int(sys.argv[1])):
        made, value = maker.model(2)
        text = value.model_dump_json(indent=maker.random.choice([None, 2]))
        print(json.dumps({"name": f"pydantic {i}", "schema": made.model_json_schema(), "text": text}, ensure_ascii=False))


if __name__ == "__main__":
    main()
