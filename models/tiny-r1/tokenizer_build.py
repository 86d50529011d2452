#!/usr/bin/env python3
"""Builds tokenizer.json: byte-level BPE with the DeepSeek-V3 pre-tokenizer.

The vocabulary is made for the tasks.  A word that the phrasings or the thoughts
use often is one token as a *whole piece* (``ignore_merges``: a piece found in
the vocabulary is taken as it is); every other word falls apart into its letters,
and every digit stays alone, so that the model sees what it has to count, reverse
and carry.  The merges only join the bytes of common non-ASCII characters.

:class:`Tokenizer` encodes exactly like the file does, without any dependency
but ``regex``; ``--check`` compares it with the ``tokenizers`` package.

    python3 tokenizer_build.py --out checkpoint
"""

import argparse
import collections
import json
import os
import random
import re

import regex

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<｜User｜>", "<｜Assistant｜>"
THINK, END_THINK = "<think>", "</think>"
# The DeepSeek template names the tool tokens, so they exist although this model never uses them.
MARKERS = [USER, ASSISTANT, THINK, END_THINK, "<|EOT|>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
           "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>", "<｜tool▁sep｜>"]
SPLITS = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]
VOCAB_SIZE = 1024


def byte_chars():
    """The GPT-2 table: a printable character for every byte."""
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for b in range(256):
        if b in keep:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + extra)
            extra += 1
    return table


BYTE_CHARS = byte_chars()


def printable(text):
    return "".join(BYTE_CHARS[b] for b in text.encode("utf-8"))


_SPLIT_RE = [regex.compile(p) for p in SPLITS]


def pieces(text):
    """Pre-tokenize: the three splits one after the other, each inside the pieces so far."""
    parts = [text]
    for pattern in _SPLIT_RE:
        out = []
        for part in parts:
            last = 0
            for m in pattern.finditer(part):
                if m.start() > last:
                    out.append(part[last:m.start()])
                if m.end() > m.start():
                    out.append(m.group())
                last = m.end()
            if last < len(part):
                out.append(part[last:])
        parts = out
    return parts


