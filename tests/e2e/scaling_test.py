#!/usr/bin/env python3
"""tutti bench scaling on ranks of the CPU: scaling_test.py PROGRAM SOURCE_DIRECTORY."""

import json
import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cli_test
from cli_test import Case, environment, tiny_r1

QUICK = ["--device", "cpu", "--threads", "1", "--prompt-tokens", "16", "--new-tokens", "8"]


class Scaling(Case):
    def bench(self, *arguments):
        return subprocess.run([cli_test.PROGRAM, "bench", "scaling", *arguments], capture_output=True, text=True,
                              timeout=120, env=environment(self.folder.name))

    def test_json(self):
        done = self.bench(tiny_r1(), *QUICK, "--ranks", "2,1,3", "--json", "--batch", "2")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.assertEqual(list(report), ["schema", "model", "runs", "links", "notes"])
        one, two, three = report["runs"]
        self.assertEqual([r["parallel"]["tp"] for r in report["runs"]], [1, 2, 3])
        for run in (one, two):
            self.assertEqual(list(run), ["gpus", "parallel", "batch", "prompt_tokens", "new_tokens",
                                         "prefill_tokens_per_second", "decode_tokens_per_second", "speedup", "efficiency",
                                         "step_seconds", "gpu_busy", "error"])
            self.assertEqual((run["gpus"], run["gpu_busy"], run["batch"], run["error"]), ([], [], 2, None))
            step = run["step_seconds"]
            self.assertAlmostEqual(step["total"], step["compute"] + step["communication"] + step["host"], places=9)
            self.assertAlmostEqual(run["decode_tokens_per_second"], 2 / step["total"], delta=1e-3 / step["total"])
        self.assertEqual((one["speedup"], one["efficiency"]), (1, 1))
        self.assertEqual(one["step_seconds"]["communication"], 0)
        self.assertGreater(two["step_seconds"]["communication"], 0)
        self.assertAlmostEqual(two["efficiency"], two["speedup"] / 2)
        # Three ranks are no split that the model allows: it says so, and the others have their figures.
        self.assertIsNone(three["speedup"])
        self.assertIn("3", three["error"])
        codes = [note["code"] for note in report["notes"]]
        self.assertIn("shared_cpu", codes)
        self.assertIn("not_run", codes)
        self.assertIsNone(report["links"]["promised_bytes_per_second"])
        self.assertGreater(report["links"]["measured_bytes_per_second"], 0)

    def test_chart_and_picture(self):
        svg = self.path("scaling.svg")
        done = self.bench(tiny_r1(), *QUICK, "--ranks", "1,2", "--svg", svg)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("#", done.stdout)
        self.assertIn("shared_cpu: ranks on the CPU share", done.stdout)
        self.assertIn("efficiency: at 2 ranks a step takes", done.stdout)
        root = xml.etree.ElementTree.parse(svg).getroot()
        self.assertEqual(root.tag, "{http://www.w3.org/2000/svg}svg")
        self.assertGreaterEqual(len(root), 10)

    def test_mistakes(self):
        for arguments, code, text in [
            (["no-such-model", *QUICK], 66, "no-such-model"),
            ([tiny_r1(), *QUICK, "--ranks", "0"], 64, "--ranks"),
            ([tiny_r1(), *QUICK, "--ranks", "1", "--svg", "/nowhere/x.svg"], 64, "--svg /nowhere/x.svg"),
        ]:
            done = self.bench(*arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(text, done.stderr)


class AllReduce(Case):
    def bench(self, *arguments):
        return subprocess.run([cli_test.PROGRAM, "bench", "allreduce", "--device", "cpu", *arguments], capture_output=True,
                              text=True, timeout=120, env=environment(self.folder.name))

    def test_json(self):
        done = self.bench("--tp", "3", "--min-bytes", "1KiB", "--max-bytes", "5KiB", "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        report = json.loads(done.stdout)
        self.assertEqual(list(report), ["schema", "machine", "commit", "ranks", "dtype", "rows", "notes"])
        self.assertEqual((report["schema"], report["ranks"], report["dtype"], report["notes"]), (1, 3, "f32", []))
        self.assertEqual(list(report["machine"]), ["gpus", "driver", "nccl"])
        self.assertEqual([row["bytes"] for row in report["rows"]], [1024, 2048, 4096])
        for row in report["rows"]:
            self.assertEqual(list(row), ["bytes", "via", "algorithm", "fused", "in_graph", "median_seconds", "p99_seconds",
                                         "bus_bytes_per_second", "correct"])
            self.assertEqual((row["via"], row["fused"], row["in_graph"], row["correct"]), ("host", False, False, True))
            self.assertLessEqual(0 < row["median_seconds"] and row["median_seconds"], row["p99_seconds"])
            self.assertAlmostEqual(row["bus_bytes_per_second"] * row["median_seconds"], 4 / 3 * row["bytes"], places=3)

    def test_table(self):
        done = self.bench("--min-bytes", "64", "--max-bytes", "64")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2 ranks, f32", done.stdout)
        self.assertNotIn("WRONG", done.stdout)

    def test_what_is_refused(self):
        for arguments, words in (
                (["--via", "nccl"], ["--via nccl wants GPUs", "--via host"]),
                (["--via", "tcp"], ["--via tcp", "peer, host or nccl"]),
                (["--dtype", "bf16"], ["--dtype bf16", "leave --dtype out"]),
                (["--tp", "1"], ["--tp 1", "2 to 64"]),
                (["--max-bytes", "2GiB"], ["--max-bytes 2GiB", "1GiB"]),
                (["--min-bytes", "2KiB", "--max-bytes", "1KiB"], ["--min-bytes 2KiB", "the smaller one first"])):
            done = self.bench(*arguments)
            self.assertNotEqual(done.returncode, 0, arguments)
            for word in words:
                self.assertIn(word, done.stderr)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
