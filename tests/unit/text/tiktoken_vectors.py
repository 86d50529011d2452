#!/usr/bin/env python3
"""Texts in the ids that tiktoken (PyPI) gives them under Kimi's pattern, for invented vocabularies.

    tiktoken_vectors.py write FILE        the committed vectors
    tiktoken_vectors.py check PROGRAM N   N random texts read by PROGRAM (build/.../tests/tokenizer_test)
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
CAPITALS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
SMALL = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
PATTERN = "|".join([
    r"[\p{Han}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITALS}*{SMALL}+{CONTRACTION}",
    rf"[^\r\n\p{{L}}\p{{N}}]?{CAPITALS}+{SMALL}*{CONTRACTION}",
    r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n]*",
    r"\s*[\r\n]+",
    r"\s+(?!\S)",
    r"\s+",
])
SPECIAL = {0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 22: "<think>", 23: "</think>"}
RESERVED = 256
# Assigned in the Unicode of this Python, which is older than any library's here.
ASSIGNED = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
BLOCKS = [(0x20, 0x7F), (0x4E00, 0x9FA6), (0x3400, 0x4DB6), (0x3040, 0x30FF), (0xAC00, 0xD7A4), (0x0400, 0x0460),
          (0x0590, 0x0600), (0x0900, 0x0980), (0x1F300, 0x1F650), (0x20000, 0x20100), (0xFF00, 0xFF60), (0x00C0, 0x0180),
          (0x0300, 0x0370), (0x2150, 0x2190), (0x3000, 0x3010)]
PARTS = ["It's", "WE'LL", "don't", "HTTPServer", "camelCase", "一二三", "中文，标点。", "2026年12月1日", "\r\n", "\n\n  ", "   ",
         "\t", "\u3000", "\u00a0", "12345", "0.001", "ǅ", "〇〡", "々", "İ", "ß", "́", "한국어", "ひらがな", "ελληνικά", "'S", "'re",
         "…!?", "->", "<|im_end|>", "<think>", "<|im_", "[BOS]", "𠮷", "👩‍💻", "ﬁ", "Ⅷ", "½", "٣٤"]


def text(rng):
    out = []
    for _ in range(rng.randint(1, 12)):
        kind = rng.random()
        if kind < 0.4:
            out.append(rng.choice(PARTS))
        elif kind < 0.8:
            first, last = rng.choice(BLOCKS)
            out += [c for c in (chr(rng.randrange(first, last)) for _ in range(rng.randint(1, 8)))
                    if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
        elif kind < 0.9:
            out.append(rng.choice(ASSIGNED))
        else:
            out.append(" " * rng.randint(1, 5) if rng.random() < 0.7 else "a" * rng.randint(60, 200))
    return "".join(out)


def vocabulary(rng):
    """Ranks of all bytes and of tokens joined at random, or by how often they stand side by side."""
    tokens = [bytes([b]) for b in range(256)]
    rng.shuffle(tokens)
    known = set(tokens)
    pieces = [[bytes([b]) for b in text(rng).encode()] for _ in range(150)]
    trained = rng.random() < 0.5
    while len(tokens) < 256 + rng.randint(150, 400):
        counts = {}
        for piece in pieces:
            for pair in zip(piece, piece[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        pair = max(counts, key=lambda p: (counts[p], p)) if trained else rng.choice(sorted(counts))
        joined = pair[0] + pair[1]
        if len(joined) > 40:
            break
        if joined not in known:
            known.add(joined)
            tokens.append(joined)
        for piece in pieces:
            for i in range(len(piece) - 2, -1, -1):
                if i + 1 < len(piece) and (piece[i], piece[i + 1]) == pair:
                    piece[i:i + 2] = [joined]
    if rng.random() < 0.3:  # as no training gives them: later merges come first
        rng.shuffle(tokens)
    return {token: rank for rank, token in enumerate(tokens)}


def case(rng, texts):
    import tiktoken

    ranks = vocabulary(rng)
    first = len(ranks)
    named = {first + offset: name for offset, name in SPECIAL.items()}
    special = {named.get(i, f"<|reserved_token_{i}|>"): i for i in range(first, first + RESERVED)}
    encoding = tiktoken.Encoding("invented", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
    samples = [text(rng) for _ in range(texts)]
    return {"ranks": "".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()),
            "config": {"tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]", "eos_token": "[EOS]",
                       "added_tokens_decoder": {str(i): {"content": name, "special": not name.endswith("think>")}
                                                for i, name in named.items()}},
            "texts": samples,
            "ids": [encoding.encode(sample, allowed_special="all", disallowed_special=()) for sample in samples]}


def write(path):
    rng = random.Random(20261201)
    with open(path, "w") as file:
        cases = [json.dumps(case(rng, 60), separators=(",", ":")) for _ in range(4)]
        file.write("[\n" + ",\n".join(cases) + "\n]\n")


def check(program, count):
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    done = 0
    while done < count:
        cases = [case(rng, 200) for _ in range(5)]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(cases, file)
            file.flush()
            subprocess.run([program, "--gtest_filter=TiktokenVectors.*", "--gtest_brief=1"], check=True,
                           env=dict(os.environ, TUTTI_TIKTOKEN_VECTORS=file.name))
        done += sum(len(one["texts"]) for one in cases)
    print(f"{done} texts, all ids equal")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "write":
        write(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "check":
        check(sys.argv[2], int(sys.argv[3]))
    else:
        raise SystemExit(__doc__)
