"""Python's jinja2, set up as transformers' apply_chat_template sets it up, and the preparation of messages
that Tutti adds to it (see prepare())."""
import datetime
import json

import jinja2
import jinja2.ext
import jinja2.tests
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

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


class NoText(str):
    """A null content: none to tests, comparisons and JSON, "" where text is wanted."""

    def __new__(cls):
        return str.__new__(cls, "")

    def __eq__(self, other):
        return other is None or isinstance(other, NoText)

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return 0


class Arguments(dict):
    """Arguments of a tool call: a mapping that reads as the client's JSON text. `is string` tells what the
    client sent."""

    def __init__(self, mapping, text, sent_as_text):
        super().__init__(mapping)
        self.text = text
        self.sent_as_text = sent_as_text

    def __str__(self):
        return self.text

    def __add__(self, other):
        return self.text + other

    def __radd__(self, other):
        return other + self.text


def plain(value):
    if isinstance(value, NoText):
        return None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        plain(x), ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def is_string(value):
    if isinstance(value, Arguments):
        return value.sent_as_text
    return isinstance(value, str) and not isinstance(value, NoText)


def make_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.tests["none"] = lambda value: value is None or isinstance(value, NoText)
    environment.tests["string"] = is_string
    environment.tests["iterable"] = lambda value: not isinstance(value, NoText) and jinja2.tests.test_iterable(value)
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.fromtimestamp(
        NOW, datetime.timezone.utc
    ).replace(tzinfo=None).strftime(form)
    return environment


def prepare(messages, keeps_parts):
    """What Tutti hands to a template for `messages`: part lists become one text unless the template reads
    them itself, a missing or null content reads as "", arguments are a mapping and a text at once."""
    prepared = []
    for message in messages:
        message = dict(message)
        content = message.get("content")
        if content is None:
            message["content"] = NoText()
        elif isinstance(content, list) and not keeps_parts:
            message["content"] = "\n".join(part["text"] for part in content)
        if "reasoning" in message and "reasoning_content" not in message:
            message["reasoning_content"] = message["reasoning"]
        calls = message.get("tool_calls")
        if calls:
            message["tool_calls"] = [prepare_call(call) for call in calls]
        prepared.append(message)
    return prepared


def prepare_call(call):
    if "function" not in call or "arguments" not in call["function"]:
        return call
    arguments = call["function"]["arguments"]
    if isinstance(arguments, str):
        try:
            mapping = json.loads(arguments)
        except ValueError:
            return call
        if not isinstance(mapping, dict):
            return call
        dual = Arguments(mapping, arguments, True)
    elif isinstance(arguments, dict):
        dual = Arguments(arguments, json.dumps(arguments, ensure_ascii=False), False)
    else:
        return call
    return {**call, "function": {**call["function"], "arguments": dual}}
