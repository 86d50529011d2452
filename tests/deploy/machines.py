"""Inventory files of machines that are not all well: what `tutti doctor --dump` would write there."""

from geometry import GPUS

NAMES = {"H200": "NVIDIA H200", "H100-80GB": "NVIDIA H100 80GB HBM3", "L4": "NVIDIA L4", "L40S": "NVIDIA L40S",
         "A100-40GB": "NVIDIA A100-SXM4-40GB"}


def gpu(kind, index, **more):
    return {"index": index, "nvml_index": index, "uuid": f"GPU-{index:08x}-0000-0000-0000-000000000000", "name": NAMES[kind],
            "compute_capability": "9.0" if kind.startswith("H") else "8.9", "memory_total_bytes": GPUS[kind] << 20, "memory_used_bytes": 0,
            "mig": False, "compute_mode": "default", "recovery_action": "none", **more}


def links(count, kind="NV18", p2p="ok"):
    return [{"a": a, "b": b, "kind": kind, "p2p": {"read": p2p, "write": p2p, "atomics": p2p}, "data_test": "not_run", "bytes_per_second": None}
            for a in range(count) for b in range(a + 1, count)]


def machine(gpus, links_=None, memory=2 << 40, **more):
    count = len(gpus)
    return {"taken_at": "2026-11-30T00:00:00Z", "tutti_version": "0.1.0", "host": {"kind": "bare", "cpus": 128, "memory_bytes": memory},
            "counts": {"pci": count, "nvml": count, "cuda": count, "last_good": None}, "gpus": gpus,
            "links": links(count) if links_ is None else links_, "errors": [], **more}


def eight(kind="H200", **of_one):
    """Eight equal GPUs; of_one[index]: facts that differ there."""
    return [gpu(kind, i, **of_one.get(f"gpu{i}", {})) for i in range(8)]


def mig(count, parts, bytes_):
    out = []
    for i in range(count):
        whole = gpu("H200", i, mig=True)
        whole["index"] = None
        whole["mig_devices"] = [{"index": i * parts + p, "uuid": f"MIG-{i}-{p}", "name": "NVIDIA H200 MIG 3g.71gb", "gpu_instance": p,
                                 "compute_instance": 0, "memory_total_bytes": bytes_, "memory_used_bytes": 0} for p in range(parts)]
        out.append(whole)
    return out


