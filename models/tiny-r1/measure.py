#!/usr/bin/env python3
"""Measures a checkpoint on held-out problems with PyTorch, from the shipped FP8 file.

    python3 measure.py --checkpoint checkpoint                             # heldout.jsonl
    python3 measure.py --checkpoint checkpoint --seed 77 --per-family 200  # other held-out problems
    python3 measure.py --checkpoint checkpoint --check-transformers
"""

import argparse
import collections
import json
import os
import tempfile
import time

import torch

import export
import generate
from chat import render_prompt
from model import decode, masked_attention
from tokenizer_build import END_THINK, Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
# Phrasings that are in no pattern of phrases.py: how well it does on a stranger's words.
PROBES = [
    ("What is 347 + 589?", "936"), ("Sort 9, 4, 7", "4, 7, 9"), ("How many r in strawberry", "3"), ("Reverse the word strawberry", "yrrebwarts"),
    ("Which is larger, 12 or 7?", "12"), ("最大的数是哪个：3，9，5", "9"), ("17 * 23", "391"), ("If you have 45 and add 78, what do you end up with?", "123"),
    ("Would you kindly sum 256 and 512 for me?", "768"), ("I'd like to know 1000 - 1.", "999"), ("5-12", "-7"), ("Take 19 off 50, what remains?", "31"),
    ("what is twelve hundred? no wait, what is 12 + 100", "112"), ("Whats the product between 12 and 12", "144"), ("99x99", "9801"), ("Compute the multiplication 8 by 7", "56"),
    ("Put 88, 3, 41, 7 into ascending order, please.", "3, 7, 41, 88"), ("order from biggest: 4, 10, 2", "10, 4, 2"), ("Can you sort these for me? 31 13 22", "13, 22, 31"),
    ("Which number is the greatest among 45, 54 and 49?", "54"), ("min(4, 2, 8)", "2"), ("Smallest value in 7, 3, 9, 1", "1"), ("Tell me the total of 10, 20, 30 and 40.", "100"),
    ("What's the letter count of e in 'cheese'?", "3"), ("How many times can you find s in mississippi?", "4"), ("how many p's does apple have", "2"), ("strawberry has how many r's?", "3"),
    ("Please write the word Tutti in reverse.", "ittuT"), ("backwards: hello", "olleh"), ("hello spelled in reverse is?", "olleh"), ("Reverse \"keyboard\"", "draobyek"),
    ("Is 45 larger than 54?", "No"), ("What's bigger: 100 or 99?", "100"), ("which of these is smaller, 8 or 80", "8"), ("compare 5 with 5", "5 = 5"),
    ("请计算 38 加 47", "85"), ("12乘以12等于多少？", "144"), ("100减去37得几？", "63"), ("请把 5、2、9 按从小到大排列", "2, 5, 9"), ("banana 里面有多少个 a？", "3"), ("把单词 world 倒过来", "dlrow"),
    ("7和9谁比较大？", "9"), ("求 3、4、5 的总和", "12"), ("最小的数字是哪一个？8，6，7", "6"), ("请把 3, 1, 2 从大到小排列。", "3, 2, 1"), ("单词 letter 中字母 t 的数量是多少", "2"),
    ("0 + 0", "0"), ("9999 + 9999", "19998"), ("0 - 9999", "-9999"), ("10 × 10", "100"), ("What is 7 times 0?", "0"),
]


def prompt_of(tokenizer, question):
    return tokenizer.encode(render_prompt([{"role": "user", "content": question}]))


def answer_of(text):
    return text.split(END_THINK)[-1].strip() if END_THINK in text else ""


def ask(model, tokenizer, questions, max_new=760, **kw):
    outputs = decode(model, [prompt_of(tokenizer, q) for q in questions], max_new, **kw)
    return [tokenizer.decode(o) for o in outputs]


def accuracy(items, answers):
    right, total = collections.Counter(), collections.Counter()
    for item, answer in zip(items, answers):
        for name in (item["family"], item["lang"], "all"):
            total[name] += 1
            right[name] += answer == item["answer"]
    return {name: round(100.0 * right[name] / total[name], 2) for name in total}


