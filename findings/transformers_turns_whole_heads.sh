#!/usr/bin/env bash
# What one would guess: transformers' own MiniMax-M2 reads rotary_dim of the published config.json (64 of 128 dimensions of a head
#   turn), as the vendor's modeling file does; a checkpoint that loads without a warning gives the vendor's logits.
# What happens: the key is taken and never looked at. All dimensions turn, by other frequencies; nothing is said. Of random weights the
#   logits are off by 15 %. What it does read is rope_parameters.partial_rotary_factor, which published files lack.
# Why it matters here: expected values that this class computes from a published config.json are wrong for MiniMax-M2. The golden
#   fixtures give it the factor (tests/golden/make_goldens.py) and compare its attention with one written from the rules.
# x86-64 Linux, Python 3 with pip, network; some 3 GB in a temporary folder (torch). No GPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.15.0 transformers==5.17.0
"$work/venv/bin/python" - << 'END'
from importlib.metadata import version

import torch
from transformers import MiniMaxM2Config, MiniMaxM2ForCausalLM

SHAPE = dict(vocab_size=64, hidden_size=32, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             head_dim=16, num_local_experts=4, num_experts_per_tok=2, attn_implementation="eager")


def logits(**keys):
    torch.manual_seed(0)
    model = MiniMaxM2ForCausalLM(MiniMaxM2Config(**SHAPE, **keys)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())) * 0.4)
        return len(model.model.rotary_emb.inv_freq), model(input_ids=torch.arange(40)[None]).logits


pairs, published = logits(rope_theta=10000.0, rotary_dim=8)
whole_pairs, whole = logits(rope_theta=10000.0)
half_pairs, half = logits(rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5})
off = ((published - half).norm() / half.norm()).item()
print(f"torch {version('torch')}, transformers {version('transformers')}")
print(f"pairs that turn of heads of 16: rotary_dim 8 {pairs}, no key {whole_pairs}, factor 0.5 {half_pairs}")
print(f"rotary_dim 8 gives the logits of whole heads: {torch.equal(published, whole)}; they are off by {off:.0%}")
raise SystemExit(0 if (pairs, whole_pairs, half_pairs) == (8, 8, 4) and torch.equal(published, whole) and off > 0.05 else "this has changed")
END
