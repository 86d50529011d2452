#!/usr/bin/env python3
"""Synthetic problems for tiny-r1: question, readable step by step thought, answer.

Every problem has a canonical key; its hash decides, once and for all, whether
the problem belongs to training or to the held-out set, so the two never meet
whatever the phrasing.

    python3 generate.py --split heldout --per-family 100 --out heldout.jsonl
    python3 generate.py --split train --count 20 --show
"""

import argparse
import hashlib
import json
import os
import random

import phrases
import talk
from phrases import EN, EN_DIFF, ZH, ZH_DIFF, expand

HELDOUT_PERCENT = 3
FAMILIES = ["add", "sub", "mul", "compare", "sort", "max", "min", "sum", "count", "reverse", "talk", "unknown"]
# Share of each family in training: the long-winded ones need the most practice.
WEIGHTS = {"add": 12, "sub": 13, "mul": 13, "compare": 9, "sort": 13, "max": 6, "min": 6, "sum": 10, "count": 12, "reverse": 10, "talk": 8, "unknown": 14}

_HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(_HERE, "words.txt"), encoding="utf-8") as _f:
    WORDS = _f.read().split()
# Words that the phrasings themselves use are single tokens: the model must know
# how those are spelled too, so they are drawn often (tokenizer_build.py writes the list).
_TEMPLATE_FILE = os.path.join(_HERE, "template_words.txt")
TEMPLATE_WORDS = open(_TEMPLATE_FILE, encoding="utf-8").read().split() if os.path.exists(_TEMPLATE_FILE) else ["word"]
TEMPLATE_SET = frozenset(TEMPLATE_WORDS)


def word_key(word):
    """Key of a word problem.  Template words are single tokens whose spelling has to be learnt: always training."""
    word = word.lower()
    return "template-word" if word in TEMPLATE_SET else "word:" + word


def is_heldout(key):
    """Whether the problem with this canonical key is kept out of training."""
    digest = hashlib.blake2b(key.encode("utf-8"), digest_size=4).digest()
    return int.from_bytes(digest, "big") % 100 < HELDOUT_PERCENT


# --------------------------------------------------------------------------
# Thoughts.  T[lang] holds the connecting words; digits and signs are shared.
# --------------------------------------------------------------------------
T = {
    "en": dict(
        places=["Ones", "Tens", "Hundreds", "Thousands", "Ten thousands"], colon=": ", stop=".", comma=", ",
        add="Add {a} and {b}, digit by digit from the right.", same="With the same length: {l}.", also=" and ",
        carry="{p}: {e} = {s}, write {d}, carry {c}.", last="The last carry is 1, write 1.", so="So {x}.",
        sub="Subtract {b} from {a}.", left="Compare from the left: {c}.", ge="The answer is not negative.", lt="The answer is negative, so work out {b} - {a}.",
        nob="{p}: {e} = {d}, write {d}, borrow 0.", bor="{p}: {e} is below 0, so 1{e} = {d}, write {d}, borrow 1.",
        mul="Multiply {a} by {b}.", split="Take {b} apart: {t} tens and {o} ones.", table="From the times table: {x}.", swap="That is the same as {b} × {a}.", that=" That is {x}.", tens=" That is {x}, so {y}.",
        row="{e} = {s}, write {d}, carry {c}", cmp="Compare {a} and {b}.",
        asc="Sort from small to large: {l}.", desc="Sort from large to small: {l}.", start="Start with {x}.", ins="Insert {x}: {c}. Now {l}.", done="The sorted list is {l}.",
        max="Find the largest of {l}.", min="Find the smallest of {l}.", keep="{c}, keep {x}.", take="{c}, take {x}.", best="The largest is {x}.", least="The smallest is {x}.",
        sum="Add one after another: {l}.", total="The sum is {x}.",
        count="Count the letter {c} in {w}.", none="The letter {c} does not appear, so the count is 0.", found="The letter {c} appears {n} times.", once="The letter {c} appears 1 time.", all="Count all letters of {w}.", len="The last number is {n}, so there are {n} letters.",
        rev="Spell {w}, then read it backwards.", back="Backwards: {l}.", yes="Yes", no="No", equal="They are equal."),
    "zh": dict(
        places=["个位", "十位", "百位", "千位", "万位"], colon="：", stop="。", comma="，",
        add="从右边开始，一位一位地加 {a} 和 {b}。", same="对齐位数：{l}。", also=" 和 ",
        carry="{p}：{e} = {s}，写 {d}，进 {c}。", last="最后的进位是 1，写 1。", so="所以 {x}。",
        sub="从 {a} 减去 {b}。", left="从左边开始比较：{c}。", ge="结果不是负数。", lt="结果是负数，先算 {b} - {a}。",
        nob="{p}：{e} = {d}，写 {d}，借 0。", bor="{p}：{e} 小于 0，所以 1{e} = {d}，写 {d}，借 1。",
        mul="{a} 乘以 {b}。", split="拆开 {b}：{t} 个十和 {o} 个一。", table="根据乘法表：{x}。", swap="这等于 {b} × {a}。", that="得到 {x}。", tens="得到 {x}，所以 {y}。",
        row="{e} = {s}，写 {d}，进 {c}", cmp="比较 {a} 和 {b}。",
        asc="从小到大排序：{l}。", desc="从大到小排序：{l}。", start="先放 {x}。", ins="插入 {x}：{c}。现在是 {l}。", done="排好的顺序是 {l}。",
        max="找出最大的数：{l}。", min="找出最小的数：{l}。", keep="{c}，保留 {x}。", take="{c}，换成 {x}。", best="最大的是 {x}。", least="最小的是 {x}。",
        sum="一个一个地加：{l}。", total="总和是 {x}。",
        count="数一数 {w} 里的字母 {c}。", none="没有字母 {c}，所以是 0 个。", found="字母 {c} 出现 {n} 次。", once="字母 {c} 出现 1 次。", all="数一数 {w} 的所有字母。", len="最后的数是 {n}，所以有 {n} 个字母。",
        rev="先拼出 {w}，再倒着读。", back="倒着读：{l}。", yes="是", no="不是", equal="它们一样大。"),
}


