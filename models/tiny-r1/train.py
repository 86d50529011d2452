#!/usr/bin/env python3
"""Trains tiny-r1 on endless synthetic problems within a wall-clock budget, then exports and measures it.

    python3 train.py --minutes 8 --out out            # one GPU, 16 CPU cores
    python3 train.py --minutes 4 --out out2 --resume out/weights_0.pt out/weights_1.pt --lr 0.4
    python3 train.py --tiny --device cpu --steps 30 --rows 2 --workers 1 --out /tmp/smoke

Workers generate and tokenize problems all the time; no example is ever repeated
on purpose.  Matrices are trained with Muon, the rest with Adam.  From
``--quantise-at`` of the budget on, the forward pass sees the weights exactly as
they will be shipped (FP8 blocks, bf16 for the rest), while the optimizer keeps
updating the full-precision ones: the export then loses nothing.
"""

import argparse
import json
import multiprocessing
import os
import queue
import random
import threading
import time

import numpy as np
import torch
import torch.nn.functional as F

import export
import measure
from chat import render_completion, render_prompt
from model import TinyR1, load_config, masked_attention, varlen_attention
from tokenizer_build import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
ROW = 2048
CHUNK = 16
IGNORE = -100

# --------------------------------------------------------------------------
# Data
# --------------------------------------------------------------------------


def encode_chat(tokenizer, item):
    """Ids of one conversation and the length of its prompt."""
    prompt = tokenizer.encode(render_prompt(item["messages"]))
    return prompt + tokenizer.encode(render_completion(item["thinking"], item["answer"])), len(prompt)


class Row:
    """Whole conversations packed into one fixed-length row."""

    def __init__(self):
        self.tokens = np.full(ROW, 2, np.int16)
        self.labels = np.full(ROW, IGNORE, np.int16)
        self.positions = np.zeros(ROW, np.int16)
        self.used = 0

    def add(self, ids, prompt):
        a, n = self.used, len(ids)
        self.tokens[a:a + n] = ids
        self.labels[a + prompt - 1:a + n - 1] = ids[prompt:]
        self.positions[a:a + n] = np.arange(n)
        self.used += n

    def close(self):
        # The rest is one more document without anything to learn.
        self.positions[self.used:] = np.arange(ROW - self.used)
        return self.tokens, self.labels, self.positions


def rows(tokenizer, seed):
    """Endless packed rows, first fit over a few open ones."""
    import generate
    rng = random.Random(seed)
    open_rows = [Row() for _ in range(8)]
    while True:
        ids, prompt = encode_chat(tokenizer, generate.make_chat(rng))
        if len(ids) > ROW:
            continue
        for row in open_rows:
            if row.used + len(ids) <= ROW:
                row.add(ids, prompt)
                break
        else:
            fullest = max(open_rows, key=lambda r: r.used)
            yield fullest.close()
            fullest.__init__()
            fullest.add(ids, prompt)


def worker(path, seed, out):
    torch.set_num_threads(1)
    stream = rows(Tokenizer(path), seed)
    while True:
        out.put(tuple(np.stack(part) for part in zip(*(next(stream) for _ in range(CHUNK)))))


class Batches:
    """Background assembly of batches from the worker processes."""

    def __init__(self, args, device):
        self.chunks = multiprocessing.Queue(maxsize=64)
        self.workers = [multiprocessing.Process(target=worker, args=(args.tokenizer, args.seed * 1000 + i, self.chunks), daemon=True) for i in range(args.workers)]
        for w in self.workers:
            w.start()
        self.ready = queue.Queue(maxsize=6)
        self.rows, self.device, self.done = args.rows, device, False

    def start(self):
        """Begin assembling: only after the fork, since it touches the device."""
        self.thread = threading.Thread(target=self._assemble, daemon=True)
        self.thread.start()

    def _assemble(self):
        held = []
        while not self.done:
            try:
                held.append(self.chunks.get(timeout=1))
            except queue.Empty:
                continue
            if sum(len(c[0]) for c in held) < self.rows:
                continue
            parts = [np.concatenate(p)[:self.rows].reshape(-1) for p in zip(*held)]
            held = []
            self.ready.put(self._to_device(*parts))

    def _to_device(self, tokens, labels, positions):
        n = len(tokens)
        starts = np.flatnonzero(positions == 0)
        room = n // 24
        fixed = np.full(room + 1, n, np.int32)  # a fixed shape: the rest are empty documents
        fixed[:min(room, len(starts))] = starts[:room]
        arrays = [tokens.astype(np.int64), labels.astype(np.int64), positions.astype(np.int64), fixed]
        tensors = [torch.from_numpy(a) for a in arrays]
        if self.device.type == "cuda":
            tensors = [t.pin_memory().to(self.device, non_blocking=True) for t in tensors]
        return tensors

    def next(self):
        return self.ready.get()

    def stop(self):
        self.done = True
        for w in self.workers:
            w.terminate()


