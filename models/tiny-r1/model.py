"""tiny-r1 in PyTorch: the DeepSeek-V3 forward pass, small enough to read in one go.

All linear weights except embedding, head, norms and router are trained through
the FP8 grid they are shipped in (see :func:`fp8_blocks`).  The routed experts
and the shared one are kept stacked, so a layer's experts are one wide matrix
product with the routing weights applied to the hidden columns: with eight small
experts that is faster than gathering tokens.
"""

import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "ep_size": 1,
    "first_k_dense_replace": 2,
    "hidden_act": "silu",
    "hidden_size": 256,
    "initializer_range": 0.02,
    "intermediate_size": 512,
    "kv_lora_rank": 128,
    "max_position_embeddings": 2048,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 256,
    "moe_layer_freq": 1,
    "n_group": 4,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 8,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 6,
    "num_key_value_heads": 8,
    "num_nextn_predict_layers": 0,
    "pad_token_id": 2,
    "q_lora_rank": 128,
    "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 32,
    "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]},
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 4, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 512, "type": "yarn"},
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 2,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "v_head_dim": 32,
    "vocab_size": 1024,
}
TINY = dict(hidden_size=64, intermediate_size=64, kv_lora_rank=32, moe_intermediate_size=32, num_attention_heads=2, num_hidden_layers=3, first_k_dense_replace=1, q_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=16)


def load_config(path=None, tiny=False):
    config = dict(CONFIG)
    if path:
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
    if tiny:
        config.update(TINY)
    return config


# --------------------------------------------------------------------------
# FP8 blocks
# --------------------------------------------------------------------------
E4M3_MAX = 448.0


def round_e4m3(x):
    """Nearest e4m3 value (ties to even) of |x| <= 448, in plain float arithmetic."""
    _, exponent = torch.frexp(x)
    # A normal number has 3 fraction bits; below 2^-6 the grid is uniform.
    step = torch.ldexp(torch.ones_like(x), torch.clamp(exponent - 1, min=-6) - 3)
    return torch.clamp(torch.round(x / step) * step, -E4M3_MAX, E4M3_MAX)