def pad(n, width):
    """Decimal digits of n, zero-padded: equal lengths keep the columns aligned."""
    return str(n).zfill(width)


def sign(a, b):
    return "<" if a < b else ">" if a > b else "="


def column_add(a, b, t):
    """Lines of a written addition, from aligning to the result."""
    width = max(len(str(a)), len(str(b)))
    x, y = pad(a, width), pad(b, width)
    lines = [t["same"].format(l=x + t["also"] + y)]
    carry = 0
    for i in range(width):
        p, q = int(x[-1 - i]), int(y[-1 - i])
        expr = f"{p} + {q}" if i == 0 else f"{p} + {q} + {carry}"
        total = p + q + carry
        carry = total // 10
        lines.append(t["carry"].format(p=t["places"][i], e=expr, s=total, d=total % 10, c=carry))
    if carry:
        lines.append(t["last"])
    lines.append(t["so"].format(x=f"{a} + {b} = {a + b}"))
    return lines


def digit_compare(x, y):
    """Compare two numbers of equal length from the left up to the first difference."""
    parts = []
    for p, q in zip(x, y):
        parts.append(f"{p} {sign(p, q)} {q}")
        if p != q:
            break
    return ", ".join(parts)


def think_add(a, b, t):
    return [t["add"].format(a=a, b=b)] + column_add(a, b, t)


def think_sub(a, b, t):
    width = max(len(str(a)), len(str(b)))
    x, y = pad(a, width), pad(b, width)
    lines = [t["sub"].format(a=a, b=b), t["same"].format(l=x + t["also"] + y), t["left"].format(c=digit_compare(x, y))]
    if a >= b:
        lines.append(t["ge"])
    else:
        lines.append(t["lt"].format(a=x, b=y))
        x, y = y, x
    borrow = 0
    for i in range(width):
        p, q = int(x[-1 - i]), int(y[-1 - i])
        expr = f"{p} - {q}" if i == 0 else f"{p} - {q} - {borrow}"
        d = p - q - borrow
        borrow = 1 if d < 0 else 0
        lines.append(t["bor" if borrow else "nob"].format(p=t["places"][i], e=expr, d=d % 10))
    if a < b:
        lines.append(t["so"].format(x=f"{b} - {a} = {b - a}"))
    lines.append(t["so"].format(x=f"{a} - {b} = {a - b}"))
    return lines


