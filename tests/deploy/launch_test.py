#!/usr/bin/env python3
"""`serve` and `run` plan before they load, on machines whose driver is a mock: launch_test.py PROGRAM MOCK_LIBRARY.

The program sees a device file of a GPU (in a mount namespace of its own; where the system allows none, the tests skip) and NVML's
mock, but no CUDA: a plan that fits is logged, and the launch then ends with what is broken.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest

import sparse_checkpoint
from geometry import GPUS, MODELS

PROGRAM = ""
MOCK = ""
# Another /dev, with the files that programs open and that of a GPU.
DEVICES = ("cd $FOLDER && mkdir dev && for f in null zero random urandom; do touch dev/$f && mount --bind /dev/$f dev/$f || exit 99; done; "
           "touch dev/nvidia0 && mount --rbind dev /dev || exit 99; exec \"$0\" \"$@\"")


class Launch(unittest.TestCase):
    def setUp(self):
        tried = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
                               capture_output=True, check=False)
        if tried.returncode != 0:
            self.skipTest("this system allows no mount namespaces")
        self.folder = tempfile.TemporaryDirectory(prefix="tutti_launch_")
        self.addCleanup(self.folder.cleanup)

    def launch(self, machine, model, *flags):
        folder = self.folder.name
        with open(os.path.join(folder, "machine.json"), "w", encoding="utf-8") as f:
            json.dump(machine, f)
        path = os.path.join(folder, "model")
        sparse_checkpoint.make(path, MODELS[model])
        done = subprocess.run(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", DEVICES, PROGRAM, "serve", path, "--port", "0", *flags],
            capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "FOLDER": folder, "HOME": folder, "TUTTI_MOCK_NVML": os.path.join(folder, "machine.json"),
                 "LD_LIBRARY_PATH": os.path.dirname(MOCK)})
        self.assertNotEqual(done.returncode, 99, done.stderr)
        self.assertNotEqual(done.returncode, 0, "there is no CUDA here")
        return done

    def test_a_model_that_does_not_fit_is_refused_before_it_loads(self):
        gpu = {"name": "NVIDIA H100 80GB HBM3", "total": GPUS["H100-80GB"] << 20, "free": GPUS["H100-80GB"] << 20}
        done = self.launch({"all": gpu, "gpus": [{} for _ in range(8)]}, "deepseek-r1")
        self.assertEqual(done.returncode, 71, done.stderr)
        for words in ("short by", "tutti plan deepseek-r1:awq-int4", "2 hosts like this one"):
            self.assertIn(words, done.stderr)

    def test_a_plan_is_logged_and_busy_gpus_are_passed_over(self):
        gpus = [{} for _ in range(8)]
        gpus[2] = {"free": 4 << 30}
        done = self.launch({"gpus": gpus}, "deepseek-r1-distill-qwen-7b")
        self.assertIn("plan: cuda:0-1,3-4; cuda:2 left out: busy:", done.stderr)
        self.assertIn("cuda:5-7 left out: the model cannot be split", done.stderr)
        self.assertIn("cannot be used", done.stderr)  # behind the plan: no CUDA

    def test_what_was_typed_is_explained(self):
        done = self.launch({"gpus": [{} for _ in range(4)]}, "qwen3-8b", "--gpus", "1,3")
        self.assertIn("plan: cuda:1,3; cuda:0,2 left out: --gpus 1,3 leaves it out", done.stderr)

    def test_the_cpu_is_not_planned(self):
        done = self.launch({"gpus": [{}]}, "llama-3.1-70b-instruct", "--device", "cpu")
        self.assertNotIn("plan:", done.stderr)
        self.assertIn("the weights need", done.stderr)


if __name__ == "__main__":
    MOCK = os.path.abspath(sys.argv.pop(2))
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=1)