def fp8_parts(w, block=128):
    """Split a matrix into e4m3 values and one scale per 128x128 block."""
    rows, cols = w.shape[-2:]
    pr, pc = -rows % block, -cols % block
    p = F.pad(w, (0, pc, 0, pr)).unflatten(-1, ((cols + pc) // block, block)).unflatten(-3, ((rows + pr) // block, block))
    scale = p.abs().amax(dim=(-3, -1)).clamp(min=1e-12) / E4M3_MAX
    wide = scale[..., :, None, :, None]
    q = round_e4m3(p / wide)
    return q.flatten(-4, -3).flatten(-2, -1)[..., :rows, :cols], scale


def fp8_blocks(w, block=128):
    """The matrix as the shipped file will hold it: quantised, then dequantised."""
    q, scale = fp8_parts(w, block)
    rows, cols = w.shape[-2:]
    s = scale.repeat_interleave(block, -2)[..., :rows, :].repeat_interleave(block, -1)[..., :cols]
    return q * s


# --------------------------------------------------------------------------
# Rotary positions (YaRN)
# --------------------------------------------------------------------------


def rope_tables(config):
    """cos and sin per position, and the softmax scale."""
    d, base = config["qk_rope_head_dim"], float(config["rope_theta"])
    inv = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    scale = (config["qk_nope_head_dim"] + d) ** -0.5
    yarn = config.get("rope_scaling")
    if yarn:
        length, factor = yarn["original_max_position_embeddings"], yarn["factor"]
        corr = lambda r: d * math.log(length / (r * 2 * math.pi)) / (2 * math.log(base))
        low, high = max(math.floor(corr(yarn["beta_fast"])), 0), min(math.ceil(corr(yarn["beta_slow"])), d - 1)
        ramp = ((torch.arange(d // 2, dtype=torch.float64) - low) / max(high - low, 0.001)).clamp(0, 1)
        inv = inv / factor * ramp + inv * (1 - ramp)
        # mscale and mscale_all_dim are equal, so cos and sin keep their size.
        m = 0.1 * yarn["mscale_all_dim"] * math.log(factor) + 1
        scale *= m * m
    angle = torch.outer(torch.arange(config["max_position_embeddings"], dtype=torch.float64), inv)
    return angle.cos().float(), angle.sin().float(), scale


def rotate(x, cos, sin):
    """Interleaved pairs (x0,x1),(x2,x3).. turned by the position's angle; x is [N, heads, d]."""
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[:, None, :], sin[:, None, :]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


# --------------------------------------------------------------------------
# The network
# --------------------------------------------------------------------------


class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        x = x.float()
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def matrix(*shape, gain=0.7):
    return nn.Parameter(torch.randn(*shape) * gain / shape[-1] ** 0.5)


class Attention(nn.Module):
    """Multi-head latent attention, in the expanded form."""

    def __init__(self, c):
        super().__init__()
        h, self.heads = c["hidden_size"], c["num_attention_heads"]
        self.nope, self.rope, self.v = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"]
        self.latent = c["kv_lora_rank"]
        self.q_a_proj = matrix(c["q_lora_rank"], h)
        self.q_a_layernorm = RMSNorm(c["q_lora_rank"], 1e-6)
        self.q_b_proj = matrix(self.heads * (self.nope + self.rope), c["q_lora_rank"])
        self.kv_a_proj_with_mqa = matrix(self.latent + self.rope, h)
        self.kv_a_layernorm = RMSNorm(self.latent, 1e-6)
        self.kv_b_proj = matrix(self.heads * (self.nope + self.v), self.latent)
        self.o_proj = matrix(h, self.heads * self.v, gain=0.1)

    def forward(self, x, cos, sin, attend):
        n = x.shape[0]
        q = F.linear(self.q_a_layernorm(F.linear(x, self.q_a_proj)), self.q_b_proj).view(n, self.heads, -1)
        q = torch.cat((q[..., :self.nope], rotate(q[..., self.nope:], cos, sin).to(q.dtype)), -1)
        kv = F.linear(x, self.kv_a_proj_with_mqa)
        k_r = rotate(kv[:, None, self.latent:], cos, sin).to(kv.dtype)
        kv = F.linear(self.kv_a_layernorm(kv[:, :self.latent]), self.kv_b_proj).view(n, self.heads, -1)
        k = torch.cat((kv[..., :self.nope], k_r.expand(-1, self.heads, -1).to(kv.dtype)), -1)
        out = attend(q, k, kv[..., self.nope:])
        return F.linear(out.reshape(n, -1), self.o_proj)


class Dense(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, w = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj, self.down_proj = matrix(w, h), matrix(w, h), matrix(h, w, gain=0.1)

    def forward(self, x):
        return F.linear(F.silu(F.linear(x, self.gate_proj)) * F.linear(x, self.up_proj), self.down_proj), None


def before(x):
    """For each entry of the last dimension, how many come before it: larger first, then lower index."""
    n = x.shape[-1]
    a, b = x[..., :, None], x[..., None, :]
    earlier = torch.ones(n, n, dtype=torch.bool, device=x.device).tril(-1)
    return ((b > a) | ((b == a) & earlier)).sum(-1)


class MoE(nn.Module):
    def __init__(self, c):
        super().__init__()
        h, w, self.experts = c["hidden_size"], c["moe_intermediate_size"], c["n_routed_experts"]
        self.groups, self.keep, self.topk, self.factor = c["n_group"], c["topk_group"], c["num_experts_per_tok"], c["routed_scaling_factor"]
        # Index self.experts is the shared expert.
        self.gate_proj, self.up_proj = matrix(self.experts + 1, w, h), matrix(self.experts + 1, w, h)
        self.down_proj = matrix(self.experts + 1, h, w, gain=0.1)
        self.gate = matrix(self.experts, h)
        self.register_buffer("bias", torch.zeros(self.experts))

    def route(self, x):
        """Routing weights [N, experts], zero for the experts not chosen."""
        with torch.autocast(x.device.type, enabled=False):
            s = torch.sigmoid(F.linear(x.float(), self.gate.float()))
        choice = s.detach() + self.bias
        per = self.experts // self.groups
        grouped = choice.view(-1, self.groups, per)
        best = torch.where(before(grouped) < 2, grouped, torch.zeros_like(grouped)).sum(-1)
        group_ok = (before(best) < self.keep)[..., None].expand(-1, -1, per).reshape(-1, self.experts)
        chosen = (before(torch.where(group_ok, choice, torch.full_like(choice, -1e30))) < self.topk).float()
        w = s * chosen
        return w / (w.sum(-1, keepdim=True) + 1e-20) * self.factor, chosen

    def forward(self, x):
        w, chosen = self.route(x)
        h = F.silu(F.linear(x, self.gate_proj.flatten(0, 1))) * F.linear(x, self.up_proj.flatten(0, 1))
        w = torch.cat((w, torch.ones_like(w[:, :1])), -1).to(h.dtype)
        h = (h.unflatten(-1, (self.experts + 1, -1)) * w[..., None]).flatten(-2)
        down = self.down_proj.transpose(0, 1).flatten(1, 2)
        return F.linear(h, down), chosen.sum(0)


class Layer(nn.Module):
    def __init__(self, c, index):
        super().__init__()
        self.input_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = Dense(c) if index < c["first_k_dense_replace"] else MoE(c)

    def forward(self, x, cos, sin, attend):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, attend)
        y, load = self.mlp(self.post_attention_layernorm(x))
        return x + y, load


class TinyR1(nn.Module):
    """Tokens are one flat row [N]; ``attend`` knows which of them belong together."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Parameter(torch.randn(config["vocab_size"], config["hidden_size"]) * 0.5)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config["num_hidden_layers"]))
        self.norm = RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.lm_head = nn.Parameter(torch.randn(config["vocab_size"], config["hidden_size"]) * 0.01)
        cos, sin, self.scale = rope_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, tokens, positions, attend):
        """Logits [N, vocab] and the number of tokens per expert [moe layers, experts]."""
        x = F.embedding(tokens, self.embed_tokens).float()
        cos, sin = self.cos[positions], self.sin[positions]
        loads = []
        for index, layer in enumerate(self.layers):
            x, load = layer(x, cos, sin, lambda q, k, v, i=index: attend(i, q, k, v, self.scale))
            if load is not None:
                loads.append(load)
        return F.linear(self.norm(x), self.lm_head), torch.stack(loads)

    def quantised_names(self):
        """Parameters that live on the FP8 grid."""
        return [n for n, p in self.named_parameters() if n.endswith("_proj") or n.endswith("_with_mqa")]

    def shipped_values(self, name, p):
        """What the exported file will hold for this parameter, in float."""
        return fp8_blocks(p.float()) if name in self._fp8() else p.to(torch.bfloat16).float()

    def _fp8(self):
        if not hasattr(self, "_fp8_set"):
            self._fp8_set = frozenset(self.quantised_names())
        return self._fp8_set


# --------------------------------------------------------------------------
# Ways to attend
# --------------------------------------------------------------------------


def masked_attention(documents):
    """Reference: causal inside each document, for a short flat row of tokens."""
    same = documents[:, None] == documents[None, :]
    mask = same & torch.ones_like(same).tril()

    def attend(_, q, k, v, scale):
        score = torch.einsum("nhd,mhd->hnm", q.float(), k.float()) * scale
        p = score.masked_fill(~mask, float("-inf")).softmax(-1)
        return torch.einsum("hnm,mhd->nhd", p.to(v.dtype), v)

    return attend


def varlen_attention(starts, longest):
    """FlashAttention over documents packed one after the other; starts is int32 [documents + 1]."""

    def attend(_, q, k, v, scale):
        wide = F.pad(v, (0, q.shape[-1] - v.shape[-1]))
        q, k, wide = q.bfloat16().contiguous(), k.bfloat16().contiguous(), wide.bfloat16().contiguous()
        out = torch.ops.aten._flash_attention_forward(q, k, wide, starts, starts, longest, longest, 0.0, True, False, scale=scale)[0]
        return out[..., :v.shape[-1]]

    return attend


class CacheAttention:
    """Decoding: every sequence is at the same position, one new token each."""

    def __init__(self, config, batch, length, device):
        heads, d = config["num_attention_heads"], config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
        layers = config["num_hidden_layers"]
        self.k = torch.zeros(layers, batch, heads, length, d, device=device)
        self.v = torch.zeros(layers, batch, heads, length, config["v_head_dim"], device=device)
        self.now = 0

    def __call__(self, layer, q, k, v, scale):
        self.k[layer, :, :, self.now] = k
        self.v[layer, :, :, self.now] = v
        keys, values = self.k[layer, :, :, :self.now + 1], self.v[layer, :, :, :self.now + 1]
        p = (torch.matmul(keys, q[..., None])[..., 0] * scale).softmax(-1)
        return torch.matmul(p[:, :, None], values)[:, :, 0]

    def keep(self, rows):
        """Drop all sequences but these."""
        self.k, self.v = self.k[:, rows], self.v[:, rows]


@torch.no_grad()
def decode(model, prompts, max_new, eos=1, temperature=0.0, seed=0):
    """Completions (lists of ids, without EOS) of a batch of prompts, in float32.

    All sequences advance together from position 0: a row is fed its prompt as
    long as it lasts, then its own output.  Finished rows leave the batch.
    """
    device = model.embed_tokens.device
    length = min(max(map(len, prompts)) + max_new, model.config["max_position_embeddings"])
    tokens = torch.full((len(prompts), length), eos, dtype=torch.long)
    for i, p in enumerate(prompts):
        tokens[i, :len(p)] = torch.tensor(p)
    tokens = tokens.to(device)
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    row = torch.arange(len(prompts), device=device)
    done = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    cache = CacheAttention(model.config, len(prompts), length, device)
    generator = torch.Generator(device=device).manual_seed(seed)
    for t in range(length - 1):
        cache.now = t
        logits, _ = model(tokens[row, t], torch.full_like(row, t), cache)
        if temperature > 0:
            nxt = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
        else:
            nxt = logits.argmax(-1)
        own = t + 1 >= lengths[row]
        nxt = torch.where(done, torch.full_like(nxt, eos), nxt)
        tokens[row, t + 1] = torch.where(own, nxt, tokens[row, t + 1])
        done |= own & (nxt == eos)
        if t % 16 == 15:
            left = torch.nonzero(~done)[:, 0]
            if len(left) == 0:
                break
            if len(left) < 0.8 * len(row):
                row, done = row[left], done[left]
                cache.keep(left)
    out = []
    for p, ids in zip(prompts, tokens.tolist()):
        rest = ids[len(p):]
        out.append(rest[:rest.index(eos)] if eos in rest else rest)
    return out
