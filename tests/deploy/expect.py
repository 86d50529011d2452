"""What a plan must say, computed from a model's dimensions alone. Shares no code and no numbers with src/plan.

The sums are those of the models' papers and files: weights matrix by matrix, split over ranks as tensor parallelism does
(heads whole, MLP and vocabulary in even pieces, latents and routers on every rank), the cache per token, and what is left.
"""

MIB = 1 << 20
BLOCK = 128  # rows and columns of an FP8 block
RESERVE = 256 * MIB
CUDA = 560 * MIB + 226_763_272  # a process's own, and a rank's workspaces (docs/planning.md)
CACHE_BLOCK = 16  # tokens
SEQUENCES = 64
MOST_RANKS = 8

# Bytes per weight of (experts, other matrices of layers, embedding and head): scales included.
FORMATS = {
    "bf16": (2, 2, 2),
    "fp8": (1 + 4 / BLOCK**2, 1 + 4 / BLOCK**2, 2),
    "int4": (0.5 + 2 / 32, 2, 2),  # four bits and a bf16 scale for 32; only routed experts
    "awq-int4": (0.5 + 2.5 / 128, 0.5 + 2.5 / 128, 2),  # a scale of 16 bits, a zero point of 4
}


def pieces(width, ranks):
    """Widths of the ranks. FP8 blocks may be cut: the ranks on both sides keep the scale."""
    bounds = [width * r // ranks for r in range(ranks + 1)]
    return [b - a for a, b in zip(bounds, bounds[1:])]


def legal(g, ranks):
    """Whether heads, KV heads, widths and vocabulary can be split over so many ranks."""
    if g["heads"] % ranks:
        return False
    if g["kind"] == "gqa" and (g["kv"] % ranks if g["kv"] >= ranks else ranks % g["kv"]):
        return False
    widths = [g["vocab"]] + [g[k] for k in ("inter", "expert") if g.get(k)]
    return all(w >= ranks for w in widths)


def degrees(g, most):
    return [n for n in range(1, min(most, MOST_RANKS) + 1) if legal(g, n)]


def attention_weights(g, ranks):
    """Of one layer and rank: (matrices in the format, matrices in bf16, f32 values)."""
    h, heads = g["hidden"], g["heads"] // ranks
    if g["kind"] == "mla":
        down = h * (g["q_rank"] + g["kv_rank"] + g["rope"])
        up = g["q_rank"] * heads * (g["nope"] + g["rope"])
        out = heads * g["v"] * h
        absorbed = heads * g["kv_rank"] * (g["nope"] + g["v"])  # W_UK and W_UV, derived from kv_b, in bf16
        return down + up + out, absorbed, g["q_rank"] + g["kv_rank"]
    kv = max(g["kv"] // ranks, 1)
    qkv = (heads + 2 * kv) * g["head"]
    norms = 2 * g["head"] if g.get("qk_norm") else 0
    if g.get("whole_norm"):  # a weight for every head
        norms = (heads + kv) * g["head"]
    return h * qkv + heads * g["head"] * h, 0, norms + (qkv if g.get("qkv_bias") else 0)


def weights(g, ranks, rank=0, attention_ranks=None, stages=1):
    """Bytes of one rank. `attention_ranks` 1: attention whole on every rank (data-parallel attention).
    `stages`: layers are shared out; the heaviest stage."""
    expert_bytes, linear_bytes, other_bytes = FORMATS[g["fmt"]]
    h = g["hidden"]

    def part(width):
        return pieces(width, ranks)[rank]

    matrices, dense, f32 = attention_weights(g, attention_ranks or ranks)
    attention = matrices * linear_bytes + dense * 2 + (f32 + 2 * h) * 4
    per_layer = []
    for layer in range(g["layers"]):
        total = attention
        routed = "experts" in g and layer >= g.get("layers_dense", 0)
        if routed:
            total += 3 * h * part(g["expert"]) * g["experts"] * expert_bytes
            total += g["experts"] * h * 2 + (g["experts"] * 4 if g["kind"] == "mla" or "moe" in g else 0)
            total += 3 * h * part(g.get("shared", 0) * g["expert"]) * linear_bytes if g.get("shared") else 0
        else:
            total += 3 * h * part(g["inter"]) * linear_bytes
        per_layer.append(total)
    layers = sum(per_layer) if stages == 1 else max(per_layer) * -(-g["layers"] // stages)
    tables = part(g["vocab"]) * h * other_bytes * (1 if g["tied"] else 2)
    return layers + tables + h * 4


def cache(g, ranks, dcp=1):
    """Bytes a token and rank, in bf16."""
    if g["kind"] == "mla":
        return -(-g["layers"] * (g["kv_rank"] + g["rope"]) * 2 // dcp)
    return -(-2 * max(g["kv"] // ranks, 1) * g["head"] * g["layers"] * 2 // dcp)


def graphs(g, sequences):
    """16 KiB for each layer and recorded size: 1, 2, 4, 8, then steps of 8, 16 from 64 on, 64 from 256 on."""
    sizes, size = 1, 1
    while size < sequences:
        size += size if size < 8 else 8 if size < 64 else 16 if size < 256 else 64
        sizes += 1
    return sizes * g["layers"] * (16 << 10)


def room(g, free, ranks, activations, sequences=SEQUENCES, **form):
    """Bytes for the cache on the tightest rank. `free`: of the GPUs."""
    dcp_form = {k: v for k, v in form.items() if k != "dcp"}
    return min(f - weights(g, ranks, r, **dcp_form) - activations - graphs(g, sequences) - CUDA - RESERVE
               for r, f in enumerate(free))


def tokens(g, free, ranks, activations, context=0, sequences=SEQUENCES, dcp=1, **form):
    """Tokens that the cache of one group of ranks holds; negative: the weights do not fit."""
    left = room(g, free, ranks, activations, sequences, **form)
    each = cache(g, form.get("attention_ranks") or ranks, dcp)
    if form.get("stages", 1) > 1:
        each = -(-each * -(-g["layers"] // form["stages"]) // g["layers"])
    if left < each * CACHE_BLOCK:
        return -1
    most = (context or g["context"])
    most = -(-most // CACHE_BLOCK) * CACHE_BLOCK * sequences
    return min(int(left // (each * CACHE_BLOCK)) * CACHE_BLOCK, most)
