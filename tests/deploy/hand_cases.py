"""Plans worked out by hand. Each says its sum; GB are 10^9 bytes, and `within` is the share that the sum leaves out
(norms, biases, scales, routers where they are not named).

Free memory is the whole GPU's: H200 143,771 MiB = 150.75 GB, H100-80GB 81,559 MiB = 85.52 GB, A100-40GB 42.95 GB, L4 24.15 GB, 4090 25.76 GB.
Beside weights and cache a GPU keeps about 1.3 GB: CUDA 0.59 + workspaces 0.23 + activations 0.2 + reserve 0.27.
"""

CASES = [
    # Experts: 58 layers x 256 x 3 x 7168 x 2048 = 653.9e9 weights, an eighth of a byte each: 81.74. Attention: q_a, kv_a whole
    # 61 x 7168 x (1536 + 576) = 0.924; q_b, o by heads 61 x (1536 x 24576 + 16384 x 7168) / 8 = 1.183; W_UK, W_UV 61 x 128 x 512 x 256 / 8
    # in bf16 = 0.256. Dense 3 x 3 x 7168 x 18432 / 8 = 0.149. Shared 58 x 3 x 7168 x 2048 / 8 = 0.319. Routers 58 x 256 x 7168 x 2 = 0.213.
    # Embedding and head 2 x 129280 x 7168 x 2 / 8 = 0.463. Sum 85.25. Cache 61 x 576 x 2 = 70,272 bytes a token, on every rank:
    # (150.75 - 85.25 - 1.3) / 70,272 = 913,600 tokens.
    # The layer that proposes drafts: experts 256 x 3 x 7168 x 2048 / 8 = 1.409; attention 7168 x 2112 + (1536 x 24576 + 16384 x 7168) / 8 +
    # 128 x 512 x 256 x 2 / 8 = 0.039; shared 3 x 7168 x 2048 / 8 = 0.006; router 256 x 7168 x 2 = 0.004; the matrix before it, 14336 x 7168 in
    # bf16, / 8 = 0.026: 1.48, with it 86.7.
    dict(model="deepseek-r1", hardware="8xH200", verdict="fits", tp=8, runnable=True, weights=85.25e9, within=0.01, kv_token=70272,
         kv_tokens=913_600, with_drafts=86.73e9),
    # The same weights on 85.52 GB: short by 85.25 + 1.3 - 85.52 = 1.03 GB and the first blocks of the cache. 4 bits: (653.9 + 11.4 + 1.2 +
    # 2.6) x 0.52 / 8 + the bf16 rest = 45 GB, and two hosts hold half the layers each: both are named.
    dict(model="deepseek-r1", hardware="8xH100-80GB", verdict="refused", short_by=(0.7e9, 1.7e9), alternatives={"quantization", "nodes"}),
    # 1,024 sequences of 2,048 tokens: 2.1 M tokens. Eight ranks with the same cache hold 0.9 M. Data-parallel attention keeps all of attention on each
    # rank: 85.25 - (1.183 + 0.256) + 8 x (1.183 + 0.256) = 95.3 GB, and 8 x (150.75 - 95.3 - 1.6) / 70,272 = 6.1 M tokens.
    dict(model="deepseek-r1", hardware="8xH200", args=["--concurrency", "1024"], verdict="fits", dp=8, ep=8, tp=1, runnable=False,
         weights=95.3e9, within=0.01, kv_tokens=6_130_000, kv_within=0.02, alternatives={"runnable"}),
    # 31 of 61 layers on each host: 58/61 of the layers have experts, the heaviest stage 31 x (81.74 + 0.319 + 0.213) / 58 + 31 x 2.36 / 61 + 0.46 = 45.6.
    dict(model="deepseek-r1", hardware="2x8xH100-80GB", verdict="fits", tp=8, pp=2, runnable=False, weights=45.6e9, within=0.01),
    # Experts 60 x 384 x 3 x 7168 x 2048 x 18/32 / 8 = 71.34. Attention in bf16: q_a, kv_a 61 x 7168 x 2112 x 2 = 1.847; q_b, o (1536 x 12288 + 8192 x
    # 7168) x 61 x 2 / 8 = 1.183; W_UK, W_UV 61 x 64 x 512 x 256 x 2 / 8 = 0.128. Dense 3 x 7168 x 18432 x 2 / 8 = 0.099. Shared 60 x 44.04e6 x 2 / 8 = 0.661.
    # Routers 60 x 384 x 7168 x 2 = 0.330. Embedding, head 2 x 163840 x 7168 x 2 / 8 = 0.587. Sum 76.2; (150.75 - 76.2 - 1.3) / 70,272 = 1.04 M.
    dict(model="kimi-k2-thinking", hardware="8xH200", verdict="fits", tp=8, dcp=1, runnable=False, weights=76.2e9, within=0.01, kv_token=70272,
         kv_tokens=1_042_000),
    # 16 sequences of 262,144 = 4.2 M tokens do not fit 1.04 M; a cache shared out over eight ranks holds 8.3 M. Data-parallel attention needs
    # no exchange of queries: 76.2 + 7 x 1.31 = 85.4 GB, 8 x (150.75 - 85.4 - 1.3) / 70,272 = 7.3 M tokens; both would do, neither starts here.
    dict(model="kimi-k2-thinking", hardware="8xH200", args=["--context", "262144", "--concurrency", "16"], verdict="fits", runnable=False,
         forms=[dict(dp=8, ep=8), dict(tp=8, dcp=8), dict(tp=8, dcp=4)]),
    # One sequence of 262,144 tokens fits without: no reason for more.
    dict(model="kimi-k2-thinking", hardware="8xH200", args=["--context", "262144", "--concurrency", "3"], verdict="fits", tp=8, dcp=1),
    # Experts 62 x 256 x 3 x 3072 x 1536 = 224.7e9 bytes in FP8. Attention 62 x (3072 x 8192 + 6144 x 3072) = 2.73. Embedding, head 2 x 200064 x 3072 x 2 = 2.46.
    # Routers 62 x 256 x 3072 x 2 = 0.098. Four ranks: (224.7 + 2.73 + 2.46) / 4 + 0.1 = 57.6. Cache 2 x 2 x 128 x 62 x 2 = 63,488 a token.
    dict(model="minimax-m2", hardware="4xH200", verdict="fits", tp=4, runnable=True, weights=57.6e9, within=0.01, kv_token=63488),
    # Eight: 28.83; one KV head each: 31,744 a token.
    dict(model="minimax-m2", hardware="8xH200", verdict="fits", tp=8, runnable=True, weights=28.83e9, within=0.01, kv_token=31744),
    # 28 heads and 4 KV heads: 1, 2 and 4 ranks (7 divides the heads, not the KV heads). 7.616e9 x 2 / 4 = 3.81; cache 2 x 1 x 128 x 28 x 2 = 14,336.
    dict(model="qwen2.5-7b", hardware="8xH200", verdict="fits", tp=4, runnable=True, used=[0, 1, 2, 3], weights=3.81e9, within=0.01, kv_token=14336),
    # 70.554e9 x 2 = 141.1; (150.75 - 141.1 - 1.3) / 327,680 = 25,500 tokens of 131,072.
    dict(model="llama-3.1-70b", hardware="H200", verdict="fits_reduced", tp=1, runnable=True, weights=141.1e9, within=0.01, kv_token=327680,
         kv_tokens=25_500, kv_within=0.03, alternatives={"context", "quantization", "more_gpus"}),
    # Half each: 70.55; (150.75 - 70.55 - 1.3) / 163,840 = 481,500 tokens: all of the context.
    dict(model="llama-3.1-70b", hardware="2xH200", verdict="fits", tp=2, weights=70.55e9, within=0.01, kv_token=163840, kv_tokens=481_500),
    # 24,000 tokens fit one GPU, but two give 85 % more speed: 34.6 ms of weights become 17.3 and 0.5 of sums.
    dict(model="llama-3.1-70b", hardware="2xH200", args=["--context", "24000"], verdict="fits", tp=2, used=[0, 1]),
    # 32.764e9 x 2 = 65.5 on one, 32.8 on two; cache 2 x 8 x 128 x 64 x 2 / 2 = 131,072.
    dict(model="deepseek-r1-distill-qwen-32b", hardware="2xH200", verdict="fits", tp=2, weights=32.8e9, within=0.01, kv_token=131072),
    # 32.8 + 1.3 of 42.95 leaves 8.8 GB: 67,400 tokens of 131,072 on two; four have 16.4 each: (42.95 - 16.4 - 1.3) / 65,536 = 385,000.
    dict(model="deepseek-r1-distill-qwen-32b", hardware="4xA100-40GB", verdict="fits", tp=4, weights=16.4e9, within=0.01, kv_tokens=385_000, kv_within=0.02),
    # Experts 48 x 128 x 3 x 2048 x 768 x 2 = 57.98; attention 48 x (2048 x 5120 + 4096 x 2048) x 2 = 1.81; embedding, head 1.245. Sum 61.06 on one;
    # four KV heads: 1, 2 and 4 ranks. On two 30.5 each, cache 2 x 2 x 128 x 48 x 2 = 49,152.
    dict(model="qwen3-30b-a3b", hardware="2xH200", verdict="fits", tp=2, weights=30.5e9, within=0.01, kv_token=49152),
    # 8.19e9 x 2 = 16.38 + 1.3 of 24.15: 6.5 GB, 43,800 tokens of 147,456 bytes: all 40,960 of its context.
    dict(model="qwen3-8b", hardware="L4", verdict="fits", tp=1, weights=16.38e9, within=0.01, kv_token=147456, kv_tokens=43_800, kv_within=0.03),
    # 15.23 + 1.3 of 25.76: 9.2 GB, 160,900 tokens of 57,344 bytes.
    dict(model="deepseek-r1-distill-qwen-7b", hardware="4090", verdict="fits", tp=1, weights=15.23e9, within=0.01, kv_token=57344, kv_tokens=160_900,
         kv_within=0.03),
    # 405.85e9 x 2 / 8 = 101.5; (150.75 - 101.5 - 1.3) / (2 x 1 x 128 x 126 x 2 = 64,512) = 743,000 tokens.
    dict(model="llama-3.1-405b", hardware="8xH200", verdict="fits", tp=8, weights=101.5e9, within=0.01, kv_token=64512, kv_tokens=743_000),
    # Embedding tied: (151,936 x 1,024 + 28 x 15.73e6) x 2 = 1.19 GB: it fits anything; 16 sequences at once are 1.8 times as fast on... one L4 has all.
    dict(model="qwen3-0.6b", hardware="L4", verdict="fits", tp=1, weights=1.19e9, within=0.01, kv_token=114688),
    # 200 sequences of 32,768 tokens = 6.55 M; four H200s hold (150.75 - 3.81 - 1.3) / 14,336 = 10.1 M, but only what 200 need.
    dict(model="qwen2.5-7b", hardware="8xH200", args=["--context", "32768", "--concurrency", "200"], verdict="fits", tp=4, runnable=True,
         kv_tokens=6_553_600),
    # 500 sequences = 16.4 M: two copies on four each (20.2 M), or four on two: 4 x (150.75 - 7.62 - 1.3) / 28,672 = 19.8 M.
    dict(model="qwen2.5-7b", hardware="8xH200", args=["--context", "32768", "--concurrency", "500"], verdict="fits", runnable=False,
         forms=[dict(tp=4, replicas=2), dict(tp=2, replicas=4)],
         used=list(range(8)), alternatives={"runnable"}),
    # 85.52 - 76.2 - 1.3 = 8.0 GB: 114,000 tokens. Attention on every rank whole does not fit (76.2 + 9.2). A cache shared out over eight holds 8 x as many.
    dict(model="kimi-k2-thinking", hardware="8xH100-80GB", args=["--context", "262144"], verdict="fits", tp=8, dcp=8, runnable=False, weights=76.2e9,
         within=0.01, kv_token=8784, kv_tokens=914_000, kv_within=0.05),
]
