#!/usr/bin/env python3
"""Runs the tutti program as a user does: cli_test.py PROGRAM SOURCE_DIRECTORY.

Only the standard library; only 127.0.0.1; every process is ended here.
"""

import http.client
import json
import math
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = ""
SOURCE = ""
TIMEOUT = 60
LLAMA = "llama_yarn_auto_f32"
DEEPSEEK = "dsv3_base_f32"


def environment(home):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TUTTI_", "HF_", "HUGGINGFACE_", "XDG_"))}
    env["HOME"] = home
    return env


def read_npy(path):
    """Rows of a float32 matrix in NumPy's format 1.0."""
    with open(path, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (length,) = struct.unpack("<H", data[8:10])
    assert (10 + length) % 64 == 0, length
    header = data[10 : 10 + length].decode()
    assert "'descr': '<f4'" in header and "'fortran_order': False" in header, header
    rows, cols = map(int, re.search(r"'shape': \((\d+), (\d+)\)", header).groups())
    values = struct.unpack(f"<{rows * cols}f", data[10 + length :])
    return [values[r * cols : (r + 1) * cols] for r in range(rows)]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="tutti_cli_")
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, content):
        mode = "wb" if isinstance(content, bytes) else "w"
        with open(self.path(name), mode) as f:
            f.write(content)
        return self.path(name)

    def start(self, *args, variables=None, ignored=(), preexec_fn=None, stdin=subprocess.DEVNULL, **kwargs):
        def prepare():
            # Not as whoever runs the tests has them, perhaps in the background.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
            if preexec_fn:
                preexec_fn()

        process = subprocess.Popen(
            [PROGRAM, *args],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment(self.folder.name), **(variables or {})},
            preexec_fn=prepare,
            **kwargs,
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.communicate()

    def run_tutti(self, *args, code=0, variables=None, given=None, **kwargs):
        """(stdout, stderr) as text; the exit code must be `code` (None: any but 0). given: bytes on standard input."""
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        process = self.start(*args, variables=variables, stdin=stdin, **kwargs)
        out, err = process.communicate(given, timeout=TIMEOUT)
        shown = f"{args}\n{out.decode()}\n{err.decode()}"
        if code is None:
            self.assertGreater(process.returncode, 0, shown)
        else:
            self.assertEqual(process.returncode, code, shown)
        return out.decode(), err.decode()

    def refused(self, *args, code, parts, variables=None):
        """One line on stderr that holds all `parts`; nothing on stdout."""
        out, err = self.run_tutti(*args, code=code, variables=variables)
        self.assertEqual(out, "")
        self.assertEqual(err.count("\n"), 1, err)
        for part in parts:
            self.assertIn(part, err)
        return err


