#!/usr/bin/env python3
"""Writes a bf16 checkpoint of a LlamaForCausalLM config.json with pseudo-random weights.

For measuring how fast and in how much memory a model loads; the weights mean nothing.

    bench/make_checkpoint.py bench/shapes/qwen2-1.5b-llama /tmp/llama-1.5b
"""
import json
import os
import random
import shutil
import struct
import sys


def tensors(c):
    """(name, shape) of every tensor, in checkpoint order."""
    hidden, inter, dim = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    yield "model.embed_tokens.weight", [c["vocab_size"], hidden]
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", [hidden]
        yield p + "self_attn.q_proj.weight", [q, hidden]
        yield p + "self_attn.k_proj.weight", [kv, hidden]
        yield p + "self_attn.v_proj.weight", [kv, hidden]
        yield p + "self_attn.o_proj.weight", [hidden, q]
        yield p + "post_attention_layernorm.weight", [hidden]
        yield p + "mlp.gate_proj.weight", [inter, hidden]
        yield p + "mlp.up_proj.weight", [inter, hidden]
        yield p + "mlp.down_proj.weight", [hidden, inter]
    yield "model.norm.weight", [hidden]
    if not c["tie_word_embeddings"]:
        yield "lm_head.weight", [c["vocab_size"], hidden]


def main():
    source, target = sys.argv[1:3]
    with open(os.path.join(source, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    header, offset = {}, 0
    for name, shape in tensors(config):
        size = 2
        for d in shape:
            size *= d
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    # bf16 values of +-[2^-7, 2^-5): exponent bits 0x3C00..0x3CFF with random sign and mantissa.
    rng = random.Random(1)
    piece = b"".join(struct.pack("<H", (rng.getrandbits(1) << 15) | 0x3C00 | rng.getrandbits(8)) for _ in range(1 << 20))
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        left = offset
        while left > 0:
            f.write(piece[:min(left, len(piece))])
            left -= len(piece)
    shutil.copy(os.path.join(source, "config.json"), target)
    print(f"{target}: {len(header)} tensors, {offset} bytes of weights")


if __name__ == "__main__":
    main()
