#!/usr/bin/env bash
# What one would guess: whatever the pattern of a tiktoken encoding, encode() loses nothing: bytes have tokens, so text that the
#   pattern does not match comes out in bytes, or encode() refuses. Hugging Face's tokenizers, given the same pattern as a Split of
#   behavior "Isolated", keeps what lies between matches.
# What happens: encode() looks at matches only. What lies between them is gone, without a word; decode(encode(text)) is shorter than the text.
# Why it matters here: a vocabulary file of tiktoken has no pattern, so every reader types it in from the model's code. One alternative left
#   out loses text instead of failing, and no vocabulary check can see it. Kimi's pattern is tested here to match every character
#   (tests/unit/text/tiktoken_vectors.py: decoded ids are the text).
# x86-64 Linux, Python 3 with pip, network; some 10 MB in a temporary folder. No GPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet tiktoken==0.12.0
"$work/venv/bin/python" - << 'END'
from importlib.metadata import version

import tiktoken

bytes_only = {bytes([b]): b for b in range(256)}
words = tiktoken.Encoding("words", pat_str=r"\p{L}+|\p{N}{1,3}", mergeable_ranks=bytes_only, special_tokens={})
text = "Pay 12,50 - now!"
back = words.decode(words.encode(text))
print(f"tiktoken {version('tiktoken')}")
print(f"{text!r} comes back as {back!r}")
raise SystemExit(0 if back == "Pay1250now" else "this has changed")
END