def times_row(a, d, t):
    """a (two digits) times one digit, with the carry written out."""
    tens, ones = divmod(a, 10)
    low = ones * d
    high = tens * d
    step = t["row"].format(e=f"{ones} × {d}", s=low, d=low % 10, c=low // 10)
    return f"{a} × {d}{t['colon']}{step}{t['comma']}{tens} × {d} = {high}{t['comma']}{high} + {low // 10} = {high + low // 10}{t['stop']}"


def think_mul(a, b, t):
    lines = [t["mul"].format(a=a, b=b)]
    if a < 10 and b < 10:
        return lines + [t["table"].format(x=f"{a} × {b} = {a * b}")]
    if a < 10:
        lines.append(t["swap"].format(a=a, b=b))
        lines.append(times_row(b, a, t) + t["that"].format(x=a * b))
        return lines + [t["so"].format(x=f"{a} × {b} = {a * b}")]
    if b < 10:
        return lines + [times_row(a, b, t) + t["that"].format(x=a * b), t["so"].format(x=f"{a} × {b} = {a * b}")]
    tens, ones = divmod(b, 10)
    lines.append(t["split"].format(b=b, t=tens, o=ones))
    lines.append(times_row(a, ones, t) + t["that"].format(x=a * ones))
    lines.append(times_row(a, tens, t) + t["tens"].format(x=a * tens, y=f"{a} × {tens * 10} = {a * tens * 10}"))
    lines += column_add(a * ones, a * tens * 10, t)
    return lines + [t["so"].format(x=f"{a} × {b} = {a * b}")]


def think_compare(a, b, t):
    width = max(len(str(a)), len(str(b)))
    x, y = pad(a, width), pad(b, width)
    return [t["cmp"].format(a=a, b=b), t["same"].format(l=x + t["also"] + y), t["left"].format(c=digit_compare(x, y)), t["so"].format(x=f"{a} {sign(a, b)} {b}")]


def think_sort(numbers, descending, t):
    """Insertion sort: each step compares one number with those already in order."""
    width = max(len(str(n)) for n in numbers)
    show = lambda ns: ", ".join(pad(n, width) for n in ns)
    lines = [t["desc" if descending else "asc"].format(l=", ".join(map(str, numbers))), t["same"].format(l=show(numbers)), t["start"].format(x=pad(numbers[0], width))]
    done = [numbers[0]]
    for n in numbers[1:]:
        parts, at = [], len(done)
        for i, m in enumerate(done):
            parts.append(f"{pad(n, width)} {sign(n, m)} {pad(m, width)}")
            if (n > m) if descending else (n < m):
                at = i
                break
        done.insert(at, n)
        lines.append(t["ins"].format(x=pad(n, width), c=", ".join(parts), l=show(done)))
    lines.append(t["done"].format(l=", ".join(map(str, done))))
    return lines, done


def think_extreme(numbers, largest, t):
    width = max(len(str(n)) for n in numbers)
    lines = [t["max" if largest else "min"].format(l=", ".join(map(str, numbers))), t["same"].format(l=", ".join(pad(n, width) for n in numbers)), t["start"].format(x=pad(numbers[0], width))]
    best = numbers[0]
    for n in numbers[1:]:
        relation = f"{pad(n, width)} {sign(n, best)} {pad(best, width)}"
        better = n > best if largest else n < best
        best = n if better else best
        lines.append(t["take" if better else "keep"].format(c=relation, x=pad(best, width)))
    lines.append(t["best" if largest else "least"].format(x=best))
    return lines, best


def think_sum(numbers, t):
    lines = [t["sum"].format(l=", ".join(map(str, numbers)))]
    total = numbers[0]
    for n in numbers[1:]:
        lines += column_add(total, n, t)
        total += n
    lines.append(t["total"].format(x=total))
    return lines, total


def spelled(word):
    return [f"{i} {ch}" for i, ch in enumerate(word, 1)]


def think_count(word, letter, t):
    """Spell with an index; every hit gets its running number in brackets."""
    n, parts = 0, []
    for item, ch in zip(spelled(word), word):
        if ch.lower() == letter.lower():
            n += 1
            item += f" ({n})"
        parts.append(item)
    end = t["none"] if n == 0 else t["once"] if n == 1 else t["found"]
    return [t["count"].format(c=letter, w=word), ", ".join(parts) + t["stop"], end.format(c=letter, n=n)], n


def think_length(word, t):
    return [t["all"].format(w=word), ", ".join(spelled(word)) + t["stop"], t["len"].format(n=len(word))]


def think_reverse(word, t):
    items = spelled(word)
    return [t["rev"].format(w=word), ", ".join(items) + t["stop"], t["back"].format(l=", ".join(reversed(items))), t["so"].format(x=word[::-1])]


# --------------------------------------------------------------------------
# Drawing the problems
# --------------------------------------------------------------------------


def draw_number(rng, digits=(1, 2, 3, 4), weights=(18, 25, 30, 27)):
    """A number whose length is drawn first, so that short ones are not rare."""
    d = rng.choices(digits, weights)[0]
    if rng.random() < 0.06:  # many zeros: the hard carries and borrows
        return int(str(rng.randint(1, 9)) + "".join(rng.choice("000019") for _ in range(d - 1))) if d > 1 else rng.randint(0, 9)
    return rng.randint(0 if d == 1 else 10 ** (d - 1), 10 ** d - 1)


def draw_pair(rng):
    a = draw_number(rng)
    r = rng.random()
    if r < 0.06:
        b = min(9999, max(0, a + rng.randint(-12, 12)))
    elif r < 0.30:  # same length
        d = len(str(a))
        b = rng.randint(0 if d == 1 else 10 ** (d - 1), 10 ** d - 1)
    else:
        b = draw_number(rng)
    return a, b


def draw_list(rng, heldout):
    n = rng.choices((2, 3, 4, 5, 6, 7), (12, 25, 24, 20, 16, 0 if heldout else 3))[0]
    r = rng.random()
    if r < 0.22:
        return [rng.randint(0, 9) for _ in range(n)]
    if r < 0.45:
        return [rng.randint(0, 99) for _ in range(n)]
    if r < 0.60:
        return [rng.randint(0, 999) for _ in range(n)]
    if r < 0.70:  # close together: the last digits decide
        base = rng.randint(0, 960)
        return [base + rng.randint(0, 39) for _ in range(n)]
    numbers = [draw_number(rng, (1, 2, 3), (25, 35, 40)) for _ in range(n)]
    if not heldout and rng.random() < 0.15:  # a little beyond the promised range
        numbers[rng.randrange(n)] = rng.choice([1000, rng.randint(1000, 9999)])
    if rng.random() < 0.12:
        numbers[rng.randrange(n)] = numbers[0]
    return numbers


def random_letters(rng, low, high):
    r = rng.random()
    alphabet = "abcdefghijklmnopqrstuvwxyz" if r < 0.6 else "etaoinshrdlu" if r < 0.8 else rng.choice(["ab", "abc", "lp", "rst", "oe", "mis"])
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(low, high)))


