#!/usr/bin/env python3
"""What only a machine with GPUs shows of the doctor, top and scaling: doctor_step.py TUTTI [--shm] [--out FOLDER].

--out: keeps the dump, the server's log and the picture of scaling there.
--shm: also with /dev/shm of 64 MB full of left-over segments (wants root; the size is put back). One line for each look; exit 1
if any is not as it should be.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time

TUTTI = sys.argv[1]
SHM = "/dev/shm"
OUT = sys.argv[sys.argv.index("--out") + 1] if "--out" in sys.argv else tempfile.mkdtemp(prefix="tutti_doctor_")
DUMP, SERVE_LOG, PICTURE = (os.path.join(OUT, n) for n in ("dump.json", "serve.log", "scaling.svg"))
failed = False


def row(name, good, text):
    global failed
    failed = failed or not good
    print(f"{name}: {'ok' if good else 'FAIL'}: {text}", flush=True)


def tutti(*arguments, seconds=120, codes=(0,), env=None):
    done = subprocess.run([TUTTI, *arguments], capture_output=True, text=True, timeout=seconds, env={**os.environ, **(env or {})})
    if done.returncode not in codes:
        raise RuntimeError(f"tutti {' '.join(arguments)}: exit {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def findings(report):
    return {c["id"]: c for c in report["checks"]}


def words(report, severities):
    return "; ".join(f"{c['id']} {c['severity']}: {c['what']}" for c in report["checks"] if c["severity"] in severities)


def look_at_doctor():
    began = time.monotonic()
    report = json.loads(tutti("doctor", "--json", codes=(0, 1, 2)))
    took = time.monotonic() - began
    row("doctor", report["severity"] in ("ok", "info") and took < 10,
        f"{report['severity']} in {took:.1f} s; {words(report, ('info', 'warning', 'error')) or 'nothing to say'}")
    began = time.monotonic()
    tutti("doctor", "--json", "--quick", codes=(0, 1, 2))
    took = time.monotonic() - began
    row("doctor-quick", took < 2, f"{took:.2f} s")
    speeds = findings(json.loads(tutti("doctor", "--json", "--quick", "--speed", codes=(0, 1, 2))))["gpu.speed"]
    row("doctor-speed", speeds["severity"] == "ok", f"{speeds['what']}: {speeds['evidence']}")
    tutti("doctor", "--dump", DUMP)
    # Anywhere: of this machine nothing is asked.
    there = json.loads(tutti("doctor", "--json", "--inventory", DUMP, codes=(0, 1, 2), env={"CUDA_VISIBLE_DEVICES": ""}))
    other = [i for i, c in findings(report).items() if i != "server.port" and
             (c["severity"], c["remedy"]) != (findings(there)[i]["severity"], findings(there)[i]["remedy"])]
    row("doctor-dump", not other, f"{len(findings(there))} checks of the file, {len(other)} differ {other}")
    print(tutti("doctor", codes=(0, 1, 2)))


def look_at_shm():
    before = os.statvfs(SHM).f_blocks * os.statvfs(SHM).f_frsize
    names = [f"{SHM}/nccl-stale{i}" for i in range(6)]
    try:
        subprocess.run(["mount", "-o", "remount,size=64m", SHM], check=True)
        for name in names:
            with open(name, "wb") as f:
                os.posix_fallocate(f.fileno(), 0, 9637888)
        report = findings(json.loads(tutti("doctor", "--json", "--quick", codes=(0, 1, 2))))
        stale, size = report["shm.stale"], report["shm.size"]
        row("doctor-shm", stale["severity"] == "warning" and all(n in stale["remedy"] for n in names) and "does not care" in stale["what"],
            f"{stale['what']}: {stale['remedy']}; {size['what']}")
        said = tutti("run", "models/tiny-r1/checkpoint", "What is 12*78?", "--device", "cuda", "--temperature", "0", "-q")
        row("run-without-shm", "936" in said, said.strip().splitlines()[-1])
    finally:
        for name in names:
            if os.path.exists(name):
                os.unlink(name)
        subprocess.run(["mount", "-o", f"remount,size={before}", SHM], check=False)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def look_at_top():
    status = json.loads(tutti("top", "--once", "--json"))
    gpus = status["gpus"]
    known = all(g["busy"] is not None and g["power_watts"] and g["clock_mhz"] and g["temperature_celsius"] for g in gpus)
    row("top", bool(gpus) and known, f"{len(gpus)} GPUs, {gpus[0]['name']}, {gpus[0]['power_watts']:.0f} W")
    port = free_port()
    with open(SERVE_LOG, "w", encoding="utf-8") as log:
        server = subprocess.Popen([TUTTI, "serve", "bench/shapes/qwen2-7b-llama", "--load-format", "dummy", "--port", str(port)],
                                  stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            if "ready: " in open(SERVE_LOG, encoding="utf-8").read() or server.poll() is not None:
                break
            time.sleep(0.1)
        load = subprocess.Popen([TUTTI, "bench", "serve", "--url", url, "--concurrency", "16", "--requests", "64", "--input-len", "128",
                                 "--output-len", "512", "--ignore-eos", "--token-ids", "32:255", "-q"], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        time.sleep(4)
        status = json.loads(tutti("top", "--once", "--json", "--url", url))
        print(tutti("top", "--once", "--url", url, "--columns", "80"))
        print(tutti("top", "--once", "--url", url, "--columns", "160"))
        load.wait(timeout=120)
        used = [g for g in status["gpus"] if g["used"]]
        row("top-of-a-server", bool(used) and all(g["busy"] > 0.3 for g in used),
            f"{len(used)} GPUs used, busy {[g['busy'] for g in used]}, notices {status['notices']}")
    finally:
        server.terminate()
        server.wait(timeout=60)


def look_at_scaling():
    shape = ["bench/shapes/qwen2-7b-llama", "--load-format", "dummy"]
    counts = json.loads(tutti("top", "--once", "--json"))["gpus"]
    runs = [("scaling-one-gpu", ["--one-gpu", "--ranks", "1,2,4"])]
    if len(counts) > 1:
        runs.append(("scaling", ["--svg", PICTURE]))
    for name, flags in runs:
        report = json.loads(tutti("bench", "scaling", *shape, *flags, "--json", seconds=400))
        ran = [r for r in report["runs"] if r["error"] is None]
        row(name, len(ran) == len(report["runs"]) > 1,
            "; ".join(f"{r['parallel']['tp']}: {r['decode_tokens_per_second']:.1f} tok/s ({100 * r['efficiency']:.0f} %; "
                      + ", ".join(f"{k} {1e3 * v:.2f} ms" for k, v in r["step_seconds"].items()) + f"; busy {r['gpu_busy']})" for r in ran)
            + f" | links {report['links']} | " + " | ".join(f"{n['code']}: {n['text']}" for n in report["notes"]))


for look in [look_at_doctor, look_at_top, look_at_scaling] + ([look_at_shm] if "--shm" in sys.argv else []):
    try:
        look()
    except Exception as e:  # the others get their turn
        row(look.__name__, False, str(e))
sys.exit(1 if failed else 0)
