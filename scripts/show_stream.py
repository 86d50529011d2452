#!/usr/bin/env python3
"""Prints a streamed chat completion from standard input: thinking first, then the answer.

Exits 1 if the stream brought no answer or an error, so that scripts notice.
"""
import json
import sys


def main():
    section = None
    answered = False
    for line in sys.stdin:
        if not line.startswith("data: ") or line.strip() == "data: [DONE]":
            continue
        event = json.loads(line[len("data: "):])
        if "error" in event:
            print(f"error: {event['error']['message']}", file=sys.stderr)
            return 1
        for choice in event.get("choices", []):
            for field, title in (("reasoning_content", "Thinking:"), ("content", "Answer:")):
                text = choice["delta"].get(field)
                if not text:
                    continue
                if section != field:
                    print(("\n\n" if section else "") + title)
                    section = field
                print(text, end="", flush=True)
                answered = answered or field == "content"
    print()
    return 0 if answered else 1


if __name__ == "__main__":
    sys.exit(main())