def draw_word(rng, longest, heldout=False):
    """A dictionary word, a template word or random letters; sometimes capitalised."""
    while True:
        r = rng.random()
        if r < 0.62 or (heldout and r < 0.75):
            word = rng.choice(WORDS)
        elif r < 0.70:
            word = rng.choice(TEMPLATE_WORDS)
        else:
            word = random_letters(rng, 1 if not heldout and rng.random() < 0.05 else 2 if not heldout else 3, longest)
        if len(word) > longest or is_heldout(word_key(word)) != heldout:
            continue
        r = rng.random()
        if r < (0.35 if word in TEMPLATE_SET else 0.10):
            return word.capitalize()
        if r < 0.15:
            return word.upper()
        if r < 0.17 and not heldout:
            return "".join(rng.choice((c, c.upper())) for c in word)
        return word


QUOTES_EN = [("", "")] * 6 + [("'", "'")] * 3 + [('"', '"')] * 3 + [("“", "”"), ("‘", "’"), ("`", "`")]
QUOTES_ZH = [("", "")] * 6 + [('"', '"')] * 3 + [("“", "”")] * 3 + [("'", "'"), ("「", "」"), ("《", "》")]


def write_number(n, rng):
    """Now and then a thousands comma."""
    return f"{n:,}" if n >= 1000 and rng.random() < 0.06 else str(n)


def write_list(numbers, rng, lang):
    if lang == "en":
        style = rng.choices(range(8), (48, 10, 12, 12, 6, 5, 4, 3))[0]
    else:
        style = rng.choices((0, 1, 2, 4, 5, 8, 9, 10), (30, 6, 8, 5, 3, 25, 18, 5))[0]
    s = [str(n) for n in numbers]
    if style == 0:
        return ", ".join(s)
    if style == 1:
        return ",".join(s)
    if style == 2:
        return " ".join(s)
    if style == 3:
        return ", ".join(s[:-1]) + rng.choice([" and ", ", and ", " and "]) + s[-1]
    if style == 4:
        return "[" + ", ".join(s) + "]"
    if style == 5:
        return "; ".join(s)
    if style == 6:
        return " and ".join(s) if len(s) < 4 else "(" + ", ".join(s) + ")"
    if style == 7:
        return ("\n" if rng.random() < 0.5 else " / ").join(s)
    if style == 8:
        return "、".join(s)
    if style == 9:
        return "，".join(s)
    return "、".join(s[:-1]) + rng.choice(["和", " 和 "]) + s[-1]


# --------------------------------------------------------------------------
# Dressing up the question
# --------------------------------------------------------------------------


def _typo(text, rng):
    # Placeholders such as <a> must survive.
    spots = [i for i, ch in enumerate(text) if "a" <= ch <= "z" and text[i - 1:i] != "<" and text[i + 1:i + 2] != ">"]
    if len(spots) < 6:
        return text
    i = rng.choice(spots)
    kind = rng.random()
    if kind < 0.35:
        return text[:i] + text[i + 1:]
    if kind < 0.7:
        return text[:i] + rng.choice("abcdefghijklmnopqrstuvwxyz") + text[i + 1:]
    if kind < 0.85:
        return text[:i] + text[i] + text[i:]
    return text[:i] + text[i + 1:i + 2] + text[i] + text[i + 2:]


def dress_en(core, kind, rng, plain=False):
    """Polite words, case and punctuation around an English core.

    kind is D (imperative), F (full question) or B (bare expression).
    """
    question = core.endswith("?")
    core = core.rstrip("?")
    before = ""
    if not plain and rng.random() < 0.30:
        before = rng.choice(phrases.EN_BEFORE)
        if before in phrases.EN_BEFORE_D and kind != "D" or before in phrases.EN_BEFORE_F and kind != "B":
            before = "please " if kind == "D" else ""
    text = before + core
    after = ""
    if not plain and rng.random() < 0.08:
        after = expand(rng.choice(phrases.EN_AFTER), rng)
    r = rng.random()
    if question:
        mark = "?" if r < 0.80 else "" if r < 0.95 else rng.choice(["??", " ?", ".", "?!"])
    elif kind == "D":
        mark = "" if r < 0.52 else "." if r < 0.88 else rng.choice(["?", "!", ":", " ."])
    else:
        mark = "" if r < 0.45 else "?" if r < 0.75 else rng.choice([" =", "=", " = ?", "=?", ".", " ?"])
    if after.startswith(".") or after.startswith(" -"):
        text = text + ("?" if question else "") + after
    elif rng.random() < 0.5:
        text = text + after + mark
    else:
        text = text + mark + after.lstrip(",")
    r = rng.random()
    if r < 0.68:
        text = text[:1].upper() + text[1:]
        # A new sentence starts with a capital letter as well.
        for end in (". ", "! ", ": "):
            at = text.find(end)
            if 0 <= at < len(text) - len(end) and at < len(before) and rng.random() < 0.7:
                at += len(end)
                text = text[:at] + text[at:at + 1].upper() + text[at + 1:]
    elif r < 0.70:
        text = text.upper()
    elif r < 0.72:
        text = text.title()
    if rng.random() < 0.05:
        text = _typo(text, rng)
    return text