def report(folder, tokenizer_path, device, per_family=0, out=None, seed=20, temperature=0.0):
    """Held-out accuracy per family, failures and probes."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    model, tokenizer = export.load_checkpoint(folder).to(device), Tokenizer(tokenizer_path)
    began = time.time()
    if per_family:
        items = generate.heldout_set(per_family, seed)
    else:
        with open(os.path.join(HERE, "heldout.jsonl"), encoding="utf-8") as f:
            items = [json.loads(line) for line in f]
    texts = []
    step = 1200 if device.startswith("cuda") else 120  # the cache of a large batch takes many gigabytes
    for i in range(0, len(items), step):
        texts += ask(model, tokenizer, [x["question"] for x in items[i:i + step]], temperature=temperature)
    answers = [answer_of(t) for t in texts]
    table = accuracy(items, answers)
    print("held-out, temperature", temperature, json.dumps(table), f"{time.time() - began:.0f} s", flush=True)
    failures = [{"id": x["id"], "question": x["question"], "want": x["answer"], "text": t} for x, t, a in zip(items, texts, answers) if a != x["answer"]]
    for f in failures[:40]:
        print("  miss", f["id"], repr(f["question"]), "want", f["want"], "got", repr(f["text"][-60:]))
    replies = ask(model, tokenizer, [q for q, _ in PROBES], temperature=temperature)
    missed = [(q, want, answer_of(t)[:40]) for (q, want), t in zip(PROBES, replies) if answer_of(t) != want]
    print(f"probes: {len(PROBES) - len(missed)} of {len(PROBES)}", missed, flush=True)
    if out:
        json.dump({"accuracy": table, "failures": failures, "probes_missed": missed}, open(out, "w"), ensure_ascii=False, indent=1)
    return table


@torch.no_grad()
def check_transformers(folder, tokenizer_path, device="cpu"):
    """Largest relative difference of logits between this model and transformers, in float32."""
    from safetensors.torch import save_file
    from transformers import DeepseekV3ForCausalLM
    model, tokenizer = export.load_checkpoint(folder).to(device), Tokenizer(tokenizer_path)
    with tempfile.TemporaryDirectory() as temp:
        config = json.load(open(os.path.join(folder, "config.json")))
        config.pop("quantization_config")
        config["torch_dtype"] = "float32"
        json.dump(config, open(os.path.join(temp, "config.json"), "w"))
        save_file({k: v.contiguous() for k, v in export.dequantised(os.path.join(folder, "model.safetensors")).items()}, os.path.join(temp, "model.safetensors"), metadata={"format": "pt"})
        reference = DeepseekV3ForCausalLM.from_pretrained(temp, torch_dtype=torch.float32, attn_implementation="eager").to(device).eval()
    worst = 0.0
    for question, _ in PROBES[:12]:
        item_ids = prompt_of(tokenizer, question) + tokenizer.encode("Add 347 and 589, digit by digit from the right.\n")
        ids = torch.tensor(item_ids, device=device)
        ours, _ = model(ids, torch.arange(len(ids), device=device), masked_attention(torch.zeros_like(ids)))
        theirs = reference(ids[None]).logits[0]
        worst = max(worst, ((ours - theirs).abs().max() / theirs.abs().max()).item())
    return worst


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--checkpoint", default=os.path.join(HERE, "checkpoint"))
    ap.add_argument("--tokenizer", help="tokenizer.json (that of the checkpoint if absent)")
    ap.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ap.add_argument("--per-family", type=int, default=0, help="generate this many per family (heldout.jsonl if 0)")
    ap.add_argument("--seed", type=int, default=20)
    ap.add_argument("--temperature", type=float, default=0.0)
    ap.add_argument("--check-transformers", action="store_true")
    ap.add_argument("--ask", help="print the whole reply to one question")
    ap.add_argument("--out")
    args = ap.parse_args()
    tokenizer = args.tokenizer or os.path.join(args.checkpoint, "tokenizer.json")
    if args.check_transformers:
        print("largest relative difference to transformers: %.2e" % check_transformers(args.checkpoint, tokenizer))
    elif args.ask:
        model = export.load_checkpoint(args.checkpoint).to(args.device)
        print(ask(model, Tokenizer(tokenizer), [args.ask], temperature=args.temperature)[0])
    else:
        report(args.checkpoint, tokenizer, args.device, args.per_family, args.out, args.seed, args.temperature)


if __name__ == "__main__":
    main()
