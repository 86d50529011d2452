#!/usr/bin/env python3
"""Runs `tutti bench serve` against `tutti serve` with tiny-r1: bench_serve_test.py PROGRAM SOURCE."""

import json
import socket
import sys
import unittest

import cli_test
from cli_test import Case, Server


class BenchServeTest(Case):
    def setUp(self):
        super().setUp()
        self.server = Server(self, "--served-model-name", "tiny-r1")
        self.server.wait_for(r"ready: ")
        self.url = f"http://127.0.0.1:{self.server.port}"

    def bench(self, *args, code=0):
        """The table and the JSON of a run."""
        file = self.path("out.json")
        out, err = self.run_tutti("bench", "serve", "--url", self.url, "--json", file, *args,
                                  code=code)
        self.assertEqual(err, "")  # no progress line where nobody looks
        with open(file, encoding="utf-8") as f:
            return out, json.load(f)

    def test_exact_lengths(self):
        table, figures = self.bench(
            "--concurrency", "4", "--requests", "12", "--input-len", "uniform:5:20",
            "--output-len", "9", "--ignore-eos", "--slo", "ttft:60000,tpot:60000",
            "--server-pid", str(self.server.process.pid), "--warmup", "2")
        self.assertEqual(figures["completed"], 12)
        self.assertEqual(figures["failed"], 0)
        self.assertEqual(figures["total_output_tokens"], 12 * 9)
        self.assertEqual(figures["output_tokens_from"], "usage")
        self.assertEqual(figures["model_id"], "tiny-r1")
        self.assertLessEqual(figures["max_concurrent_requests"], 4)
        self.assertTrue(12 * 5 <= figures["total_input_tokens"] <= 12 * 20, figures)
        self.assertAlmostEqual(figures["request_goodput"], figures["request_throughput"])
        self.assertGreater(figures["server_cpu_seconds"], 0)
        for metric in ("ttft", "tpot", "itl", "e2el"):
            order = [figures[f"{p}_{metric}_ms"] for p in ("median", "p90", "p95", "p99", "max")]
            self.assertEqual(order, sorted(order), metric)
            self.assertGreaterEqual(order[0], 0)
        self.assertGreaterEqual(figures["mean_e2el_ms"], figures["mean_ttft_ms"])
        for line in ("Successful requests:", "Mean TTFT (ms):", "P99 TPOT (ms):", "P95 ITL (ms):",
                     "Output token throughput (tok/s):", "Request goodput (req/s):"):
            self.assertIn(line, table)

    def test_chat_at_a_rate_from_a_file(self):
        dataset = self.write("prompts.jsonl", "\n".join(
            [json.dumps({"prompt": "What is 3+4?"}),
             json.dumps({"conversations": [{"from": "human", "value": "Sort 9, 4, 7"}]})]))
        _, figures = self.bench("--endpoint", "chat", "--rate", "50", "--requests", "6",
                                "--dataset", dataset, "--output-len", "8", "--ignore-eos")
        self.assertEqual(figures["completed"], 6)
        self.assertEqual(figures["total_output_tokens"], 48)
        self.assertEqual(figures["endpoint_type"], "openai-chat")

    def test_prompts_of_the_cache_are_told_loudly(self):
        args = ("--requests", "3", "--output-len", "2", "--input-len", "128")
        seeds = set()
        for _ in range(2):  # other prompts each time
            table, figures = self.bench(*args)
            seeds.add(figures["seed"])
            self.assertNotIn("CACHE", table)
        self.assertEqual(len(seeds), 2)
        again = (*args, "--seed", str(seeds.pop()))
        table, figures = self.bench(*again)
        self.assertGreater(figures["total_cached_tokens"], figures["total_input_tokens"] // 2)
        self.assertIn("PROMPTS CAME FROM THE CACHE", table)
        self.assertIn("Another seed", table)
        # What requests were asked to share is no surprise.
        shared, figures = self.bench(*args, "--shared-prefix", "256")
        self.assertGreater(figures["total_cached_tokens"], 0)
        self.assertNotIn("CACHE", shared)

    def test_whole_replies(self):
        _, figures = self.bench("--no-stream", "--requests", "3", "--output-len", "5",
                                "--ignore-eos", "--input-len", "8")
        self.assertEqual(figures["total_output_tokens"], 15)
        self.assertNotIn("mean_ttft_ms", figures)
        self.assertIn("mean_e2el_ms", figures)

    def test_refused_requests_are_counted_and_shown(self):
        table, figures = self.bench("--requests", "3", "--extra-body", '{"temperature": 99}', code=1)
        self.assertEqual(figures["completed"], 0)
        self.assertEqual(figures["errors"]["http 400"]["count"], 3)
        self.assertIn("temperature", figures["errors"]["http 400"]["example"])
        self.assertIn("http 400:", table)


class MistakesTest(Case):
    def test_nothing_listens(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.refused("bench", "serve", "--url", f"http://127.0.0.1:{port}", code=75,
                     parts=["connection refused", str(port), "tutti serve", "--url"])

    def test_bad_values(self):
        for args, part in (
            (["--url", "https://x"], "https"),
            (["--input-len", "uniform:9:1"], "--input-len"),
            (["--slo", "latency:5"], "--slo"),
            (["--token-ids", "9"], "--token-ids"),
            (["--extra-body", "[1]"], "--extra-body"),
            (["--no-stream", "--slo", "ttft:5"], "--no-stream"),
            (["--dataset", "/nonexistent.jsonl"], "/nonexistent.jsonl"),
        ):
            out, err = self.run_tutti("bench", "serve", "--model", "m", *args, code=None)
            self.assertEqual(out, "")
            self.assertEqual(err.count("\n"), 1, err)
            self.assertIn(part, err)


if __name__ == "__main__":
    cli_test.PROGRAM, cli_test.SOURCE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
