#!/usr/bin/env python3
"""tiny-r1 with the weights that Kimi-K2-Thinking has packed, its routed experts, in the INT4 of compressed-tensors (PyPI, with torch).

    int4_tiny_r1.py OUT_DIRECTORY

The library chooses scales and integers and packs them; everything else becomes bfloat16.
"""

import json
import os
import re
import shutil
import sys

GROUP = 32
BLOCK = 128
IGNORE = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]
EXPERT = re.compile(r"model\.layers\.\d+\.mlp\.experts\.\d+\.\w+\.weight$")


def main():
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import quantize
    from compressed_tensors.quantization.utils import calculate_qparams
    from safetensors.torch import load_file, save_file

    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "models", "tiny-r1", "checkpoint")
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    stored = load_file(os.path.join(source, "model.safetensors"))
    args = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=GROUP)
    tensors, packed = {}, 0
    for name, value in stored.items():
        if name.endswith("_scale_inv"):
            continue
        scale = stored.get(name + "_scale_inv")
        if scale is not None:
            rows = torch.arange(value.shape[0]) // BLOCK
            cols = torch.arange(value.shape[1]) // BLOCK
            value = value.float() * scale[rows][:, cols]
        if not EXPERT.match(name):
            tensors[name] = value if value.dtype == torch.float32 and value.dim() == 1 else value.to(torch.bfloat16)
            continue
        groups = value.float().unflatten(-1, (-1, GROUP))
        scales, zeros = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
        scales = scales.to(torch.bfloat16)
        codes = quantize(x=value.to(torch.bfloat16), scale=scales, zero_point=zeros, args=args, dtype=torch.int8)
        tensors[name + "_packed"] = pack_to_int32(codes, 4)
        tensors[name + "_scale"] = scales
        tensors[name + "_shape"] = torch.tensor(value.shape, dtype=torch.int64)
        packed += 1
    save_file({name: value.contiguous() for name, value in tensors.items()}, os.path.join(out, "model.safetensors"))
    with open(os.path.join(source, "config.json")) as file:
        config = json.load(file)
    config["quantization_config"] = {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed", "ignore": IGNORE,
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
            "num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP}}}}
    with open(os.path.join(out, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(source, name), out)
    print(f"{packed} experts' matrices packed")


if __name__ == "__main__":
    main()
