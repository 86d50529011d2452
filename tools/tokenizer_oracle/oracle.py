#!/usr/bin/env python3
"""Expected results by the Python package `tokenizers`: the same file that oracle.mjs writes.

Usage: oracle.py TOKENIZER.json TEXTS.jsonl [EXPECTED.u32]. Compares with EXPECTED.u32 if it is given, and prints the
numbers of the texts that differ.
"""
import hashlib
import json
import struct
import sys

import tokenizers


def main():
    tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
    hashes = []
    with open(sys.argv[2], encoding="utf-8") as lines:
        for line in lines:
            ids = tokenizer.encode(json.loads(line), add_special_tokens=False).ids
            parts = [" ".join(map(str, ids))] + [tokenizer.decode(ids, skip_special_tokens=skip) for skip in (False, True)]
            hashes.append(struct.unpack("<I", hashlib.sha256("\n".join(parts).encode()).digest()[:4])[0])
    print(f"tokenizers {tokenizers.__version__}: {len(hashes)} texts")
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as file:
            expected = [value for (value,) in struct.iter_unpack("<I", file.read())]
        differing = [i for i, pair in enumerate(zip(hashes, expected)) if pair[0] != pair[1]]
        print(f"{len(differing)} differ of {len(expected)}: {differing[:20]}")
        return 1 if differing or len(hashes) != len(expected) else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
