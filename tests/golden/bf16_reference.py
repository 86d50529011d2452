#!/usr/bin/env python3
"""How close bf16 runs come to the golden f32 logits: transformers' own on this GPU, and tutti's.

    bf16_reference.py FIXTURES_DIR TUTTI       TUTTI: the program, with libtutti_cuda.so beside it

Prints one line per fixture: NMSE of both, and their ratio. Quantised fixtures are left out: transformers would run
them in other arithmetic. Exits 1 if tutti's error is more than LIMIT times transformers' on a fixture whose tokens
cannot switch experts (a near tie that falls the other way changes whole rows, on either side).
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from transformers import AutoModelForCausalLM

LIMIT = 1.5


def nmse(got, want):
    got, want = got.astype(np.float64), want.astype(np.float64)
    return ((got - want) ** 2).sum() / (want**2).sum()


def transformers_logits(folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, attn_implementation="eager")
    model = model.eval().to("cuda")
    with torch.no_grad():
        return model(torch.tensor([ids], device="cuda")).logits[0].float().cpu().numpy()


def tutti_logits(program, folder, ids, scratch):
    ids_file, out = os.path.join(scratch, "ids"), os.path.join(scratch, "logits.npy")
    with open(ids_file, "w") as file:
        file.write(",".join(map(str, ids)))
    subprocess.run([program, "score", folder, "--ids-file", ids_file, "--logits-out", out, "--device", "cuda",
                    "--compute", "bf16", "-q"], check=True)
    return np.load(out)


def main(arguments):
    if len(arguments) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    fixtures, program = arguments
    worst = 0.0
    for name in sorted(os.listdir(fixtures)):
        folder = os.path.join(fixtures, name)
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        if "quantization_config" in config:
            continue
        with open(os.path.join(folder, "golden.json")) as file:
            golden = json.load(file)
        want = np.load(os.path.join(folder, "logits.npy"))
        theirs = nmse(transformers_logits(folder, golden["ids"]), want)
        with tempfile.TemporaryDirectory() as scratch:
            ours = nmse(tutti_logits(program, folder, golden["ids"], scratch), want)
        mixture = any(key in config for key in ("n_routed_experts", "num_experts"))
        worst = max(worst, 0.0 if mixture else ours / theirs)
        print(f"{name:32} transformers {theirs:.3e}   tutti {ours:.3e}   ratio {ours / theirs:.2f}"
              f"{'   (mixture of experts)' if mixture else ''}")
    print(f"{'pass' if worst <= LIMIT else 'FAIL'}: worst ratio {worst:.2f}, wanted at most {LIMIT}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
