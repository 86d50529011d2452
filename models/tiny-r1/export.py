#!/usr/bin/env python3
"""Writes the trained weights as a DeepSeek-V3 checkpoint, and reads one back.

    python3 export.py --weights weights.pt --out checkpoint
"""

import argparse
import json
import os
import struct

import torch

from chat import CHAT_TEMPLATE
from model import TinyR1, fp8_parts, load_config
from tokenizer_build import BOS, EOS, PAD

HERE = os.path.dirname(os.path.abspath(__file__))


def e4m3_bytes(q):
    """Bytes of values that already lie on the e4m3 grid."""
    mantissa, exponent = torch.frexp(q.abs())  # |q| = mantissa * 2^exponent, mantissa in [0.5, 1)
    biased = exponent - 1 + 7
    normal = biased >= 1
    fraction = torch.where(normal, (mantissa * 16).round() - 8, (q.abs() * 512).round())
    byte = torch.where(normal, biased * 8, torch.zeros_like(biased)) + fraction.int()
    byte = torch.where(q == 0, torch.zeros_like(byte), byte)
    return (byte + torch.where(torch.signbit(q), 128, 0)).to(torch.uint8)


def e4m3_values(raw):
    byte = raw.int()
    exponent, fraction = (byte >> 3) & 15, (byte & 7).float()
    value = torch.where(exponent > 0, torch.ldexp(1 + fraction / 8, exponent - 7), fraction / 512)
    return torch.where(byte >= 128, -value, value)


def checkpoint_tensors(model):
    """(name, dtype, tensor) in the layout of DeepSeek-V3."""
    out = []

    def plain(name, t):
        out.append((name, "BF16", t.detach().cpu().to(torch.bfloat16)))

    def linear(name, t):
        q, scale = fp8_parts(t.detach().cpu().float())
        out.append((name + ".weight", "F8_E4M3", e4m3_bytes(q)))
        out.append((name + ".weight_scale_inv", "F32", scale.float()))

    plain("model.embed_tokens.weight", model.embed_tokens)
    for i, layer in enumerate(model.layers):
        base = f"model.layers.{i}."
        plain(base + "input_layernorm.weight", layer.input_layernorm.weight)
        plain(base + "post_attention_layernorm.weight", layer.post_attention_layernorm.weight)
        attn = layer.self_attn
        for part in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"):
            linear(base + "self_attn." + part, getattr(attn, part))
        plain(base + "self_attn.q_a_layernorm.weight", attn.q_a_layernorm.weight)
        plain(base + "self_attn.kv_a_layernorm.weight", attn.kv_a_layernorm.weight)
        mlp = layer.mlp
        for part in ("gate_proj", "up_proj", "down_proj"):
            w = getattr(mlp, part)
            if w.dim() == 2:
                linear(base + "mlp." + part, w)
                continue
            for e in range(w.shape[0] - 1):
                linear(f"{base}mlp.experts.{e}.{part}", w[e])
            linear(f"{base}mlp.shared_experts.{part}", w[-1])
        if hasattr(mlp, "gate"):
            plain(base + "mlp.gate.weight", mlp.gate)
            # Only differences count; keeping the bias non-negative avoids the engines'
            # differing treatment of negative scores in masked groups.
            out.append((base + "mlp.gate.e_score_correction_bias", "F32", (mlp.bias - mlp.bias.min()).detach().cpu().float()))
    plain("model.norm.weight", model.norm.weight)
    plain("lm_head.weight", model.lm_head)
    return out


def raw_bytes(t):
    if t.dtype == torch.bfloat16:
        t = t.contiguous().view(torch.int16)
    return t.contiguous().numpy().tobytes()


def write_safetensors(path, tensors):
    # Widest elements first keeps every tensor aligned to its element size.
    width = {"F32": 4, "BF16": 2, "F8_E4M3": 1}
    tensors = sorted(tensors, key=lambda t: (-width[t[1]], t[0]))
    header, at, blobs = {"__metadata__": {"format": "pt"}}, 0, []
    for name, dtype, t in tensors:
        blob = raw_bytes(t)
        header[name] = {"dtype": dtype, "shape": list(t.shape), "data_offsets": [at, at + len(blob)]}
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for blob in blobs:
            f.write(blob)