# --------------------------------------------------------------------------
# Optimizer: master weights, Muon for matrices, Adam for the rest
# --------------------------------------------------------------------------


def orthogonalise(g, steps=5):
    """Newton-Schulz iteration of Muon on a stack of matrices."""
    x = g.bfloat16() if g.is_cuda else g.clone()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.transpose(-2, -1)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        a = x @ x.transpose(-2, -1)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.transpose(-2, -1) if tall else x).float()


class Trainer:
    """Master copies of all weights; the model's own parameters are what the forward pass sees."""

    def __init__(self, model, quantise):
        self.model, self.quantise = model, quantise
        names = set(model.quantised_names())
        by_shape = {}
        self.others = []
        for name, p in model.named_parameters():
            if name in names:
                by_shape.setdefault(tuple(p.shape[-2:]), []).append(p)
            else:
                self.others.append((name, p))
        self.groups = []
        for shape, params in by_shape.items():
            master = torch.cat([p.detach().reshape(-1, *shape) for p in params]).clone()
            self.groups.append({"params": params, "master": master, "momentum": torch.zeros_like(master)})
        self.masters = [torch.nn.Parameter(p.detach().clone()) for _, p in self.others]
        rates = {"embed_tokens": 8e-3, "lm_head": 3e-3}
        self.adam = torch.optim.AdamW([{"params": [m], "lr": 0.0, "rate": rates.get(n, 2e-3)} for (n, _), m in zip(self.others, self.masters)], betas=(0.9, 0.98), eps=1e-10, weight_decay=0.0, **({"fused": True} if model.embed_tokens.is_cuda else {}))

    @torch.no_grad()
    def publish(self):
        """Copy the masters into the model, through the shipped number formats if asked to."""
        from model import fp8_blocks
        for g in self.groups:
            values = fp8_blocks(g["master"]) if self.quantise else g["master"]
            at = 0
            for p in g["params"]:
                n = p.numel() // (values.shape[-1] * values.shape[-2])
                p.copy_(values[at:at + n].reshape(p.shape))
                at += n
        for (_, p), m in zip(self.others, self.masters):
            p.copy_(m.to(torch.bfloat16) if self.quantise else m)

    @torch.no_grad()
    def step(self, scale, momentum=0.95, rate=0.02, decay=0.02):
        for g in self.groups:
            master = g["master"]
            grad = torch.cat([p.grad.reshape(-1, *master.shape[-2:]) for p in g["params"]])
            g["momentum"].lerp_(grad, 1 - momentum)
            update = orthogonalise(grad.lerp(g["momentum"], momentum))
            lr = rate * scale
            master.mul_(1 - lr * decay).add_(update, alpha=-lr * max(1.0, master.shape[-2] / master.shape[-1]) ** 0.5)
        for (_, p), m in zip(self.others, self.masters):
            m.grad = p.grad
        for g in self.adam.param_groups:
            g["lr"] = g["rate"] * scale
        self.adam.step()
        self.publish()
        for p in self.model.parameters():
            p.grad = None

    @torch.no_grad()
    def state(self):
        """Master weights under the model's names."""
        kept = self.quantise
        self.quantise = False
        self.publish()
        out = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        self.quantise = kept
        self.publish()
        return out


def save_state(state, folder):
    """Two files, bf16: small enough to travel, and enough to resume from."""
    names = sorted(state)
    for i in range(2):
        part = {n: state[n].float() if n.endswith("bias") else state[n].to(torch.bfloat16) for n in names[i::2]}
        torch.save(part, os.path.join(folder, f"weights_{i}.pt.tmp"))
        os.replace(os.path.join(folder, f"weights_{i}.pt.tmp"), os.path.join(folder, f"weights_{i}.pt"))


def learning_rate(progress, step, peak):
    """Short warm-up, flat, then linear decay over the second half."""
    return peak * min(1.0, (step + 1) / 150) * min(1.0, max(0.0, (1 - progress) / 0.55) + 0.01)


# --------------------------------------------------------------------------
# The run
# --------------------------------------------------------------------------


def make_loss(model, device, compile_it):
    cuda = device.type == "cuda"

    def loss_of(tokens, labels, positions, starts):
        attend = varlen_attention(starts, ROW) if cuda else masked_attention((positions == 0).cumsum(0))
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=cuda):
            logits, loads = model(tokens, positions, attend)
        return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE), loads

    return torch.compile(loss_of) if compile_it else loss_of


@torch.no_grad()
def check_attention(device):
    """The packed attention must agree with the plain masked one."""
    n, heads = 512, 8
    q, k = torch.randn(n, heads, 64, device=device), torch.randn(n, heads, 64, device=device)
    v = torch.randn(n, heads, 32, device=device)
    starts = torch.tensor([0, 100, 101, 300, n, n, n], device=device, dtype=torch.int32)
    docs = torch.zeros(n, dtype=torch.long, device=device)
    docs[starts[:4].long()] = 1
    a = varlen_attention(starts, ROW)(0, q, k, v, 0.16)
    b = masked_attention(docs.cumsum(0))(0, q.bfloat16(), k.bfloat16(), v.bfloat16(), 0.16)
    error = ((a.float() - b.float()).norm() / b.float().norm()).item()
    assert error < 2e-2, error
    return error