def dress_zh(core, rng):
    r = rng.random()
    before = rng.choice(phrases.ZH_BEFORE) if rng.random() < 0.25 else ""
    after = rng.choice(phrases.ZH_AFTER) if rng.random() < 0.08 else ""
    mark = "" if core[-1] in "?？=" else "？" if r < 0.5 else "" if r < 0.8 else rng.choice(["。", "?", "!", "！", "."])
    return before + core + (mark + after if core[-1] in "?？=" else after + mark)


def ask_arith_en(family, a, b, rng):
    spec = EN[family]
    r = rng.random()
    if r < 0.55:
        core = expand(rng.choice(spec["Q"]), rng)
        if r < 0.42:
            verb = rng.choice(phrases.EN_ASK)
            question = verb.startswith(("what", "how much", "do you"))
            text = dress_en(verb + core + ("?" if question else ""), "F" if question else "D", rng)
        else:
            text = dress_en(core, "B", rng)
    elif r < 0.75:
        text = dress_en(expand(rng.choice(spec["D"]), rng), "D", rng)
    else:
        text = expand(rng.choice(spec["F"]), rng)
        text = dress_en(text, "F", rng) if not text.endswith(("=", "= ?", "=?")) else text
    return _put(text, {"a": write_number(a, rng), "b": write_number(b, rng)})


def _put(text, values):
    for name, value in values.items():
        text = text.replace(f"<{name}>", value).replace(f"<{name.upper()}>", value)
    return text


# --------------------------------------------------------------------------
# Families: each returns (key, question, thought lines, answer)
# --------------------------------------------------------------------------


def make_add(rng, lang, heldout):
    a, b = draw_pair(rng)
    text = ask_arith_en("add", a, b, rng) if lang == "en" else _put(dress_zh(expand(rng.choice(ZH["add"]), rng), rng), {"a": str(a), "b": str(b)})
    return f"add:{min(a, b)},{max(a, b)}", text, think_add(a, b, T[lang]), str(a + b)


def make_sub(rng, lang, heldout):
    a, b = draw_pair(rng)
    if a < b and rng.random() < 0.6:  # keep negative results to about a third
        a, b = b, a
    if lang == "en":
        if a >= b and rng.random() < 0.10:
            text = _put(dress_en(expand(rng.choice(EN_DIFF), rng) + "?", "F", rng), {"a": str(a), "b": str(b)})
        else:
            text = ask_arith_en("sub", a, b, rng)
    else:
        pool = ZH_DIFF if a >= b and rng.random() < 0.12 else ZH["sub"]
        text = _put(dress_zh(expand(rng.choice(pool), rng), rng), {"a": str(a), "b": str(b)})
    return f"sub:{a},{b}", text, think_sub(a, b, T[lang]), str(a - b)


def make_mul(rng, lang, heldout):
    a, b = (rng.randint(0, 9) if rng.random() < 0.18 else rng.randint(10, 99) for _ in range(2))
    text = ask_arith_en("mul", a, b, rng) if lang == "en" else _put(dress_zh(expand(rng.choice(ZH["mul"]), rng), rng), {"a": str(a), "b": str(b)})
    return f"mul:{min(a, b)},{max(a, b)}", text, think_mul(a, b, T[lang]), str(a * b)


def make_compare(rng, lang, heldout):
    a, b = draw_pair(rng)
    if rng.random() < 0.04:
        b = a
    kind = rng.choices(("big", "small", "gt", "lt", "eq", "cmp"), (32, 22, 13, 11, 6, 16))[0]
    t = T[lang]
    pattern = rng.choice((EN if lang == "en" else ZH)["compare"][kind])
    core = expand(pattern, rng)
    if lang == "en":
        text = dress_en(core, "F" if core.endswith("?") else "D", rng)
        na, nb = write_number(a, rng), write_number(b, rng)
    else:
        text, na, nb = dress_zh(core, rng), str(a), str(b)
    lines = think_compare(a, b, t)
    if kind in ("big", "small"):
        answer = t["equal"] if a == b else str(max(a, b) if kind == "big" else min(a, b))
    elif kind == "cmp":
        answer = f"{a} {sign(a, b)} {b}"
    else:
        answer = t["yes"] if {"gt": a > b, "lt": a < b, "eq": a == b}[kind] else t["no"]
    return f"compare:{min(a, b)},{max(a, b)}", _put(text, {"a": na, "b": nb}), lines, answer