def read_safetensors(path):
    """{name: tensor}; FP8 tensors come back as their bytes."""
    types = {"F32": torch.float32, "BF16": torch.bfloat16, "F8_E4M3": torch.uint8}
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        a, b = entry["data_offsets"]
        raw = torch.tensor(list(data[8 + n + a:8 + n + b]), dtype=torch.uint8) if b - a < 4096 else torch.frombuffer(bytearray(data[8 + n + a:8 + n + b]), dtype=torch.uint8)
        kind = types[entry["dtype"]]
        if kind is torch.bfloat16:
            t = raw.clone().view(torch.int16).view(torch.bfloat16)
        elif kind is torch.float32:
            t = raw.clone().view(torch.float32)
        else:
            t = raw
        out[name] = t.reshape(entry["shape"])
    return out


def dequantised(path):
    """{name: float32 tensor} of a checkpoint, scales applied and dropped."""
    tensors = read_safetensors(path)
    out = {}
    for name, t in tensors.items():
        if name.endswith("_scale_inv"):
            continue
        scale = tensors.get(name + "_scale_inv")
        if scale is None:
            out[name] = t.float()
        else:
            s = scale.repeat_interleave(128, 0)[:t.shape[0]].repeat_interleave(128, 1)[:, :t.shape[1]]
            out[name] = e4m3_values(t) * s
    return out


def load_checkpoint(folder):
    """The model with exactly the numbers of the shipped file, in float32."""
    model = TinyR1(load_config(os.path.join(folder, "config.json")))
    tensors = dequantised(os.path.join(folder, "model.safetensors"))
    state = {"embed_tokens": tensors["model.embed_tokens.weight"], "lm_head": tensors["lm_head.weight"], "norm.weight": tensors["model.norm.weight"]}
    for i, layer in enumerate(model.layers):
        base = f"model.layers.{i}."
        for part in ("input_layernorm", "post_attention_layernorm", "self_attn.q_a_layernorm", "self_attn.kv_a_layernorm"):
            state[f"layers.{i}.{part}.weight"] = tensors[base + part + ".weight"]
        for part in ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"):
            state[f"layers.{i}.self_attn.{part}"] = tensors[f"{base}self_attn.{part}.weight"]
        for part in ("gate_proj", "up_proj", "down_proj"):
            if hasattr(layer.mlp, "gate"):
                each = [tensors[f"{base}mlp.experts.{e}.{part}.weight"] for e in range(layer.mlp.experts)] + [tensors[f"{base}mlp.shared_experts.{part}.weight"]]
                state[f"layers.{i}.mlp.{part}"] = torch.stack(each)
            else:
                state[f"layers.{i}.mlp.{part}"] = tensors[f"{base}mlp.{part}.weight"]
        if hasattr(layer.mlp, "gate"):
            state[f"layers.{i}.mlp.gate"] = tensors[base + "mlp.gate.weight"]
            state[f"layers.{i}.mlp.bias"] = tensors[base + "mlp.gate.e_score_correction_bias"]
    model.load_state_dict(state)
    return model.eval()


def _dump(folder, name, data):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=2)
        f.write("\n")


def export(model, folder):
    """Everything of the checkpoint but tokenizer.json, which tokenizer_build.py writes."""
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), checkpoint_tensors(model))
    _dump(folder, "config.json", model.config)
    _dump(folder, "generation_config.json", {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2, "do_sample": True, "temperature": 0.6, "top_p": 0.95})
    token = lambda text: {"__type": "AddedToken", "content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    _dump(folder, "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": token(BOS), "eos_token": token(EOS), "pad_token": token(PAD), "unk_token": None,
        "clean_up_tokenization_spaces": False, "model_max_length": model.config["max_position_embeddings"], "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE})


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--weights", nargs="+", required=True, help="state files written by train.py")
    ap.add_argument("--out", default=os.path.join(HERE, "checkpoint"))
    args = ap.parse_args()
    state = {}
    for path in args.weights:
        state.update(torch.load(path, map_location="cpu"))
    model = TinyR1(load_config())
    model.load_state_dict({k: v.float() for k, v in state.items()})
    export(model, args.out)


if __name__ == "__main__":
    main()