def has_gpu():
    return any(map(os.path.exists, ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")))


def fixture(name):
    return os.path.join(SOURCE, "tests", "golden", "fixtures", name)


def golden(name):
    with open(os.path.join(fixture(name), "golden.json"), encoding="utf-8") as f:
        return json.load(f)


def tiny_r1():
    return os.path.join(SOURCE, "models", "tiny-r1", "checkpoint")


class CalibrateTest(Case):
    def test_without_a_gpu(self):
        hidden = {"CUDA_VISIBLE_DEVICES": ""}
        out, err = self.run_tutti("calibrate", code=69, variables=hidden)
        self.assertEqual(out, "")
        self.assertIn("no GPU here that a model may use", err)
        self.assertIn("tutti plan MODEL", err)
        out, _ = self.run_tutti("calibrate", "--json", code=69, variables=hidden)
        self.assertEqual(json.loads(out), {"schema": 1, "gpus": []})


class HelpTest(Case):
    def test_help_of_every_command(self):
        flags = {
            "run": ["--system", "--max-tokens", "--temperature", "--device", "--tp", "--gpus", "--p2p", "--ranks-per-gpu"],
            "serve": ["--host", "--port", "--api-key", "--insecure", "--served-model-name"],
            "score": ["--ids-file", "--logits-out", "--chunk", "--tp", "--context"],
            "generate": ["--ids-file", "--max-tokens", "--ignore-eos", "--json", "--seed"],
            "tokenize": ["--file", "--jsonl", "--no-bos"],
            "detokenize": ["--file", "--jsonl", "--no-bos"],
            "template": ["--messages", "--tools", "--kwargs", "--no-generation-prompt"],
            "doctor": ["--dump", "--inventory", "--json", "--quick"],
            "top": ["--once", "--json", "--url", "--file"],
            "calibrate": ["--json"],
            "bench": ["latency", "scaling", "serve", "throughput"],
        }
        out, _ = self.run_tutti("--help")
        for command in flags:
            self.assertIn(command, out)
        self.assertNotIn("check-peers", out, "a command that only the program itself uses")
        for command, names in flags.items():
            out, _ = self.run_tutti(command, "--help")
            for name in names:
                self.assertIn(name, out)
        out, _ = self.run_tutti("bench", "latency", "--help")
        self.assertIn("--load-format", out)
        out, _ = self.run_tutti("bench", "throughput", "--help")
        self.assertIn("--concurrency", out)
        out, _ = self.run_tutti("bench", "serve", "--help")
        for name in ("--concurrency", "--rate", "--input-len", "--shared-prefix", "--slo"):
            self.assertIn(name, out)

    def test_version(self):
        out, _ = self.run_tutti("--version")
        self.assertRegex(out, r"^tutti \d+\.\d+\.\d+(-[0-9A-Za-z.]+)?(\+[0-9a-z.]+)?\n$")

    def test_version_as_json(self):
        version = json.loads(self.run_tutti("version", "--json")[0])
        self.assertEqual("tutti " + version["version"] + "\n", self.run_tutti("version")[0])
        self.assertIn("DeepseekV3ForCausalLM", version["architectures"])
        self.assertIn("F8_E4M3 blocks", version["formats"])
        cuda = version["cuda"]
        if cuda["plugin"]:
            self.assertRegex(cuda["toolkit"], r"^\d+\.\d+$")
            self.assertIsNone(cuda["error"])
        else:  # a build for the CPU, or the program alone
            self.assertIn("libtutti_cuda.so was not found", cuda["error"])

    def test_mistakes_exit_with_64(self):
        for args in (
            [],
            ["unknown"],
            ["--unknown"],
            ["run", "--unknown"],
            ["score"],
            ["score", "model"],
            ["bench"],
            ["serve", "--port", "70000"],
            ["serve", "--port", "x"],
            ["run", "--tp", "0"],
            ["run", "--ranks-per-gpu", "0"],
            ["run", "--p2p", "on"],
            ["check-peers"],
            ["run", "--temperature", "-1"],
            ["generate", "m", "--ids-file", "x", "--max-tokens", "0"],
            ["bench", "latency", "m", "--load-format", "other"],
            ["bench", "throughput", "m", "--concurrency", "0"],
        ):
            _, err = self.run_tutti(*args, code=64)
            self.assertNotEqual(err, "", args)


    def test_mistakes_are_named_with_what_to_type(self):
        for args, code, parts in (
            (["plann", "x"], 64, ["plann", "did you mean tutti plan?", "doctor"]),
            (["pull", "x"], 64, ["hf download"]),
            (["--model", "x"], 64, ["--model stands before the command"]),
            (["bench", "sreve"], 64, ["did you mean tutti bench serve?"]),
            (["help", "zebra"], 64, ["zebra"]),
            (["serve", "--prot", "8000"], 64, ["--prot", "did you mean --port?"]),
            (["bench", "serve", "--concurency=3"], 64, ["did you mean --concurrency?"]),
            (["run", "tiny-r1", "What", "is", "3+4?"], 64, ['"is"', "quotes"]),
            (["plan", "deepseek-r1", "--context", "4k"], 64, ["--context 4k: wanted an integer, at least 1; in digits that is 4096"]),
            (["plan", "deepsek-r1"], 66, ["deepsek-r1", "close are deepseek-r1"]),
            (["plan", self.folder.name], 66, ["is empty", "hf download"]),
            (["run", "llama3:8b", "Hi"], 66, ["llama-3.1-8b-instruct"]),
            (["run", "deepsek-r1", "Hi"], 66, ["did you mean deepseek-r1?"]),
        ):
            with self.subTest(args):
                self.refused(*args, code=code, parts=parts)

    def test_without_a_command_the_list_comes(self):
        for args in ([], ["bench"]):
            out, err = self.run_tutti(*args, code=64)
            self.assertEqual(out, "")
            self.assertEqual(err.strip(), self.run_tutti(*args, "--help")[0].strip())

    def test_help_and_version_as_words(self):
        self.assertEqual(self.run_tutti("help"), self.run_tutti("--help"))
        self.assertEqual(self.run_tutti("help", "bench", "serve"), self.run_tutti("bench", "serve", "--help"))
        self.assertEqual(self.run_tutti("version"), self.run_tutti("--version"))


class ForeignFlagsTest(Case):
    """Flags of other servers are taken as ours where they mean the same, else refused with ours."""

    def test_taken(self):
        args = ("--device", "cpu", "-q", "--temp", "0", "--n-predict", "4", "What is 3+4?")
        got, _ = self.run_tutti("run", "--model", tiny_r1(), "-tp", "2", "--max_model_len=512", *args)
        want, _ = self.run_tutti("run", tiny_r1(), "--tp", "2", "--context", "512", "--device", "cpu", "-q",
                                 "--temperature", "0", "--max-tokens", "4", "What is 3+4?")
        self.assertEqual(got, want)

    def test_refused_with_what_to_type(self):
        for args, part in (
            (["serve", "--gpu-memory-utilization", "0.9"], "--kv-memory"),
            (["serve", "--n-gpu", "2"], "--gpus"),
            (["serve", "-ngl", "99"], "--gpus"),
            (["run", "--ctx-size", "4096"], "--context"),
            (["score", "m", "--dtype", "bfloat16"], "--compute"),
            (["bench", "latency", "m", "--max-num-seqs", "4"], "--max-batch-sequences"),
        ):
            self.refused(*args, code=64, parts=[part])

    def test_aliases_are_checked_as_ours(self):
        self.refused("serve", tiny_r1(), "--device", "cpu", "--tensor-parallel-size", "3", "-q", "--port", "0",
                     code=64, parts=["--tp 3", "1, 2, 4, 8"])


class BenchLatencyTest(Case):
    def test_figures_agree_with_each_other(self):
        name = fixture("llama_base_f32")
        args = ("bench", "latency", name, "--device", "cpu", "--prompt-tokens", "12", "--new-tokens", "8", "--batch", "3")
        figures = json.loads(self.run_tutti(*args, "--json")[0])
        self.assertGreater(figures["ceilings"]["read_bytes_per_second"], 1e8)
        self.assertGreater(figures["ceilings"]["copy_bytes_per_second"], 1e8)
        self.assertAlmostEqual(
            figures["fraction_of_read_bandwidth"],
            figures["decode_bytes_per_second"] / figures["ceilings"]["read_bytes_per_second"],
        )
        with open(os.path.join(name, "config.json")) as f:
            config = json.load(f)
        layers, width, vocab = config["num_hidden_layers"], config["hidden_size"], config["vocab_size"]
        for step, rows in (("prompt_ops", 12), ("decode_ops", 3)):
            ops = {op["op"]: op for op in figures[step]}
            self.assertEqual(ops["attention"]["calls"], layers)
            head = ops[f"linear {vocab}x{width}"]
            sampled = 1 if step == "prompt_ops" else rows
            self.assertEqual((head["calls"], head["flops"]), (1, 2 * sampled * vocab * width))
            # 12 queries see 1 to 12 keys; 3 queries see 12 + 4 each.
            pairs = 12 * 13 // 2 if step == "prompt_ops" else 3 * 16
            self.assertEqual(ops["attention"]["flops"], layers * 4 * pairs * config["num_attention_heads"] * (
                config.get("head_dim") or width // config["num_attention_heads"]))
            for op in ops.values():
                self.assertGreater(op["bytes"], 0, op)
        table, _ = self.run_tutti(*args)
        for part in ("memory reads", "memory copies", "one prompt step", "one decode step", "roofline"):
            self.assertIn(part, table)

    def test_of_experts_those_that_tokens_reach_are_read(self):
        # f32, 8 experts of which a token uses 3, an embedding table apart from the head.
        name = fixture("qwen3moe_norm_f32")
        with open(os.path.join(name, "config.json")) as f:
            config = json.load(f)
        with open(os.path.join(name, "model.safetensors"), "rb") as f:
            tensors = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        size = {"dense": config["head_dim"] // 2, "experts": 0}  # rotary frequencies are no tensor of the file
        for tensor, facts in tensors.items():
            if tensor not in ("__metadata__", "model.embed_tokens.weight"):
                size["experts" if ".experts." in tensor else "dense"] += math.prod(facts["shape"])
        for batch in (1, 2, 5):
            out, _ = self.run_tutti("bench", "latency", name, "--device", "cpu", "--prompt-tokens", "12", "--new-tokens",
                                    "8", "--batch", str(batch), "--json")
            figures = json.loads(out)
            cache = 2 * config["num_key_value_heads"] * config["head_dim"] * config["num_hidden_layers"] * 16 * batch
            reached = 1 - (5 / 8) ** batch
            self.assertAlmostEqual(figures["bytes_per_step"],
                                   4 * (size["dense"] + size["experts"] * reached + cache), delta=2)
            self.assertAlmostEqual(figures["flops_per_step"],
                                   2 * batch * (size["dense"] + size["experts"] * 3 / 8), delta=2 * batch)

    def test_what_to_type_instead(self):
        shape = os.path.join(SOURCE, "bench", "shapes", "deepseek-r1")
        for args, code, parts in (
            ([shape], 66, ["safetensors", "--load-format dummy"]),
            ([tiny_r1(), "--one-of", "8"], 64, ["--one-of 8", "add --load-format dummy"]),
            ([tiny_r1(), "--one-of", "8", "--load-format", "dummy", "--tp", "2"], 64, ["leave --tp 2 out"]),
            ([tiny_r1(), "--one-of", "3", "--load-format", "dummy"], 64, ["--one-of 3:", "1, 2, 4, 8"]),
        ):
            with self.subTest(args):
                self.refused("bench", "latency", *args, "--device", "cpu", code=code, parts=parts)

    def test_what_does_not_fit_is_refused(self):
        self.refused(
            "bench", "latency", fixture("llama_base_f32"), "--device", "cpu", "--prompt-tokens", "12",
            "--new-tokens", "80", "--context", "64", code=64, parts=["92 tokens", "do not fit"],
        )


class BenchThroughputTest(Case):
    def test_every_token_of_the_job_is_counted(self):
        out, _ = self.run_tutti("bench", "throughput", fixture("llama_base_f32"), "--device", "cpu", "--requests", "9",
                                "--concurrency", "4", "--prompt-tokens", "20", "--new-tokens", "7", "--json")
        figures = json.loads(out)
        self.assertEqual(figures["requests"], 9)
        self.assertAlmostEqual(figures["output_tokens_per_second"] * figures["seconds"], 9 * 7, places=3)
        self.assertAlmostEqual(figures["total_tokens_per_second"] * figures["seconds"], 9 * 27, places=3)
        # 4, 4 and 1 at once, 7 tokens each, and steps that prefill.
        self.assertGreaterEqual(figures["steps"], 21)
        self.assertGreater(figures["tpot_ms"]["p99"], 0)
        self.assertEqual(figures["preemptions"], 0)


class ScoreTest(Case):
    def ids_file(self, ids):
        return self.write("ids.txt", ",".join(map(str, ids)) + "\n")

    def score(self, name, *args):
        out = self.path("logits.npy")
        self.run_tutti(
            "score",
            fixture(name),
            "--ids-file",
            self.ids_file(golden(name)["ids"]),
            "--logits-out",
            out,
            "--device",
            "cpu",
            *args,
        )
        return read_npy(out)

    def test_logits_equal_the_golden_ones(self):
        for name in (LLAMA, DEEPSEEK):
            want = read_npy(os.path.join(fixture(name), "logits.npy"))
            largest = max(max(map(abs, row)) for row in want)
            one = self.score(name)
            for args, got in (([], one), (["--tp", "2"], self.score(name, "--tp", "2"))):
                self.assertEqual((len(got), len(got[0])), (len(want), len(want[0])))
                worst = max(abs(a - b) for g, w in zip(got, want) for a, b in zip(g, w))
                self.assertLessEqual(worst, 2e-5 * largest, f"{name} {args}")
            self.assertEqual(self.score(name, "--chunk", "7"), one)

    def test_rank_count_that_does_not_fit(self):
        ids = self.ids_file([1, 2, 3])
        err = self.refused(
            "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", self.path("x.npy"),
            "--tp", "3", "-q", code=64, parts=["--tp 3", "1, 2, 4, 8"],
        )
        self.assertTrue(err.startswith("tutti: "), err)
        self.assertFalse(os.path.exists(self.path("x.npy")))

    def test_bad_ids(self):
        out = self.path("x.npy")
        for text, parts in (
            ("1,2,163", ["id 163 at position 2 is outside the vocabulary of 163"]),
            ("99999999999999999999", ["outside the vocabulary"]),
            ("1,-2", ["byte 2 is no token id"]),
            ("1,two", ["byte 2 is no token id"]),
            ("1.5", ["byte 1 is no token id"]),
            (" ,\n", ["holds no token ids"]),
            ("", ["holds no token ids"]),
        ):
            ids = self.write("ids.txt", text)
            self.refused(
                "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", out, "--device", "cpu",
                "-q", code=64, parts=[ids, *parts],
            )
        self.refused(
            "score", fixture(LLAMA), "--ids-file", self.path("none"), "--logits-out", out, "-q",
            code=66, parts=[self.path("none"), "no such file"],
        )

    def test_more_ids_than_the_context(self):
        ids = self.ids_file([1] * 20)
        out = self.path("x.npy")
        self.refused(
            "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", out, "--context", "16",
            code=64, parts=[ids, "20 ids", "16"],
        )
        ids = self.ids_file([1] * 513)
        self.refused(
            "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", out,
            code=64, parts=[ids, "513 ids", "512"],
        )

    def test_device_choice(self):
        ids = self.ids_file([1])
        self.refused(
            "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", self.path("x.npy"),
            "--device", "tpu", code=64, parts=["--device tpu", "auto, cpu or cuda"],
        )
        self.refused(
            "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", self.path("x.npy"),
            "--device", "cpu", "--compute", "bf16", code=69,
            parts=["--compute bf16", "the CPU computes in f32"],
        )
        self.refused(
            "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", self.path("x.npy"),
            "--device", "cpu", "--compute", "fp8", code=64, parts=["--compute fp8", "f32 or bf16"],
        )
        if not os.path.exists("/dev/nvidiactl") and not os.path.exists("/dev/nvidia0"):
            self.refused(
                "score", fixture(LLAMA), "--ids-file", ids, "--logits-out", self.path("x.npy"),
                "--device", "cuda", code=75, parts=["--device cuda", "NVIDIA", "--device cpu"],
            )

    def test_flags_of_gpus_on_the_cpu(self):
        args = ("score", fixture(LLAMA), "--ids-file", self.ids_file([1]), "--logits-out", self.path("x.npy"))
        for flag, value in (("--gpus", "all"), ("--gpus", "0,GPU-8932f937"), ("--ranks-per-gpu", "2"), ("--p2p", "off")):
            parts = [f"{flag} {value}", f"leave {flag} out"]
            self.refused(*args, "--device", "cpu", flag, value, code=75, parts=[*parts, "contradicts --device cpu"])
            if not has_gpu():
                self.refused(*args, flag, value, code=75, parts=[*parts, "no NVIDIA GPU"])
        for value in ("none", "0", "0,x", "GPU-", "1, 2"):
            self.refused(*args, "--gpus", value, code=64, parts=[f"--gpus {value}: wanted auto, all"])

    def test_gpus_that_are_not_there(self):
        plugin = os.path.join(os.path.dirname(PROGRAM), "libtutti_cuda.so")
        if not has_gpu() or not os.path.exists(plugin):
            self.skipTest("needs an NVIDIA GPU and libtutti_cuda.so beside the program")
        args = ("score", fixture(LLAMA), "--ids-file", self.ids_file([1]), "--logits-out", self.path("x.npy"))
        for mask in ("-1", "", "GPU-ffffffff", "no-such-name"):
            self.refused(
                *args, code=75, variables={"CUDA_VISIBLE_DEVICES": mask},
                parts=[f'CUDA_VISIBLE_DEVICES="{mask}" names no GPU', "unset CUDA_VISIBLE_DEVICES", "nvidia-smi -L"],
            )
        self.refused(
            *args, "--gpus", "0,63", code=75, variables={"CUDA_VISIBLE_DEVICES": "0"},
            parts=["no GPU 63", "visible is 0 NVIDIA", "CUDA_VISIBLE_DEVICES=0"],
        )
        self.refused(*args, "--gpus", "0,0", code=64, parts=["--gpus 0,0", "cuda:0 a second time"])
        self.refused(*args, "--gpus", "1", "--tp", "2", "-q", code=64, parts=["--gpus 1 --tp 2", "--tp 1"])
        self.refused(*args, "--gpus", "1", "--ranks-per-gpu", "3", "-q", code=64, parts=["1, 2, 4, 8"])

    def test_pairs_that_are_pretended(self):
        out, _ = self.run_tutti("check-peers", "--pairs", "0:1,1:0", "--pretend", "wrong", "--pretend-pairs", "1:0")
        lines = [line.strip() for line in out.splitlines()]
        self.assertEqual(lines, ["trying 0 1", "ok 0 1", "trying 1 0", "wrong 1 0 pretended", "end"])
        for args in (["--pairs", "0:0"], ["--pairs", "0:1", "--pretend", "ok", "--pretend-pairs", "1"]):
            out, _ = self.run_tutti("check-peers", *args, code=64)
            self.assertRegex(out, r"^failed --[a-z-]*pairs \S+: wanted pairs such as 0:1,1:0\n$")
        # For real: without the plugin no test, without a driver an error of each pair.
        out, _ = self.start("check-peers", "--pairs", "0:1").communicate(timeout=TIMEOUT)
        self.assertRegex(out.decode(), r"^(failed |trying 0 1 \n\w+ 0 1 [^\n]*\nend\n$)")

    def test_without_a_gpu_the_cpu_is_taken_and_one_line_says_so(self):
        if os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/nvidia0"):
            self.skipTest("this machine has an NVIDIA GPU")
        args = ("score", fixture(LLAMA), "--ids-file", self.ids_file([1]), "--logits-out", self.path("x.npy"))
        _, err = self.run_tutti(*args)
        about = [line for line in err.splitlines() if "GPU" in line]
        self.assertEqual(len(about), 1, err)
        self.assertIn("no NVIDIA GPU on this machine: running on the CPU", about[0])
        _, err = self.run_tutti(*args, "--device", "cpu")
        self.assertNotIn("GPU", err)


class GenerateTest(Case):
    def generate(self, name, *args, code=0):
        ids = self.write("ids.txt", " ".join(map(str, golden(name)["ids"])))
        out, _ = self.run_tutti(
            "generate", fixture(name), "--ids-file", ids, "--device", "cpu", "-q", *args, code=code
        )
        return out

    def test_greedy_ids_equal_the_golden_ones(self):
        for name in (LLAMA, DEEPSEEK):
            want = golden(name)["greedy"]
            reply = json.loads(self.generate(name, "--json", "--max-tokens", str(len(want)),
                                             "--ignore-eos"))
            self.assertEqual(list(reply), ["ids", "finish_reason"], "no tokenizer, so no text")
            self.assertEqual(reply["ids"], want)
            self.assertEqual(reply["finish_reason"], "length")
            plain = self.generate(name, "--max-tokens", "3", "--ignore-eos")
            self.assertEqual(plain, " ".join(map(str, want[:3])) + "\n")

    def test_end_of_sequence(self):
        # The fixture's third greedy token becomes its end of sequence.
        want = golden(LLAMA)["greedy"]
        model = self.path("model")
        os.mkdir(model)
        for file in ("config.json", "model.safetensors"):
            os.symlink(os.path.join(fixture(LLAMA), file), os.path.join(model, file))
        with open(os.path.join(model, "generation_config.json"), "w", encoding="utf-8") as f:
            json.dump({"eos_token_id": want[2]}, f)
        ids = self.write("ids.txt", " ".join(map(str, golden(LLAMA)["ids"])))
        args = ["generate", model, "--ids-file", ids, "--device", "cpu", "--json",
                "--max-tokens", "8"]
        reply = json.loads(self.run_tutti(*args)[0])
        self.assertEqual(reply["finish_reason"], "stop")
        self.assertEqual(reply["ids"][:2], want[:2])
        self.assertLessEqual(len(reply["ids"]), 3)
        reply = json.loads(self.run_tutti(*args, "--ignore-eos")[0])
        self.assertEqual(reply["ids"], want[:8])
        self.assertEqual(reply["finish_reason"], "length")

    def test_prompt_longer_than_the_context(self):
        ids = self.write("ids.txt", " ".join(["1"] * 40))
        self.refused(
            "generate", fixture(LLAMA), "--ids-file", ids, "--context", "32", "--device", "cpu",
            code=64, parts=["40", "32"],
        )

    def test_same_seed_same_tokens(self):
        args = ["--json", "--max-tokens", "12", "--ignore-eos", "--temperature", "1", "--seed", "7"]
        self.assertEqual(self.generate(LLAMA, *args), self.generate(LLAMA, *args))


class HubCacheTest(Case):
    """Models that the hf tool has put on disk are found, or pointed at."""

    REVISION = "0123456789abcdef0123456789abcdef01234567"

    def snapshot(self, cache, name, revision=REVISION, main=True):
        """A snapshot of tiny-r1, made of links as the tool makes it."""
        folder = os.path.join(cache, "models--" + name.replace("/", "--"))
        target = os.path.join(folder, "snapshots", revision)
        os.makedirs(target)
        for file in os.listdir(tiny_r1()):
            os.symlink(os.path.join(tiny_r1(), file), os.path.join(target, file))
        if main:
            os.makedirs(os.path.join(folder, "refs"), exist_ok=True)
            with open(os.path.join(folder, "refs", "main"), "w", encoding="utf-8") as f:
                f.write(revision)
        return folder

    def tokenize(self, model, code=0, **variables):
        text = self.write("text.txt", "abc")
        return self.run_tutti("tokenize", model, "--file", text, code=code, variables=variables)

    def test_where_the_cache_is(self):
        a = self.path("a")
        for variables, cache in (
            ({}, self.path(".cache/huggingface/hub")),
            ({"XDG_CACHE_HOME": self.path("xdg")}, self.path("xdg/huggingface/hub")),
            ({"HF_HOME": "~/hf"}, self.path("hf/hub")),
            ({"HUGGINGFACE_HUB_CACHE": self.path("old")}, self.path("old")),
            ({"XINFERENCE_HOME": self.path("xi"), "XDG_CACHE_HOME": self.path("no")}, self.path("xi/huggingface")),
            ({"HF_HUB_CACHE": a, "HUGGINGFACE_HUB_CACHE": self.path("b"), "HF_HOME": self.path("c")}, a),
        ):
            self.snapshot(cache, "org/some.model-1")
            self.tokenize("org/some.model-1", **variables)
        _, err = self.tokenize("org/other", code=66, XDG_CACHE_HOME=self.path("xdg"))
        self.assertIn(self.path("xdg/huggingface/hub/models--org--other"), err)

    def test_what_xinference_has_downloaded(self):
        folder = self.snapshot(self.path("elsewhere"), "org/m", main=False)
        os.makedirs(self.path("xi/cache/v2"))
        os.symlink(os.path.join(folder, "snapshots", self.REVISION), self.path("xi/cache/v2/m-pytorch-1_5b-none"))
        self.tokenize("m-pytorch-1_5b-none", XINFERENCE_HOME=self.path("xi"))
        self.tokenize("m-pytorch-1_5b-none", code=66)

    def test_ways_to_name_a_model(self):
        cache = self.path(".cache/huggingface/hub")
        folder = self.snapshot(cache, "Org/Some-Model")
        self.tokenize("models--Org--Some-Model")
        self.tokenize(folder)
        self.tokenize(os.path.join(folder, "snapshots", self.REVISION))
        self.tokenize("~/.cache/huggingface/hub/models--Org--Some-Model")
        for other in ("org/some-model", "Some-Model"):
            _, err = self.tokenize(other, code=66)
            self.assertIn("Org/Some-Model", err)
        self.refused("generate", cache, "--ids-file", self.write("ids.txt", "1"), code=66,
                     parts=["cache of models", "Org/Some-Model"])

    def test_without_refs_main(self):
        cache = self.path(".cache/huggingface/hub")
        folder = self.snapshot(cache, "org/m", "a" * 40, main=False)
        self.tokenize("org/m")
        self.snapshot(cache, "org/m", "b" * 40, main=False)
        _, err = self.tokenize("org/m", code=66)
        self.assertIn("a" * 40, err)
        self.assertIn("b" * 40, err)
        self.tokenize(os.path.join(folder, "snapshots", "b" * 40))

    def test_an_incomplete_download_is_not_replaced_by_an_older_one(self):
        cache = self.path(".cache/huggingface/hub")
        folder = self.snapshot(cache, "org/m", "a" * 40, main=False)
        os.makedirs(os.path.join(folder, "refs"))
        with open(os.path.join(folder, "refs", "main"), "w", encoding="utf-8") as f:
            f.write("c" * 40)
        _, err = self.tokenize("org/m", code=66)
        self.assertIn("hf download org/m", err)
        self.assertIn("a" * 40, err)

    def test_served_under_the_name_of_the_repository(self):
        folder = self.snapshot(self.path("hub"), "org/m")
        snapshot = os.path.join(folder, "snapshots", self.REVISION)
        for model in (snapshot, snapshot + "/", folder, os.path.join(snapshot, "config.json")):
            process = self.start("serve", model, "--device", "cpu", "--port", "0")
            line = ""
            while "ready: " not in line:
                line = process.stderr.readline()
                self.assertTrue(line, model)
                line = line if isinstance(line, str) else line.decode()
            self.assertIn("serves org/m.", line)
            process.kill()
            process.wait()

    def test_files(self):
        ids = self.write("ids.txt", "1")
        model = os.path.join(tiny_r1(), "model.safetensors")
        self.run_tutti("generate", model, "--ids-file", ids, "--device", "cpu", "--max-tokens", "1")
        self.write("model-Q4_K_M.gguf", "GGUF")
        for name in ("model-Q4_K_M.gguf", ""):
            self.refused("generate", self.path(name), "--ids-file", ids, code=69,
                         parts=["GGUF", "safetensors form"])
        os.makedirs(self.path(".tutti/models/org/quant"))
        os.rename(self.path("model-Q4_K_M.gguf"), self.path(".tutti/models/org/quant/model-Q4_K_M.gguf"))
        self.refused("generate", "org/quant", "--ids-file", ids, code=69, parts=["GGUF", "org/quant"])
        os.mkdir(self.path("inner"))
        os.symlink(os.path.join(tiny_r1(), "config.json"), self.path("inner/config.json"))
        self.refused("generate", self.folder.name, "--ids-file", ids, code=66,
                     parts=["config.json", self.path("inner")])


class MissingModelTest(Case):
    def test_places_and_download_command(self):
        ids = self.write("ids.txt", "1")
        self.refused(
            "generate", "some-org/some-model", "--ids-file", ids, code=66,
            parts=[
                'model "some-org/some-model" was not found',
                os.path.join(self.folder.name, ".tutti/models/some-org/some-model"),
                os.path.join(self.folder.name, ".cache/huggingface/hub"),
                "hf download some-org/some-model --local-dir",
            ],
        )
        for name in ("./nowhere", "/nowhere/model", "../../no/such", "~/model", "a/b/c", "bad name"):
            self.refused("generate", name, "--ids-file", ids, code=66,
                         parts=[f"{name}: no such model directory"])

    def test_directory_without_a_model(self):
        ids = self.write("ids.txt", "1")
        self.refused("generate", self.folder.name, "--ids-file", ids, code=66,
                     parts=["config.json", "no such file"])


class InputFilesTest(Case):
    """Files that are named on the command line may be pipes, as bash's <(command), and - is standard input."""

    def inputs(self):
        """(the arguments before the file, its content)"""
        inventory = os.path.join(self.folder.name, "inventory.json")
        self.run_tutti("doctor", "--dump", inventory)
        with open(inventory, "rb") as f:
            machine = f.read()
        messages = json.dumps([{"role": "user", "content": "What is 3+4?"}]).encode()
        ids = b"1, 2, 3"
        llama = [fixture(LLAMA), "--device", "cpu", "-q"]
        return [
            (["tokenize", tiny_r1(), "--file"], b"abc\n"),
            (["detokenize", tiny_r1(), "--file"], b"1 2 3\n"),
            (["template", tiny_r1(), "--messages"], messages),
            (["generate", *llama, "--max-tokens", "2", "--ids-file"], ids),
            (["score", *llama, "--logits-out", self.path("logits.npy"), "--ids-file"], ids),
            (["plan", "tiny-r1", "--inventory"], machine),
        ]

    def test_pipes_and_standard_input_are_read_as_files_are(self):
        for args, content in self.inputs():
            with self.subTest(args[0]):
                want = self.run_tutti(*args, self.write("content", content))
                self.assertEqual(self.run_tutti(*args, "-", given=content), want)
                end, begin = os.pipe()
                with open(begin, "wb") as pipe:
                    self.assertLess(len(content), 60_000)  # what a pipe holds
                    pipe.write(content)
                self.assertEqual(self.run_tutti(*args, f"/dev/fd/{end}", pass_fds=(end,)), want)
                os.close(end)

    def test_what_is_wrong_in_them_is_said_of_them(self):
        args = ["template", tiny_r1(), "--messages"]
        _, err = self.run_tutti(*args, "-", given=b"[", code=64)
        self.assertIn("standard input: ", err)
        self.refused(*args, self.folder.name, code=64, parts=[self.folder.name, "is a directory, wanted a file"])


class TextToolsTest(Case):
    TEXTS = ["What is 3+4?", "", "  two  spaces ", "caf\u00e9 \u20ac \U0001f600", "\ttab", "", "x"]

    def tool(self, command, content, *args, code=0):
        file = self.write(command + ".txt", content)
        return self.run_tutti(command, tiny_r1(), "--file", file, *args, code=code)

    def test_round_trip(self):
        text = "\n".join(self.TEXTS) + "\n"
        for args in ([], ["--no-bos"]):
            ids, _ = self.tool("tokenize", text, *args)
            self.assertEqual(ids.count("\n"), len(self.TEXTS))
            back, _ = self.tool("detokenize", ids, *args)
            self.assertEqual(back, text, args)

    def test_round_trip_of_json_lines(self):
        texts = self.TEXTS + ["two\nlines", 'quote " and \\', "\x00\x1f"]
        lines = "".join(json.dumps(t) + "\n" for t in texts)
        ids, _ = self.tool("tokenize", lines, "--jsonl")
        back, _ = self.tool("detokenize", ids, "--jsonl")
        self.assertEqual([json.loads(line) for line in back.splitlines()], texts)

    def test_no_bos(self):
        with_bos, _ = self.tool("tokenize", "abc\n")
        without, _ = self.tool("tokenize", "abc\n", "--no-bos")
        self.assertTrue(with_bos.endswith(without), (with_bos, without))
        self.assertGreater(len(with_bos.split()), len(without.split()))
        self.assertEqual(self.tool("tokenize", "\n", "--no-bos")[0], "\n")
        self.assertEqual(self.tool("tokenize", "")[0], "")

    def test_last_line_without_newline(self):
        self.assertEqual(self.tool("tokenize", "abc")[0], self.tool("tokenize", "abc\n")[0])

    def test_bad_input(self):
        _, err = self.tool("tokenize", b"good\nbad \xff\n", code=64)
        self.assertIn("line 2", err)
        self.assertIn("UTF-8", err)
        self.assertEqual(err.count("\n"), 1, err)
        _, err = self.tool("tokenize", "not json\n", "--jsonl", code=64)
        self.assertIn("line 1", err)
        _, err = self.tool("tokenize", '"\\udc00"\n', "--jsonl", code=64)
        self.assertIn("surrogate", err)
        for bad in ("1 x", "-1", "99999999", "99999999999999999999999"):
            _, err = self.tool("detokenize", f"0\n{bad}\n", code=64)
            self.assertIn("line 2", err)

    def test_template(self):
        messages = self.write(
            "messages.json", json.dumps([{"role": "user", "content": "What is 3+4?"}])
        )
        out, _ = self.run_tutti("template", tiny_r1(), "--messages", messages)
        self.assertIn("What is 3+4?", out)
        closed, _ = self.run_tutti(
            "template", tiny_r1(), "--messages", messages, "--no-generation-prompt"
        )
        self.assertTrue(out.startswith(closed), (out, closed))
        self.assertLess(len(closed), len(out))
        # The prompt that the server would use, to the byte: nothing follows it.
        with open(os.path.join(tiny_r1(), "tokenizer_config.json"), encoding="utf-8") as f:
            template = json.load(f)["chat_template"]
        if not template.endswith("\n"):
            self.assertFalse(out.endswith("What is 3+4?\n"), out)
        ids, _ = self.tool("tokenize", json.dumps(out) + "\n", "--jsonl", "--no-bos")
        self.assertNotEqual(ids.strip(), "")

    def test_template_mistakes(self):
        for content in ("{", '{"role":"user"}', "[1]"):
            messages = self.write("messages.json", content)
            _, err = self.run_tutti("template", tiny_r1(), "--messages", messages, code=64)
            self.assertNotEqual(err, "")


class RunTest(Case):
    def test_one_answer(self):
        out, err = self.run_tutti(
            "run", tiny_r1(), "What is 3+4?", "--device", "cpu", "--temperature", "0",
            "--max-tokens", "20",
        )
        self.assertNotEqual(out.strip(), "")
        self.assertIn("tok/s", err)
        quiet, err = self.run_tutti(
            "run", tiny_r1(), "What is 3+4?", "--device", "cpu", "--temperature", "0",
            "--max-tokens", "20", "-q",
        )
        self.assertEqual(quiet, out)
        self.assertEqual(err, "")

    def test_a_prompt_alone_is_for_the_model_that_ships(self):
        flags = ["--device", "cpu", "--temperature", "0", "-q"]
        out, _ = self.run_tutti("run", "Sort 9, 4, 7", *flags)
        self.assertIn("4, 7, 9", out)
        self.refused("run", "./no such", *flags, code=66, parts=["./no such: no such model directory"])
        out, _ = self.run_tutti("run", "3+4=", *flags)
        self.assertIn("7", out)
        for prompt in ("你好", ".5 + 1"):
            self.run_tutti("run", prompt, *flags)
        for model in ("no-such-model", "Org/Name:8b"):
            self.run_tutti("run", model, *flags, code=66)

    def test_an_ignored_interrupt_stays_ignored(self):
        process = self.start("run", tiny_r1(), "Hello", "--device", "cpu", "--temperature", "100", "--seed", "5",
                             "--threads", "1", "--max-tokens", "20", ignored=[signal.SIGINT])
        process.send_signal(signal.SIGINT)
        self.assertNotEqual(process.stdout.read(1), b"", "no output came")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 0, (out, err))

    def test_interrupt_ends_the_answer(self):
        # With this seed the answer fills the context; with others one at this temperature may end after 50 tokens,
        # sooner than the signal comes.
        process = self.start("run", tiny_r1(), "Hello", "--device", "cpu", "--temperature", "100", "--seed", "5",
                             "--threads", "1")
        self.assertNotEqual(process.stdout.read(1), b"", "no output came")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        self.assertEqual(process.returncode, 130, (out, err))


class PipedChatTest(Case):
    def piped(self, text, *args):
        return subprocess.run([PROGRAM, "run", "--device", "cpu", "--temperature", "0", *args], input=text,
                              capture_output=True, timeout=TIMEOUT, env=environment(self.folder.name))

    def test_each_line_is_answered_and_quiet_is_quiet(self):
        done = self.piped(b"What is 3+4?\nWhat is 2+2?\n", "-q")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count(b"</think>"), 2)
        self.assertEqual(done.stderr.strip(), b"")

    def test_a_line_that_cannot_be_answered_is_a_failure(self):
        for line, part in ((b"\xff\n", b"UTF-8"), (b"7" * 5000, b"the context is 2048")):
            done = self.piped(line)
            self.assertEqual(done.returncode, 64, done.stderr)
            self.assertIn(part, done.stderr)

    def test_tools_that_the_template_does_not_show_are_said_to_stand_in_the_system_message(self):
        tools = self.write("tools.json", json.dumps([{"type": "function", "function": {"name": "f"}}]))
        done = self.piped(b"What is 3+4?\n", "--tools", tools)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(b"system message", done.stderr)


class Server:
    """A running `tutti serve`; reads its log on a thread."""

    def __init__(self, case, *args, port=0, process=None, ignored=(), quiet=False):
        self.lines = []
        self.process = process or case.start(
            "serve", tiny_r1(), "--device", "cpu", "--port", str(port), *args, ignored=ignored
        )
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        match = self.wait_for(rf"{'ready:' if quiet else 'listening on'} http://127\.0\.0\.1:(\d+)")
        self.port = int(match.group(1))

    def read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode())
                self.changed.notify_all()

    def wait_for(self, pattern):
        deadline = time.monotonic() + TIMEOUT
        with self.changed:
            while time.monotonic() < deadline:
                for line in self.lines:
                    match = re.search(pattern, line)
                    if match:
                        return match
                if self.process.poll() is not None and not self.reader.is_alive():
                    break
                self.changed.wait(0.05)
        raise AssertionError(f"no line like {pattern} in {self.lines}")

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            all_headers = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, json.dumps(body) if body else None, all_headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def terminate(self, number):
        self.process.send_signal(number)
        return self.process.wait(timeout=TIMEOUT)


class ServeTest(Case):
    CHAT = {
        "model": "tiny-r1",
        "messages": [{"role": "user", "content": "What is 3+4?"}],
        "temperature": 0,
        "max_tokens": 24,
    }

    def test_serving(self):
        server = Server(self, "--served-model-name", "tiny-r1")
        self.assertEqual(server.request("GET", "/health")[0], 200)
        server.wait_for(r"ready: ")
        self.assertEqual(server.request("GET", "/ready")[0], 200)
        status, body = server.request("GET", "/v1/models")
        self.assertEqual(status, 200)
        self.assertEqual([m["id"] for m in json.loads(body)["data"]], ["tiny-r1"])

        status, body = server.request("POST", "/v1/chat/completions", self.CHAT)
        self.assertEqual(status, 200, body)
        reply = json.loads(body)
        message = reply["choices"][0]["message"]
        whole = (message.get("reasoning_content") or "", message.get("content") or "")
        self.assertNotEqual(whole, ("", ""))
        self.assertEqual(reply["object"], "chat.completion")

        status, body = server.request(
            "POST", "/v1/chat/completions", {**self.CHAT, "stream": True}
        )
        self.assertEqual(status, 200, body)
        events = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
        self.assertEqual(events[-1], "[DONE]")
        deltas = [c["delta"] for e in events[:-1] for c in json.loads(e)["choices"]]
        streamed = tuple(
            "".join(d.get(key) or "" for d in deltas) for key in ("reasoning_content", "content")
        )
        self.assertEqual(streamed, whole)

        status, body = server.request("POST", "/v1/chat/completions", {"model": "tiny-r1"})
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(body)["error"]["type"], "invalid_request_error")
        self.assertEqual(server.request("GET", "/nothing")[0], 404)

        # The port is taken now.
        out, err = self.run_tutti(
            "serve", tiny_r1(), "--device", "cpu", "--port", str(server.port), code=75
        )
        self.assertEqual(err.count("\n"), 1, err)
        self.assertIn(str(server.port), err)

        self.assertEqual(server.terminate(signal.SIGTERM), 0)
        with socket.socket() as s:
            self.assertNotEqual(s.connect_ex(("127.0.0.1", server.port)), 0)

    def test_api_key_and_interrupt(self):
        server = Server(self, "--api-key", "secret-key")
        server.wait_for(r"ready: ")
        self.assertEqual(server.request("GET", "/v1/models")[0], 401)
        key = {"Authorization": "Bearer secret-key"}
        self.assertEqual(server.request("GET", "/v1/models", headers=key)[0], 200)
        self.assertEqual(server.terminate(signal.SIGINT), 0)
        self.assertNotIn("secret-key", "".join(server.lines))

    def test_other_hosts_need_a_key(self):
        for host in ("0.0.0.0", "::"):
            _, err = self.run_tutti(
                "serve", tiny_r1(), "--device", "cpu", "--port", "0", "--host", host, code=64
            )
            self.assertEqual(err.count("\n"), 1, err)
            self.assertIn("--api-key", err)
            self.assertIn("--insecure", err)


if __name__ == "__main__":
    PROGRAM, SOURCE = map(os.path.abspath, sys.argv[1:3])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
