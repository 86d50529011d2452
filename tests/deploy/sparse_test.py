#!/usr/bin/env python3
"""Plans from headers equal plans from the catalogue, to the byte: sparse_test.py PROGRAM.

Of every family whose architecture is here a full-size checkpoint without data is written; the loader's check must find
nothing missing and nothing unexpected, and notice both where it is planted.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import sparse_checkpoint
from geometry import FOREIGN, GPUS, MODELS

PROGRAM = ""
SPARSE = MODELS | {"kimi-k2-thinking": FOREIGN["kimi-k2-thinking"]}
PER_GPU = ("weights_bytes", "kv_bytes", "activations_bytes", "graphs_bytes", "context_bytes", "spare_bytes")
# Two releases of equal dimensions need one checkpoint.
SAME = {"deepseek-r1-0528": "deepseek-r1", "deepseek-v3": "deepseek-r1", "deepseek-v3-0324": "deepseek-r1", "deepseek-v3.1": "deepseek-r1",
        "llama-3.3-70b-instruct": "llama-3.1-70b-instruct", "deepseek-r1-distill-llama-70b": "llama-3.1-70b-instruct",
        "deepseek-r1-distill-llama-8b": "llama-3.1-8b-instruct"}


def plan(*args, code=(0, 69)):
    run = subprocess.run([PROGRAM, "plan", *args, "--json"], capture_output=True, text=True, timeout=120, check=False)
    if run.returncode not in code:
        raise AssertionError(f"{args}: exit code {run.returncode}\n{run.stdout}\n{run.stderr}")
    return json.loads(run.stdout) if run.stdout else run.stderr  # a refusal of the request itself, not of the machine


class SparseCheckpoints(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tutti_sparse_")
        self.addCleanup(self.folder.cleanup)

    def make(self, name, **wrong):
        path = os.path.join(self.folder.name, name.replace(":", "-"))
        sparse_checkpoint.make(path, SPARSE[name], **wrong)
        return path

    def test_headers_and_catalogue_agree(self):
        for name, geometry in SPARSE.items():
            if name in SAME:
                self.assertEqual(geometry, MODELS[SAME[name]] | {"context": geometry["context"]}, name)
                twins = [plan(n, "--hardware", "8xH200")["gpus"] for n in (name, SAME[name])]
                self.assertEqual(*([g["weights_bytes"] for g in gpus] for gpus in twins), name)
                continue
            path = self.make(name)
            for hardware in ("8xH200",) if "experts" in geometry else ("8xH200", "2xL40S"):
                with self.subTest(name=name, hardware=hardware):
                    here = plan(path, "--hardware", hardware)
                    there = plan(name, "--hardware", hardware)
                    self.assertEqual(here["verdict"], there["verdict"])
                    self.assertEqual(here["parallel"], there["parallel"])
                    self.assertEqual(here["model"]["parameters"], there["model"]["parameters"])
                    self.assertEqual(here["model"]["format"], there["model"]["format"])
                    for a, b in zip(here["gpus"], there["gpus"], strict=True):
                        for key in PER_GPU:
                            self.assertEqual(a[key], b[key], key)
                    self.assertNotIn("unexpected_tensors", [r["code"] for r in here["reasons"]])
            allocated = sum(os.stat(os.path.join(path, f)).st_blocks * 512 for f in os.listdir(path))
            self.assertLess(allocated, 64 << 20, "the files have data")

    def test_a_config_alone(self):
        path = self.make("qwen3-8b")
        whole = plan(path, "--hardware", "2xH200")
        for name in os.listdir(path):
            if name != "config.json":
                os.remove(os.path.join(path, name))
        alone = plan(path, "--hardware", "2xH200")
        self.assertEqual(alone["gpus"], whole["gpus"])
        self.assertIn("no weights are there yet", " ".join(r["text"] for r in alone["reasons"]))

    def test_half_a_download(self):
        path = self.make("deepseek-r1-distill-llama-70b")
        shard = sorted(n for n in os.listdir(path) if n.endswith(".safetensors"))[1]
        os.remove(os.path.join(path, shard))
        self.assertIn(shard, plan(path, "--hardware", "2xH200", code=(64, 66)))

    def test_architectures_and_formats_of_others(self):
        path = os.path.join(self.folder.name, "v32")
        os.makedirs(path)
        config = {"architectures": ["DeepseekV32ForCausalLM"], "hidden_size": 7168, "num_hidden_layers": 61, "vocab_size": 129280,
                  "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]}}
        for quant, name in ((config["quantization_config"], "deepseek-v3.2"), ({"quant_method": "awq", "bits": 4}, "deepseek-v3.2:awq-int4")):
            with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as f:
                json.dump({**config, "quantization_config": quant}, f)
            here, there = (plan(p, "--hardware", "8xH200") for p in (path, name))
            self.assertEqual(here["gpus"], there["gpus"])
            self.assertEqual(here["model"]["format"], there["model"]["format"])
            self.assertFalse(here["runnable"])
        with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as f:
            json.dump({**config, "architectures": ["NobodysForCausalLM"]}, f)
        self.assertIn("NobodysForCausalLM", plan(path, "--hardware", "8xH200", code=(69,)))

    def test_what_is_missing_or_unexpected_is_noticed(self):
        lost = "model.layers.7.mlp.gate.weight"
        path = self.make("qwen3-30b-a3b:fp8", leave_out=[lost])
        self.assertIn(lost, plan(path, "--hardware", "8xH200", code=(64,)))
        path = self.make("qwen3-8b", extra=[("model.layers.0.adapter.weight", "BF16", [16, 16])])
        unexpected = [r["text"] for r in plan(path, "--hardware", "H200")["reasons"] if r["code"] == "unexpected_tensors"]
        self.assertEqual(len(unexpected), 1)
        self.assertIn("model.layers.0.adapter.weight", unexpected[0])

    def test_the_sum_of_a_published_checkpoint(self):
        """Qwen3-8B: 8,190,735,360 parameters of two bytes."""
        self.assertEqual(sparse_checkpoint.make(os.path.join(self.folder.name, "q"), MODELS["qwen3-8b"]), 16_381_470_720)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
