"""Conversations for template tests: conversations(seed, count) yields the arguments of a chat template as JSON
objects. The same seed gives the same conversations on every Python from 3.8 on."""
import json
import random

WORDS = (
    "hello world Zürich 世界 мир שלום مرحبا नमस्ते 😀 👩‍👩‍👧 naïve e\u0301 { } {{ }} {% if %} {# #} <think> </think> <|im_end|> "
    "<｜User｜> <tool_call> </s> \\n \\ \" ' & < > ` ~ % $ # @ tab\there nbsp\u00a0x \u2028 1,000.50 -7 True None null "
    "[] [e~[ ]~b] json ```python print(1)``` end."
).split(" ")

TOOL_NAMES = ("get_weather", "search-web", "sum", "читать", "f_1", "a.b")


def text(rng, most=12):
    """A text with line ends and white space in places where templates trim."""
    kind = rng.randrange(12)
    if kind == 0:
        return ""
    if kind == 1:
        return rng.choice(["\n", " ", "\n\n x", "x \n", "\t"])
    if kind == 2:
        return "<think>\n" + words(rng, 5) + "\n</think>\n\n" + words(rng, 5)
    if kind == 3:
        return words(rng, 3) + "</think>" + words(rng, 3)
    if kind == 4:
        return "<tool_response>\n" + words(rng, 3) + "\n</tool_response>"
    return words(rng, most)


def words(rng, most):
    parts = []
    for _ in range(rng.randrange(1, most + 1)):
        parts.append(rng.choice(WORDS))
        parts.append(rng.choice([" ", " ", " ", "\n", "\n\n", ""]))
    return "".join(parts)


def value(rng, depth=0):
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind == 0:
        return words(rng, 3)
    if kind == 1:
        return rng.choice([0, 1, -7, 10**15, 2**53])
    if kind == 2:
        return rng.choice([0.5, -2.0, 1e-7, 1e22, 3.141592653589793, 1e16, 123456789.125])
    if kind == 3:
        return rng.choice([True, False])
    if kind == 4:
        return None
    if kind == 5:
        return ""
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {words(rng, 1): value(rng, depth + 1) for _ in range(rng.randrange(4))}


def arguments(rng):
    mapping = {rng.choice(["city", "days", "x", "q r", "Ä"]): value(rng) for _ in range(rng.randrange(4))}
    form = rng.randrange(4)
    if form == 0:
        return json.dumps(mapping)
    if form == 1:
        return json.dumps(mapping, ensure_ascii=False, separators=(",", ":"))
    return mapping


def tool(rng):
    function = {"name": rng.choice(TOOL_NAMES)}
    if rng.random() < 0.9:
        function["description"] = words(rng, 6)
    if rng.random() < 0.9:
        function["parameters"] = {
            "type": "object",
            "properties": {
                name: {"type": rng.choice(["string", "integer", "number"]), "description": words(rng, 3), "default": value(rng)}
                for name in rng.sample(["city", "days", "x", "q r"], rng.randrange(4))
            },
            "required": ["city"],
        }
    return {"type": "function", "function": function}


def content(rng, parts=True):
    if parts and rng.random() < 0.15:
        return [{"type": "text", "text": text(rng)} for _ in range(rng.randrange(1, 4))]
    return text(rng)


def assistant(rng):
    message = {"role": "assistant", "content": content(rng)}
    if rng.random() < 0.3:
        message[rng.choice(["reasoning_content", "reasoning_content", "reasoning"])] = text(rng)
    elif rng.random() < 0.1:
        message["reasoning_content"] = None
    if rng.random() < 0.05:
        message["tool_calls"] = rng.choice([None, []])
    return message


def tool_round(rng, first_id):
    """An assistant turn with calls, and the results."""
    calls = []
    for i in range(rng.choice([1, 1, 1, 2, 3])):
        name = rng.choice(TOOL_NAMES)
        calls.append(
            {
                "id": f"functions.{name}:{first_id + i}",
                "type": "function",
                "function": {"name": name, "arguments": arguments(rng)},
            }
        )
    message = {"role": "assistant", "tool_calls": calls}
    kind = rng.randrange(4)
    if kind < 2:
        message["content"] = None if kind == 0 else ""
    elif kind == 2:
        message["content"] = text(rng)
    if rng.random() < 0.3:
        message["reasoning_content"] = text(rng)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], "content": content(rng)}
        for call in calls
    ]
    return [message] + results


def conversation(rng):
    messages = []
    if rng.random() < 0.5:
        messages.append({"role": "system", "content": content(rng)})
        if rng.random() < 0.1:
            messages.append({"role": "system", "content": text(rng)})
    calls = 0
    use_tools = rng.random() < 0.6
    turns = rng.randrange(1, 7)
    for turn in range(turns):
        messages.append({"role": "user", "content": content(rng)})
        if use_tools and rng.random() < 0.6:
            messages.extend(tool_round(rng, calls))
            calls += 3
            if rng.random() < 0.2:
                messages.extend(tool_round(rng, calls))
                calls += 3
        if turn + 1 < turns or rng.random() < 0.3:
            messages.append(assistant(rng))
    if rng.random() < 0.03:  # orders that some templates refuse
        rng.shuffle(messages)
    case = {"messages": messages, "add_generation_prompt": rng.random() < 0.7}
    if use_tools and rng.random() < 0.8:
        case["tools"] = [tool(rng) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    kwargs = {}
    for name, values in (
        ("enable_thinking", [True, False]),
        ("thinking", [True, False]),
        ("date_string", ["1 Jan 2030"]),
        ("tools_in_user_message", [True, False]),
        ("documents", [[{"title": "t", "text": "x"}]]),
        ("bos_token", ["<s>", ""]),
        ("custom_tools", [[tool(rng)], None]),
        ("unknown", [1, None, "x"]),
    ):
        if rng.random() < 0.15:
            kwargs[name] = rng.choice(values)
    if kwargs:
        case["kwargs"] = kwargs
    return case


def conversations(seed, count):
    for i in range(count):
        yield conversation(random.Random(seed * 1_000_003 + i))