def _list_key(numbers):
    return "list:" + ",".join(map(str, sorted(numbers)))


def _ask_list(pattern, numbers, rng, lang):
    core = expand(pattern, rng)
    plus = rng.choice([" + ", "+", " + "]).join(map(str, numbers))
    if lang == "en":
        first = core.split(" ")[0]
        bare = "<" in first or "(" in first
        kind = "F" if core.endswith("?") else "B" if "<+>" in core and bare else "D"
        text = dress_en(core, kind, rng, plain=bare)
    else:
        text = dress_zh(core, rng)
    return _put(text, {"l": write_list(numbers, rng, lang), "+": plus})


def make_sort(rng, lang, heldout):
    numbers = draw_list(rng, heldout)
    descending = rng.random() < 0.28
    pool = (EN if lang == "en" else ZH)["sort"]["desc" if descending else "asc"]
    text = _ask_list(rng.choice(pool), numbers, rng, lang)
    lines, done = think_sort(numbers, descending, T[lang])
    return _list_key(numbers), text, lines, ", ".join(map(str, done))


def _make_extreme(rng, lang, heldout, largest):
    numbers = draw_list(rng, heldout)
    text = _ask_list(rng.choice((EN if lang == "en" else ZH)["max" if largest else "min"]), numbers, rng, lang)
    lines, best = think_extreme(numbers, largest, T[lang])
    return _list_key(numbers), text, lines, str(best)


def make_max(rng, lang, heldout):
    return _make_extreme(rng, lang, heldout, True)


def make_min(rng, lang, heldout):
    return _make_extreme(rng, lang, heldout, False)


def make_sum(rng, lang, heldout):
    numbers = draw_list(rng, heldout)[:6]
    pattern = rng.choice((EN if lang == "en" else ZH)["sum"])
    if "<+>" in pattern and len(numbers) == 2:  # two terms are the family "add"
        numbers.append(rng.randint(0, 999))
    if len(numbers) > 4 and rng.random() < 0.3:
        numbers = numbers[:4]
    text = _ask_list(pattern, numbers, rng, lang)
    lines, total = think_sum(numbers, T[lang])
    return _list_key(numbers), text, lines, str(total)


def make_count(rng, lang, heldout):
    word = draw_word(rng, 12 if heldout or rng.random() < 0.9 else 15, heldout)
    spec = (EN if lang == "en" else ZH)["count"]
    ask_all = rng.random() < 0.06
    letter = rng.choice(word) if rng.random() < 0.75 else rng.choice("abcdefghijklmnopqrstuvwxyz")
    if rng.random() < 0.85:
        letter = letter.lower()
    q = rng.choice(QUOTES_EN if lang == "en" else QUOTES_ZH)
    qc = rng.choice(QUOTES_EN if lang == "en" else QUOTES_ZH) if rng.random() < 0.5 else ("", "")
    core = expand(rng.choice(spec["all" if ask_all else "one"]), rng)
    if lang == "en":
        text = dress_en(core, "F" if core.endswith("?") else "D", rng)
    else:
        text = dress_zh(core, rng)
    text = _put(text, {"w": q[0] + word + q[1], "c": qc[0] + letter + qc[1]})
    if ask_all:
        return word_key(word), text, think_length(word, T[lang]), str(len(word))
    lines, n = think_count(word, letter, T[lang])
    return word_key(word), text, lines, str(n)


def make_reverse(rng, lang, heldout):
    word = draw_word(rng, 10 if heldout or rng.random() < 0.9 else 13, heldout)
    q = rng.choice(QUOTES_EN if lang == "en" else QUOTES_ZH)
    if lang == "en":
        kind = rng.choice("DDDF")
        core = expand(rng.choice(EN["reverse"][kind]), rng)
        text = dress_en(core, "F" if core.endswith("?") else "D", rng, plain=core.startswith("<"))
    else:
        text = dress_zh(expand(rng.choice(ZH["reverse"]), rng), rng)
    return word_key(word), _put(text, {"w": q[0] + word + q[1]}), think_reverse(word, T[lang]), word[::-1]


def _talk_key(text, short):
    """The few everyday greetings must all be learnt; only longer ways to say it are held out."""
    return "core-talk" if len(text) < short else "talk:" + text


def make_talk(rng, lang, heldout):
    intent = rng.choice(list(talk.SMALL_TALK))
    en, en_thought, en_reply, zh, zh_thought, zh_reply = talk.SMALL_TALK[intent]
    if lang == "zh":
        text = expand(rng.choice(zh), rng)
        return _talk_key(text, 5), text, [zh_thought], zh_reply
    text = expand(rng.choice(en), rng)
    r = rng.random()
    if r < 0.6:
        text = text[:1].upper() + text[1:]
    elif r < 0.63:
        text = text.upper()
    key = _talk_key(text.lower(), 16)
    if rng.random() < 0.04 and not heldout:
        text = _typo(text, rng)
    return key, text, [en_thought], en_reply


