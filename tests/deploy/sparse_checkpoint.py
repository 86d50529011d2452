"""Full-size checkpoints without data: real names, shapes, index and headers, and files that are holes.

make(folder, geometry) writes what the hub has for such a model. Names are those of the Hugging Face reference classes
(modeling_deepseek_v3.py, modeling_qwen2.py, modeling_qwen3.py, modeling_qwen3_moe.py, modeling_llama.py), MiniMax-M2's those of its vendor. Shares no code with src/.
"""

import json
import os
import struct

from geometry import config_json

BYTES = {"BF16": 2, "F32": 4, "F8_E4M3": 1, "I32": 4}
SHARD = 50 << 30


def linear(fp8, name, rows, cols):
    """A matrix, with its scales where it is quantised."""
    if not fp8:
        return [(name + ".weight", "BF16", [rows, cols])]
    return [(name + ".weight", "F8_E4M3", [rows, cols]),
            (name + ".weight_scale_inv", "F32", [-(-rows // 128), -(-cols // 128)])]


def int4(name, rows, cols):
    return [(name + ".weight_packed", "I32", [rows, cols // 8]), (name + ".weight_scale", "BF16", [rows, cols // 32]),
            (name + ".weight_shape", "I32", [2])]


def mlp(fp8, name, hidden, width):
    return (linear(fp8, name + ".gate_proj", width, hidden) + linear(fp8, name + ".up_proj", width, hidden)
            + linear(fp8, name + ".down_proj", hidden, width))


def expert(g, name):
    gate, up, down = ("w1", "w3", "w2") if "moe" in g else ("gate_proj", "up_proj", "down_proj")
    out = []
    for leaf, rows, cols in ((gate, g["expert"], g["hidden"]), (up, g["expert"], g["hidden"]), (down, g["hidden"], g["expert"])):
        one = f"{name}.{leaf}"
        out += int4(one, rows, cols) if g["fmt"] == "int4" else linear(g["fmt"] == "fp8", one, rows, cols)
    return out


def vector(name, size, dtype="BF16"):
    return [(name, dtype, [size])]


def attention(g, p):
    fp8, h, heads = g["fmt"] == "fp8", g["hidden"], g["heads"]
    if g["kind"] == "mla":
        return (linear(fp8, p + "q_a_proj", g["q_rank"], h) + vector(p + "q_a_layernorm.weight", g["q_rank"])
                + linear(fp8, p + "q_b_proj", heads * (g["nope"] + g["rope"]), g["q_rank"])
                + linear(fp8, p + "kv_a_proj_with_mqa", g["kv_rank"] + g["rope"], h)
                + vector(p + "kv_a_layernorm.weight", g["kv_rank"])
                + linear(fp8, p + "kv_b_proj", heads * (g["nope"] + g["v"]), g["kv_rank"])
                + linear(fp8, p + "o_proj", h, heads * g["v"]))
    out = []
    for name, count in (("q_proj", heads), ("k_proj", g["kv"]), ("v_proj", g["kv"])):
        out += linear(fp8, p + name, count * g["head"], h)
        if g.get("qkv_bias"):
            out += vector(p + name + ".bias", count * g["head"])
    out += linear(fp8, p + "o_proj", h, heads * g["head"])
    if g.get("qk_norm"):
        whole = (heads, g["kv"]) if g.get("whole_norm") else (1, 1)
        out += vector(p + "q_norm.weight", whole[0] * g["head"]) + vector(p + "k_norm.weight", whole[1] * g["head"])
    return out


def layer(g, index, routed):
    fp8, h, p = g["fmt"] == "fp8", g["hidden"], f"model.layers.{index}."
    out = vector(p + "input_layernorm.weight", h) + attention(g, p + "self_attn.")
    out += vector(p + "post_attention_layernorm.weight", h)
    if not routed:
        return out + mlp(fp8, p + "mlp", h, g["inter"])
    block = p + g.get("moe", "mlp")
    out.append((block + ".gate.weight", "BF16", [g["experts"], h]))
    if "moe" in g:
        out += vector(block + ".e_score_correction_bias", g["experts"], "F32")
    if g["kind"] == "mla":
        out += vector(p + "mlp.gate.e_score_correction_bias", g["experts"], "F32")
        out += mlp(fp8, p + "mlp.shared_experts", h, g["shared"] * g["expert"])
    for e in range(g["experts"]):
        out += expert(g, f"{block}.experts.{e}")
    return out


def tensors(g):
    """(name, dtype, shape) of every tensor of the published checkpoint."""
    h = g["hidden"]
    out = [("model.embed_tokens.weight", "BF16", [g["vocab"], h])]
    for i in range(g["layers"]):
        out += layer(g, i, "experts" in g and i >= g.get("layers_dense", 0))
    for i in range(g["layers"], g["layers"] + g.get("mtp", 0)):  # multi-token prediction, which is not run
        p = f"model.layers.{i}."
        out += layer(g, i, True) + vector(p + "enorm.weight", h) + vector(p + "hnorm.weight", h)
        out += [(p + "eh_proj.weight", "BF16", [h, 2 * h]), (p + "embed_tokens.weight", "BF16", [g["vocab"], h]),
                (p + "shared_head.head.weight", "BF16", [g["vocab"], h])] + vector(p + "shared_head.norm.weight", h)
    out += vector("model.norm.weight", h)
    if not g["tied"]:
        out.append(("lm_head.weight", "BF16", [g["vocab"], h]))
    return out


def size(dtype, shape):
    bytes_ = BYTES[dtype]
    for d in shape:
        bytes_ *= d
    return bytes_


def write_shard(path, entries):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape in entries:
        end = at + size(dtype, shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)  # a hole


def make(folder, g, leave_out=(), extra=()):
    """Writes the checkpoint; `leave_out` and `extra` make wrong ones. Returns the bytes of all tensors."""
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config_json(g), f)
    shards, filled = [[]], 0
    total = 0
    for entry in [t for t in tensors(g) if t[0] not in leave_out] + list(extra):
        bytes_ = size(entry[1], entry[2])
        if shards[-1] and filled + bytes_ > SHARD:
            shards.append([])
            filled = 0
        shards[-1].append(entry)
        filled += bytes_
        total += bytes_
    weight_map = {}
    for number, entries in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):06}.safetensors"
        write_shard(os.path.join(folder, name), entries)
        weight_map.update((entry[0], name) for entry in entries)
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": weight_map}, f)
    return total
