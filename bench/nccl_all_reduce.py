#!/usr/bin/env python3
"""NCCL's all-reduce of bf16 in CUDA graphs, to set beside all_reduce_bench: pairs of a small elementwise kernel and an
all-reduce, less the elementwise kernel alone. One process per GPU; medians of rank 0.

    nccl_all_reduce.py [GPUS]        NCCL_P2P_DISABLE=1 etc. are NCCL's own; NVLink multicast stays as the caller set it
"""
import os
import statistics
import sys
import tempfile

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

WIDTH = 3584
ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 9362, 37449]


def microseconds(pairs, pair):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            pair()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(pairs):
            pair()
    graph.replay()
    runs = []
    for _ in range(5):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        runs.append(begin.elapsed_time(end) * 1e3 / pairs)
    return statistics.median(runs)


def work(rank, ranks, meeting):
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl", init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    if rank == 0:
        print(f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}, {ranks} x {torch.cuda.get_device_name(0)}")
        print(f"{'bytes':>12} {'us':>10} {'GB/s':>8}")
    for rows in ROWS:
        x = torch.zeros(rows, WIDTH, dtype=torch.bfloat16, device="cuda")
        zero = torch.zeros_like(x)
        pairs = 122 if rows <= 128 else 16 if rows <= 9362 else 4

        def both():
            x.add_(zero)
            dist.all_reduce(x)

        alone = microseconds(pairs, lambda: x.add_(zero))
        time = microseconds(pairs, both) - alone
        if rank == 0:
            size = rows * WIDTH * 2
            print(f"{size:12} {time:10.2f} {size / time * 1e-3:8.1f}   (elementwise alone {alone:.2f})", flush=True)
    torch.cuda.synchronize()
    sys.stdout.flush()
    os._exit(0)  # destroy_process_group does not return while graphs hold NCCL's kernels


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else torch.cuda.device_count()
    with tempfile.TemporaryDirectory() as directory:
        mp.spawn(work, (count, directory + "/meeting"), nprocs=count)