def _plain_word(rng):
    return rng.choice(WORDS)


def _unknown_maths(rng, lang):
    """Requests that look like ours but are out of reach: (question, reason)."""
    n = lambda: rng.choice([rng.randint(0, 9), rng.randint(10, 99), rng.randint(100, 999), rng.randint(1, 9999)])
    a, b, c = n(), n(), n()
    r = rng.random()
    en = lang == "en"
    ask = lambda e: dress_en(rng.choice(["what is ", "what's ", "compute ", "calculate ", "", "", "how much is "]) + e, "F", rng) if en else dress_zh(expand(rng.choice([e + "{等于|是}{多少|几}", "{计算|算一下|求}" + e, e, e + "=?"]), rng), rng)
    if r < 0.26:
        if en:
            e = rng.choice(["{a} / {b}", "{a} divided by {b}", "{a} ÷ {b}", "{a}/{b}", "{a} mod {b}", "{a} % {b}", "{a} to the power of {b}", "{a}^{b}", "{a} squared", "the square root of {a}", "{b} percent of {a}", "{b}% of {a}", "half of {a}", "the average of {a} and {b}",
                            "the mean of {a}, {b} and {c}", "the median of {a}, {b}, {c}", "{a}!", "the factorial of {a}", "log of {a}", "the quotient of {a} and {b}", "a third of {a}", "the remainder of {a} divided by {b}", "the cube of {a}", "sqrt({a})", "the product of {a}, {b} and {c}", "{a} in binary", "{a} as a fraction"])
            return ask(e.format(a=a, b=b, c=c)), "divide"
        e = rng.choice(["{a} / {b}", "{a}除以{b}", "{a} ÷ {b}", "{a}÷{b}", "{a} 除以 {b}", "{a}的平方", "{a}的平方根", "{a}的{b}次方", "{a}和{b}的平均数", "{a}的一半", "{a}的百分之{b}", "{a}除{b}的余数", "{a}的阶乘", "{a}、{b}、{c}的平均值", "{a}的立方", "{a}的三分之一"])
        return ask(e.format(a=a, b=b, c=c)), "divide"
    if r < 0.52:  # too big
        big = rng.randint(10000, 10 ** rng.randint(5, 9))
        x, y = (big, n()) if rng.random() < 0.5 else (n(), big)
        if rng.random() < 0.4:
            x, y = rng.randint(10000, 10 ** rng.randint(5, 9)), big
        op = rng.choice(["+", "-", "+", "-", "*", "×", "plus", "minus", "times"]) if en else rng.choice(["+", "-", "×", "加", "减", "乘"])
        if rng.random() < 0.45:  # a product beyond 99 x 99
            x, y = rng.randint(100, 9999), n()
            if rng.random() < 0.5:
                x, y = y, x
            op = rng.choice(["*", "×", "x", "times", "multiplied by"]) if en else rng.choice(["×", "乘以", "*", "乘"])
        gap = "" if not en and op not in "+-×*" else " "
        if en and op in "+-*×" and rng.random() < 0.3:
            gap = ""
        return ask(f"{x}{gap}{op}{gap}{y}"), "big"
    if r < 0.76:  # mixed operations
        ops = ["-", "*", "/", "×", "+", "-"]
        o1, o2 = rng.choice(ops), rng.choice(ops)
        if o1 == "+" and o2 == "+":
            o2 = "-"
        e = rng.choice(["{a} {p} {b} {q} {c}", "{a}{p}{b}{q}{c}", "({a} {p} {b}) {q} {c}", "{a} {p} ({b} {q} {c})"])
        if en and rng.random() < 0.25:
            w = {"-": "minus", "*": "times", "/": "divided by", "×": "times", "+": "plus"}
            e, o1, o2 = "{a} {p} {b} {q} {c}", w[o1], w[o2]
        return ask(e.format(a=a, b=b, c=c, p=o1, q=o2)), "mixed"
    # not plain whole numbers
    if en:
        words = "zero one two three four five six seven eight nine ten eleven twelve twenty thirty fifty ninety hundred".split()
        e = rng.choice(["{x}.{y} + {z}.{u}", "{x}.{y} - {z}", "{x}.{y} times {z}", "-{a} + {b}", "-{a} - {b}", "-{x} * {z}", "{w} plus {v}", "{w} minus {v}", "{w} times {v}", "1/{x} + 1/{y}", "{x}/{y} + {z}/{u}", "x + {a}", "{x}x + {y}", "a + b", "the sum of {w} and {v}", "{x}.{y} or {z}.{u}"])
        q = e.format(a=a, b=b, x=rng.randint(1, 12), y=rng.randint(1, 99), z=rng.randint(2, 99), u=rng.randint(1, 99), w=rng.choice(words), v=rng.choice(words))
        if " or " in q:
            return dress_en(rng.choice(["which is larger, ", "which is bigger: ", "which is smaller, ", "what is greater, "]) + q + "?", "F", rng), "kind"
        return ask(q), "kind"
    words = "零一二三四五六七八九十"
    e = rng.choice(["{x}.{y} + {z}.{u}", "{x}.{y} - {z}", "-{a} + {b}", "{w}加{v}", "{w}减{v}", "{w}乘{v}", "{x}分之一加{z}分之一", "x + {a}", "{x}.{y}和{z}.{u}哪个大"])
    q = e.format(a=a, b=b, x=rng.randint(1, 12), y=rng.randint(1, 99), z=rng.randint(2, 99), u=rng.randint(1, 99), w=rng.choice(words), v=rng.choice(words))
    return (dress_zh(q, rng) if "哪个" in q else ask(q)), "kind"