class Tokenizer:
    """Encoder and decoder for the tokenizer.json that this file writes."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            data = json.load(f)
        self.vocab = data["model"]["vocab"]
        self.ranks = {tuple(m.split(" ")): i for i, m in enumerate(data["model"]["merges"])}
        self.added = {t["content"]: t["id"] for t in data["added_tokens"]}
        self._added_re = re.compile("(" + "|".join(re.escape(t) for t in sorted(self.added, key=len, reverse=True)) + ")")
        self._cache = {}
        self._gaps = {}
        self._digits = {str(d): self.vocab[str(d)] for d in range(10)}
        chars = {c: b for b, c in BYTE_CHARS.items()}
        self.bytes_of = {i: bytes(chars[c] for c in t) for t, i in self.vocab.items() if t not in self.added}
        for text, i in self.added.items():
            self.bytes_of[i] = text.encode("utf-8")

    def _piece(self, piece):
        word = printable(piece)
        if word in self.vocab:
            return [self.vocab[word]]
        parts = list(word)
        while len(parts) > 1:
            rank, at = min((self.ranks.get((parts[i], parts[i + 1]), 1 << 30), i) for i in range(len(parts) - 1))
            if rank == 1 << 30:
                break
            parts[at:at + 2] = [parts[at] + parts[at + 1]]
        return [self.vocab[p] for p in parts]

    def _gap(self, text):
        """Text without digits; short ones repeat all the time, so they are remembered."""
        ids = self._gaps.get(text)
        if ids is None:
            ids = []
            for piece in pieces(text):
                got = self._cache.get(piece)
                if got is None:
                    got = self._piece(piece)
                    if len(self._cache) < 200000:
                        self._cache[piece] = got
                ids += got
            if len(text) < 24 and len(self._gaps) < 200000:
                self._gaps[text] = ids
        return ids

    def encode(self, text):
        """Ids of a text that may contain added tokens; nothing is prepended."""
        ids = []
        for segment in self._added_re.split(text):
            if segment in self.added:
                ids.append(self.added[segment])
                continue
            for part in re.split(r"([0-9])", segment):
                if part in self._digits:
                    ids.append(self._digits[part])
                elif part:
                    ids += self._gap(part)
        return ids

    def decode(self, ids):
        return b"".join(self.bytes_of.get(i, b"") for i in ids).decode("utf-8", errors="replace")


# --------------------------------------------------------------------------
# Building
# --------------------------------------------------------------------------


def count_pieces(samples, seed):
    """Frequencies of pieces and of non-ASCII characters over generated chats."""
    import generate
    rng = random.Random(seed)
    piece_count, char_count = collections.Counter(), collections.Counter()
    cache = {}
    for _ in range(samples):
        item = generate.make(rng)
        for weight, text in ((1, item["question"]), (2, item["thinking"] + "\n"), (2, item["answer"])):
            for gap in re.split(r"[0-9]", text):
                got = cache.get(gap)
                if got is None:
                    got = cache[gap] = pieces(gap)
                for p in got:
                    piece_count[p] += weight
            for ch in text:
                if ord(ch) > 127:
                    char_count[ch] += weight
    return piece_count, char_count


def build(out_dir, samples=60000, chars=250):
    import generate
    piece_count, char_count = count_pieces(samples, seed=7)
    vocab = {}

    def add(token):
        if token not in vocab:
            vocab[token] = len(vocab)

    for t in (BOS, EOS, PAD):
        add(t)
    for b in range(256):
        add(BYTE_CHARS[b])
    merges = []
    for ch, _ in char_count.most_common(chars):
        parts = list(printable(ch))
        while len(parts) > 1:
            if parts[0] + parts[1] not in vocab:
                merges.append(parts[0] + " " + parts[1])
                add(parts[0] + parts[1])
            parts[:2] = [parts[0] + parts[1]]
    room = VOCAB_SIZE - len(MARKERS) - len(vocab)
    # Single letters after a space name the letters in thoughts: always whole.
    fixed = [" " + c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    ranks = {tuple(m.split(" ")): 1 for m in merges}

    def tokens_now(piece):
        parts = list(printable(piece))
        i = 0
        while i < len(parts) - 1:
            if (parts[i], parts[i + 1]) in ranks:
                parts[i:i + 2] = [parts[i] + parts[i + 1]]
            else:
                i += 1
        return len(parts)

    gain = {p: n * (tokens_now(p) - 1) for p, n in piece_count.items() if n >= 40}
    best = sorted(gain, key=gain.get, reverse=True)
    words = []
    for p in fixed + best:
        if room <= 0 or p not in fixed and gain[p] <= 0:
            break
        if printable(p) in vocab:
            continue
        add(printable(p))
        room -= 1
        words.append(p)
    assert len(vocab) + len(MARKERS) <= VOCAB_SIZE
    added = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for t in (BOS, EOS, PAD)]
    for i, t in enumerate(MARKERS):
        added.append({"id": len(vocab) + i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False})
    data = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False} for p in SPLITS]
                          + [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": BOS, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {BOS: {"id": BOS, "ids": [0], "tokens": [BOS]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True, "vocab": vocab, "merges": merges},
    }
    os.makedirs(out_dir, exist_ok=True)
    with open(os.path.join(out_dir, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=1)
        f.write("\n")
    plain = sorted({w.strip().lower() for w in words if re.fullmatch(r" ?[A-Za-z]{2,}", w)})
    with open(os.path.join(os.path.dirname(os.path.abspath(generate.__file__)), "template_words.txt"), "w") as f:
        f.write(" ".join(plain) + "\n")
    return len(vocab), len(merges), len(words), len(plain)


def check(path, samples):
    """Compare with the tokenizers package on generated chats and odd strings."""
    from tokenizers import Tokenizer as Reference
    import generate
    ours, ref = Tokenizer(path), Reference.from_file(path)
    rng = random.Random(99)
    texts = []
    for _ in range(samples):
        item = generate.make_chat(rng)
        texts.append(USER.join(m["content"] for m in item["messages"]) + ASSISTANT + THINK + "\n")
        texts.append(item["thinking"] + "\n" + END_THINK + "\n\n" + item["answer"] + EOS)
    texts += ["a  b\n\n c\t1234567 ½ ², naïve 'word \"x\" ひらがな 한국어 😀", " \n x", "3.14e10", "It's 　full-width　space", ""]
    bad = [t for t in texts if ours.encode(t) != ref.encode(t, add_special_tokens=False).ids]
    assert not bad, bad[0]
    assert all(ref.decode(ours.encode(t), skip_special_tokens=False) == t for t in texts[:2000])
    return len(texts)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "checkpoint"))
    ap.add_argument("--samples", type=int, default=60000)
    ap.add_argument("--check", action="store_true", help="compare an existing file with the tokenizers package")
    args = ap.parse_args()
    if args.check:
        print("same ids on", check(os.path.join(args.out, "tokenizer.json"), args.samples), "texts")
    else:
        print("vocab %d, merges %d, whole pieces %d, template words %d" % build(args.out, args.samples))


if __name__ == "__main__":
    main()