def balance(model, loads, rate):
    """Nudge the router bias of idle experts up and of busy ones down."""
    moe = [l.mlp for l in model.layers if hasattr(l.mlp, "gate")]
    for mlp, load in zip(moe, loads):
        mlp.bias += rate * torch.sign(load.mean() - load)


def train(args):
    began = time.time()
    device = torch.device(args.device)
    batches = Batches(args, device)
    torch.manual_seed(args.seed)
    torch.set_float32_matmul_precision("high")
    model = TinyR1(load_config(tiny=args.tiny)).to(device)
    if args.resume:
        state = {}
        for path in args.resume:
            state.update(torch.load(path, map_location="cpu"))
        model.load_state_dict({k: v.float() for k, v in state.items()})
    print("parameters: %.2f M" % (sum(p.numel() for p in model.parameters()) / 1e6))
    if device.type == "cuda":
        print("attention error vs reference: %.1e" % check_attention(device))
    trainer = Trainer(model, quantise=args.quantise_at <= 0)
    trainer.publish()
    loss_of = make_loss(model, device, device.type == "cuda" and not args.eager)
    batches.start()
    budget = args.minutes * 60
    step, seen, saved, clock, last, train_began = 0, 0, time.time(), time.time(), 0, None
    log = []
    while True:
        base = train_began if train_began else began
        progress = (time.time() - base) / max(1.0, budget - (base - began))
        if progress >= 1 or args.steps and step >= args.steps:
            break
        if args.steps:
            progress = step / args.steps
        if not trainer.quantise and progress >= args.quantise_at:
            trainer.quantise = True
            print("from here on in shipped precision")
        tokens, labels, positions, starts = batches.next()
        loss, loads = loss_of(tokens, labels, positions, starts)
        loss.backward()
        scale = learning_rate(progress, step, args.lr)
        trainer.step(scale)
        balance(model, loads.detach(), 2e-3 * min(1.0, scale / args.lr) if progress < 0.9 else 0.0)
        step += 1
        seen += tokens.numel()
        if step <= 2 or step % 50 == 0:
            value = loss.item()
            if step == 2:
                train_began = time.time()
            now = time.time()
            share = (loads / loads.sum(-1, keepdim=True)).max().item()
            if step <= 2 or step % 200 == 0 or args.steps and args.steps < 400:
                print(f"step {step} loss {value:.4f} lr {scale:.3f} {(seen - last) / (now - clock) / 1e3:.0f}k tok/s t {now - began:.0f}s busiest expert {share:.2f} waiting {batches.ready.qsize()}", flush=True)
            clock, last = now, seen
            log.append((step, round(value, 5)))
            if now - saved > args.save_every:
                save_state(trainer.state(), args.out)
                saved = time.time()
    batches.stop()
    state = trainer.state()
    save_state(state, args.out)
    print(f"trained {step} steps, {seen / 1e6:.0f} M tokens, {time.time() - began:.0f} s", flush=True)
    model.load_state_dict({k: v.to(device) for k, v in state.items()})
    json.dump({"steps": step, "tokens": seen, "seconds": time.time() - began, "log": log}, open(os.path.join(args.out, "train_log.json"), "w"))
    return model


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--minutes", type=float, default=8.0, help="wall-clock budget of the training itself, start included")
    ap.add_argument("--steps", type=int, default=0, help="stop after this many steps (for smoke tests)")
    ap.add_argument("--out", required=True)
    ap.add_argument("--tokenizer", default=os.path.join(HERE, "checkpoint", "tokenizer.json"))
    ap.add_argument("--resume", nargs="*", default=[])
    ap.add_argument("--rows", type=int, default=48, help=f"rows of {ROW} tokens per step")
    ap.add_argument("--workers", type=int, default=14)
    ap.add_argument("--lr", type=float, default=1.0, help="factor on all learning rates")
    ap.add_argument("--quantise-at", type=float, default=0.3)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--save-every", type=float, default=120)
    ap.add_argument("--device", default="cuda")
    ap.add_argument("--tiny", action="store_true")
    ap.add_argument("--eager", action="store_true")
    ap.add_argument("--per-family", type=int, default=0, help="held-out problems per family measured at the end (heldout.jsonl if 0)")
    args = ap.parse_args()
    os.makedirs(args.out, exist_ok=True)
    model = train(args)
    folder = os.path.join(args.out, "checkpoint")
    export.export(model, folder)
    measure.report(folder, args.tokenizer, args.device, args.per_family, os.path.join(args.out, "measured.json"))


if __name__ == "__main__":
    main()