# name -> (inventory, model, arguments, expectation)
CASES = {
    "eight idle H200s": (machine(eight()), "deepseek-r1", [], dict(verdict="fits", used=list(range(8)), tp=8, runnable=True)),
    "a busy GPU is passed over": (
        machine(eight(gpu0={"memory_used_bytes": 130 << 30, "processes": [{"name": "python3", "bytes": 129 << 30}]})), "qwen2.5-7b", [],
        dict(verdict="fits", used=[1, 2, 3, 4], tp=4, left_out={0: "busy: 11.2 GB of 150.8 GB is free (python3 138.5 GB)", 5: "cannot be split"})),
    "a busy GPU leaves too little for R1": (
        machine(eight(gpu3={"memory_used_bytes": 100 << 30})), "deepseek-r1", [], dict(verdict="refused", worst=3)),
    "a little busy: less cache": (
        machine(eight(gpu5={"memory_used_bytes": 30 << 30})), "deepseek-r1", [], dict(verdict="fits", used=list(range(8)), tp=8)),
    "7 of 8 are there": (
        {**machine(eight()[:7]), "counts": {"pci": 8, "nvml": 7, "cuda": 7, "last_good": 8}}, "deepseek-r1", [],
        dict(verdict="refused", reasons={"gpus_missing", "short"})),
    "7 of 8, a small model": (
        {**machine(eight()[:7]), "counts": {"pci": 8, "nvml": 7, "cuda": 7, "last_good": 8}}, "llama-3.1-70b", [],
        dict(verdict="fits", used=[0, 1, 2, 3], tp=4, reasons={"gpus_missing"})),
    "off the bus": (
        machine(eight()[:4] + [{"pci": "0000:99:00.0", "name": None}], links(4)), "llama-3.1-70b", [],
        dict(verdict="fits", used=[0, 1, 2, 3], left_out={4: "off the bus"})),
    "UUID masks hide": (
        {**machine([gpu("H200", i) | {"index": i - 4 if i >= 4 else None} for i in range(8)]),
         "env": {"CUDA_VISIBLE_DEVICES": "GPU-00000004,GPU-00000005,GPU-00000006,GPU-00000007"}},
        "llama-3.1-70b", [], dict(verdict="fits", used_uuids=[4, 5, 6, 7], left_out={0: "CUDA_VISIBLE_DEVICES"})),
    "an empty mask hides all": (
        {**machine([gpu("H200", i) | {"index": None} for i in range(2)]), "env": {"CUDA_VISIBLE_DEVICES": ""}}, "qwen3-8b", [],
        dict(verdict="refused", reasons={"no_usable_gpu"})),
    "no NVLink": (machine(eight("L40S"), links(8, "SYS")), "llama-3.1-70b", [], dict(verdict="fits", tp=8, used=list(range(8)))),
    "no peer access": (
        machine([gpu("L4", 0), gpu("L4", 1)], links(2, "PHB", "chipset_not_supported")), "qwen3-8b", [], dict(verdict="fits", tp=2)),
    "mixed sizes: the large ones": (
        machine([gpu("L4", 0), gpu("H200", 1), gpu("H200", 2), gpu("L4", 3)], links(4, "SYS")), "llama-3.1-70b", [],
        dict(verdict="fits", used=[1, 2], tp=2)),
    "mixed sizes: all are needed": (
        machine([gpu("A100-40GB", 0), gpu("A100-40GB", 1), gpu("L40S", 2), gpu("L40S", 3)], links(4, "SYS")), "llama-3.1-70b", ["--context", "8192"],
        dict(verdict="fits", used=[0, 1, 2, 3], tp=4)),
    "MIG: one part": (
        machine(mig(2, 2, 71 << 30), []), "qwen3-8b", [], dict(verdict="fits", used_names=["NVIDIA H200 MIG 3g.71gb"], tp=1)),
    "MIG: too small a part": (machine(mig(1, 2, 71 << 30), []), "llama-3.1-70b", [], dict(verdict="refused")),
    "no GPU, much memory": (machine([], []), "qwen3-8b", [], dict(verdict="fits", gpus=0, runnable=True)),
    "no GPU, little memory": (machine([], [], memory=8 << 30), "qwen3-8b", [], dict(verdict="refused", reasons={"no_gpu", "short"})),
    "no GPU, a control group": (
        {**machine([], []), "host": {"kind": "docker", "cpus": 4, "memory_bytes": 1 << 40, "cgroup_memory_bytes": 4 << 30}}, "qwen3-8b", [],
        dict(verdict="refused")),
    "a control group below the host's buffers": (
        {**machine(eight()), "host": {"kind": "docker", "cpus": 64, "memory_bytes": 1 << 40, "cgroup_memory_bytes": 400 << 20}}, "deepseek-r1", [],
        dict(verdict="refused", reasons={"host_memory"})),
    "a control group above them": (
        {**machine(eight()), "host": {"kind": "docker", "cpus": 64, "memory_bytes": 1 << 40, "cgroup_memory_bytes": 8 << 30}}, "deepseek-r1", [],
        dict(verdict="fits", tp=8)),
    "unified memory": (
        {**machine([gpu("H200", 0) | {"name": "NVIDIA GB10", "memory_total_bytes": None, "memory_used_bytes": None}], memory=120 << 30)},
        "qwen3-32b", [], dict(verdict="fits", tp=1, total=120 << 30)),
    "unified memory is too small": (
        {**machine([gpu("H200", 0) | {"name": "NVIDIA GB10", "memory_total_bytes": None, "memory_used_bytes": None}], memory=120 << 30)},
        "llama-3.1-70b", [], dict(verdict="refused")),
    "unified memory of a container": (
        {**machine([gpu("H200", 0) | {"name": "NVIDIA GB10", "memory_total_bytes": None, "memory_used_bytes": None}]),
         "host": {"kind": "docker", "cpus": 20, "memory_bytes": 120 << 30, "cgroup_memory_bytes": 60 << 30}},
        "qwen3-32b", [], dict(verdict="refused")),
    "sick GPUs": (
        machine(eight(gpu2={"recovery_action": "gpu_reset"}, gpu6={"remapped": {"pending": False, "failed": True}})), "llama-3.1-70b", [],
        dict(verdict="fits", used=[0, 1, 3, 4], left_out={2: "gpu_reset", 6: "no spare"})),
    "too old": (machine([gpu("H200", 0) | {"name": "Tesla T4", "compute_capability": "7.5"}]), "qwen3-0.6b", [],
                dict(verdict="refused", left_out={0: "8.0 (Ampere)"})),
    "prohibited": (machine(eight(gpu7={"compute_mode": "prohibited"})), "qwen3-8b", [], dict(verdict="fits", tp=4, left_out={7: "prohibited"})),
    "NVML tells little": (
        machine([{"index": i, "name": "NVIDIA H200"} for i in range(8)], []), "deepseek-r1", [], dict(verdict="fits", tp=8, reasons={"assumption"})),
    "a GPU that nobody knows": (
        machine([{"index": 0, "nvml_index": 0, "name": "NVIDIA X9000", "memory_total_bytes": 64 << 30, "memory_used_bytes": 0}]), "qwen3-8b", [],
        dict(verdict="fits", tp=1, reasons={"assumption", "roofline"})),
}