def make_unknown(rng, lang, heldout):
    if rng.random() < 0.36:
        text, reason = _unknown_maths(rng, lang)
    else:
        reason = "topic"
        pool = talk.TOPIC_EN if lang == "en" else talk.TOPIC_ZH
        core = talk.fill(rng.choice(pool), rng, _plain_word)
        if lang == "en":
            text = dress_en(core, "F" if core.endswith("?") else "D", rng, plain=rng.random() < 0.6)
        else:
            text = dress_zh(core, rng) if rng.random() < 0.5 else core + rng.choice(["", "", "？", "。"])
    thought = talk.WHY[reason][0 if lang == "en" else 1]
    return "unknown:" + text.lower(), text, [thought], talk.UNKNOWN_EN if lang == "en" else talk.UNKNOWN_ZH


MAKERS = {"add": make_add, "sub": make_sub, "mul": make_mul, "compare": make_compare, "sort": make_sort, "max": make_max, "min": make_min, "sum": make_sum, "count": make_count, "reverse": make_reverse, "talk": make_talk, "unknown": make_unknown}
_NAMES, _SHARES = list(WEIGHTS), list(WEIGHTS.values())


def make(rng, family=None, lang=None, heldout=False):
    """One problem of the wanted split, as a dict."""
    fixed = lang
    while True:
        fam = family or rng.choices(_NAMES, _SHARES)[0]
        lang = fixed or ("zh" if rng.random() < 0.34 else "en")
        key, text, lines, answer = MAKERS[fam](rng, lang, heldout)
        if is_heldout(key) == heldout:
            return {"family": fam, "lang": lang, "question": text, "thinking": "\n".join(lines), "answer": answer, "key": key}


def make_chat(rng, **kw):
    """A training conversation: mostly one turn, sometimes more, sometimes a system prompt.

    Only the last turn is learnt; earlier ones carry the answer alone, as the
    chat template leaves them.
    """
    item = make(rng, **kw)
    messages = []
    r = rng.random()
    if r < 0.06:
        messages.append({"role": "system", "content": rng.choice(phrases.SYSTEM)})
    r = rng.random()
    turns = 0 if r < 0.86 else rng.randint(1, 3) if r < 0.984 else rng.randint(4, 40)
    for _ in range(turns):
        past = make(rng)
        # Some clients send the answer back with the line breaks that follow </think>.
        lead = "\n\n" if rng.random() < 0.25 else ""
        messages += [{"role": "user", "content": past["question"]}, {"role": "assistant", "content": lead + past["answer"]}]
    messages.append({"role": "user", "content": item["question"]})
    item["messages"] = messages
    return item


def heldout_set(per_family, seed=20):
    """Balanced held-out problems: two thirds English, one third Chinese."""
    rng = random.Random(seed)
    items, seen = [], set()
    for fam in FAMILIES:
        for i in range(per_family):
            lang = "zh" if i % 3 == 2 else "en"
            for _ in range(10000):
                item = make(rng, fam, lang, heldout=True)
                if (fam, item["question"]) not in seen:
                    break
            else:
                continue
            seen.add((fam, item["question"]))
            items.append({"id": f"{fam}-{i:03d}", "family": fam, "lang": lang, "question": item["question"], "answer": item["answer"]})
    return items


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--split", choices=["train", "heldout"], default="train")
    ap.add_argument("--count", type=int, default=100, help="problems of the training split")
    ap.add_argument("--per-family", type=int, default=100, help="held-out problems per family")
    ap.add_argument("--family", choices=FAMILIES)
    ap.add_argument("--lang", choices=["en", "zh"])
    ap.add_argument("--seed", type=int, default=20)
    ap.add_argument("--out", help="JSONL file (standard output if absent)")
    ap.add_argument("--show", action="store_true", help="print readable samples instead of JSONL")
    args = ap.parse_args()
    if args.split == "heldout":
        items = heldout_set(args.per_family, args.seed)
    else:
        rng = random.Random(args.seed)
        items = [make_chat(rng, family=args.family, lang=args.lang) for _ in range(args.count)]
    out = open(args.out, "w", encoding="utf-8") if args.out else None
    for item in items:
        if args.show:
            print(f"--- {item['family']} {item['lang']}\nQ: {item['question']}\n{item.get('thinking', '')}\nA: {item['answer']}")
        else:
            print(json.dumps(item, ensure_ascii=False), file=out)


if __name__ == "__main__":
    main()
