#!/usr/bin/env python3
"""Weights packed by compressed-tensors (PyPI, with torch), and what it unpacks them to.

    packed_vectors.py write FILE        the committed vectors
    packed_vectors.py check PROGRAM N   N random matrices read by PROGRAM (build/.../tests/tensor_test), bit for bit
"""

import json
import os
import random
import subprocess
import sys
import tempfile

SCALES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def bits_of(tensor):
    """Integers of the same bits."""
    import torch

    view = {2: torch.int16, 4: torch.int32}[tensor.element_size()]
    mask = (1 << (8 * tensor.element_size())) - 1
    return [value & mask for value in tensor.contiguous().view(view).reshape(-1).tolist()]


def case(rng):
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize

    bits = rng.choice([4, 8])
    symmetric = rng.random() < 0.5
    group = rng.choice([0, 4, 6, 8, 16, 32])  # 0: a scale for each row
    rows = rng.randint(1, 11)
    cols = group * rng.randint(1, 4) if group else rng.randint(1, 61)
    name = rng.choice(sorted(SCALES))
    gen = torch.Generator().manual_seed(rng.getrandbits(40))
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    codes = torch.randint(least, most + 1, (rows, cols), generator=gen, dtype=torch.int8)
    shape = (rows, cols // group if group else 1)
    scale = (torch.rand(shape, generator=gen) * 3 + 0.01).to(getattr(torch, SCALES[name]))
    zero = None if symmetric else torch.randint(least, most + 1, shape, generator=gen, dtype=torch.int8)
    args = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group" if group else "channel",
                            group_size=group or None)
    values = dequantize(x_q=codes, scale=scale, zero_point=zero, args=args)
    return {"bits": bits, "scales": name, "group": group, "rows": rows, "cols": cols,
            "packed": bits_of(pack_to_int32(codes, bits)), "scale": bits_of(scale),
            "zero": None if symmetric else bits_of(pack_to_int32(zero, bits, packed_dim=0)),
            "want": bits_of(values.float())}


def write(path):
    rng = random.Random(20261201)
    with open(path, "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case(rng), separators=(",", ":")) for _ in range(80)) + "\n]\n")


def check(program, count):
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    done = 0
    while done < count:
        cases = [case(rng) for _ in range(min(500, count - done))]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(cases, file)
            file.flush()
            subprocess.run([program, "--gtest_filter=PackedVectors.*", "--gtest_brief=1"], check=True,
                           env=dict(os.environ, TUTTI_PACKED_VECTORS=file.name))
        done += len(cases)
    print(f"{done} matrices, all bits equal")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "write":
        write(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] == "check":
        check(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(__doc__)
