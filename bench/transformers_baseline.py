#!/usr/bin/env python3
"""Decode speed of Hugging Face transformers on a shape of bench/shapes, with random weights in bf16: what
`tutti bench latency` is set beside, in the same run on the same GPU.

    transformers_baseline.py SHAPE [--batch 1,64,256] [--compiled] [--prompt-tokens 128] [--new-tokens 128]

Eager generate() for every batch; with --compiled also batch 1 with a static cache, which generate() compiles
(torch.compile, mode reduce-overhead). Rate: (n - 1) * batch / (time of the last token - time of the first); the best
of two runs after one that warms up. One JSON line per case.
"""
import argparse
import json
import time

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.generation import StoppingCriteria, StoppingCriteriaList


class Times(StoppingCriteria):
    """When generate() looked at the tokens of each step; it has waited for them by then, as it always does."""

    def __init__(self):
        self.at = []

    def __call__(self, input_ids, scores, **kwargs):
        torch.cuda.current_stream().synchronize()
        self.at.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def rate(model, vocab, batch, prompt, new_tokens, runs, **options):
    torch.manual_seed(batch)
    ids = torch.randint(0, vocab, (batch, prompt), device="cuda")
    best = 0
    for run in range(runs + 1):
        times = Times()
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens,
                             min_new_tokens=new_tokens, do_sample=False, pad_token_id=0,
                             stopping_criteria=StoppingCriteriaList([times]), **options)
        assert out.shape[1] == prompt + new_tokens and len(times.at) == new_tokens
        if run > 0:
            best = max(best, (new_tokens - 1) * batch / (times.at[-1] - times.at[0]))
    return best


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shape")
    parser.add_argument("--batch", default="1,64,256")
    parser.add_argument("--compiled", action="store_true")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=128)
    args = parser.parse_args()
    config = AutoConfig.from_pretrained(args.shape)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    model.generation_config.eos_token_id = None

    def report(how, batch, value):
        print(json.dumps({"transformers": transformers.__version__, "torch": torch.__version__, "how": how,
                          "batch": batch, "decode_tokens_per_second": round(value, 1)}), flush=True)

    for batch in (int(b) for b in args.batch.split(",") if b):
        report("eager", batch, rate(model, config.vocab_size, batch, args.prompt_tokens, args.new_tokens, 2))
    if args.compiled:
        report("static cache, torch.compile", 1,
               rate(model, config.vocab_size, 1, args.prompt_tokens, args.new_tokens, 2, cache_implementation="static"))


if __name__ == "__main__":
    main()
