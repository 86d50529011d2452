"""What models are made of, typed from their config.json files and papers: the facts that expectations are computed from.

Not read from src/plan/catalogue.json, on purpose: a wrong number there must show. One row per model; see `config_json` for
what a row means as a file.
"""

MAX_CONTEXT = "max_position_embeddings"


def mla(layers_dense, experts, heads, vocab, context, fmt, layers=61, groups=8, top_groups=4, mtp=1):
    """DeepSeek-V3's architecture (arXiv:2412.19437): MLA, `layers_dense` dense layers, then routed and shared experts."""
    return dict(kind="mla", architecture="DeepseekV3ForCausalLM", hidden=7168, layers=layers, layers_dense=layers_dense, inter=18432,
                expert=2048, experts=experts, top=8, shared=1, heads=heads, q_rank=1536, kv_rank=512, nope=128, rope=64, v=128,
                vocab=vocab, context=context, tied=False, fmt=fmt, groups=groups, top_groups=top_groups, mtp=mtp)


def gqa(architecture, hidden, inter, layers, heads, kv, vocab, context, tied=False, head=128, fmt="bf16", **more):
    return dict(kind="gqa", architecture=architecture, hidden=hidden, inter=inter, layers=layers, heads=heads, kv=kv, head=head,
                vocab=vocab, context=context, tied=tied, fmt=fmt, **more)


def qwen2(hidden, inter, layers, heads, kv, vocab, context, tied=False, head=128):
    return gqa("Qwen2ForCausalLM", hidden, inter, layers, heads, kv, vocab, context, tied, head, qkv_bias=True)


def qwen3(hidden, inter, layers, heads, kv, tied=False, context=40960, fmt="bf16"):
    return gqa("Qwen3ForCausalLM", hidden, inter, layers, heads, kv, 151936, context, tied, fmt=fmt, qk_norm=True)


def llama(hidden, inter, layers, heads, kv=8, tied=False, head=128):
    return gqa("LlamaForCausalLM", hidden, inter, layers, heads, kv, 128256, 131072, tied, head)


def qwen3_moe(hidden, layers, heads, kv, expert, fmt="bf16"):
    return gqa("Qwen3MoeForCausalLM", hidden, 0, layers, heads, kv, 151936, 40960, qk_norm=True, fmt=fmt, expert=expert,
               experts=128, top=8)


# Architectures of this build.
MODELS = {
    "deepseek-r1": mla(3, 256, 128, 129280, 163840, "fp8"),
    "deepseek-r1-0528": mla(3, 256, 128, 129280, 163840, "fp8"),
    "deepseek-v3": mla(3, 256, 128, 129280, 163840, "fp8"),
    "deepseek-v3-0324": mla(3, 256, 128, 129280, 163840, "fp8"),
    "deepseek-v3.1": mla(3, 256, 128, 129280, 163840, "fp8"),
    "kimi-k2-instruct": mla(1, 384, 64, 163840, 131072, "fp8", groups=1, top_groups=1, mtp=0),
    "minimax-m2": gqa("MiniMaxM2ForCausalLM", 3072, 0, 62, 48, 8, 200064, 196608, qk_norm=True, whole_norm=True, fmt="fp8",
                      expert=1536, experts=256, top=8, moe="block_sparse_moe"),
    "deepseek-r1-distill-qwen-1.5b": qwen2(1536, 8960, 28, 12, 2, 151936, 131072),
    "deepseek-r1-distill-qwen-7b": qwen2(3584, 18944, 28, 28, 4, 152064, 131072),
    "deepseek-r1-distill-qwen-14b": qwen2(5120, 13824, 48, 40, 8, 152064, 131072),
    "deepseek-r1-distill-qwen-32b": qwen2(5120, 27648, 64, 40, 8, 152064, 131072),
    "deepseek-r1-distill-llama-8b": llama(4096, 14336, 32, 32),
    "deepseek-r1-distill-llama-70b": llama(8192, 28672, 80, 64),
    "deepseek-r1-0528-qwen3-8b": qwen3(4096, 12288, 36, 32, 8, context=131072),
    "qwen3-0.6b": qwen3(1024, 3072, 28, 16, 8, tied=True),
    "qwen3-1.7b": qwen3(2048, 6144, 28, 16, 8, tied=True),
    "qwen3-4b": qwen3(2560, 9728, 36, 32, 8, tied=True),
    "qwen3-8b": qwen3(4096, 12288, 36, 32, 8),
    "qwen3-14b": qwen3(5120, 17408, 40, 40, 8),
    "qwen3-32b": qwen3(5120, 25600, 64, 64, 8),
    "qwen3-32b:fp8": qwen3(5120, 25600, 64, 64, 8, fmt="fp8"),
    "qwen3-30b-a3b": qwen3_moe(2048, 48, 32, 4, 768),
    "qwen3-30b-a3b:fp8": qwen3_moe(2048, 48, 32, 4, 768, fmt="fp8"),
    "qwen3-235b-a22b": qwen3_moe(4096, 94, 64, 4, 1536),
    "qwen3-235b-a22b:fp8": qwen3_moe(4096, 94, 64, 4, 1536, fmt="fp8"),
    "qwen2.5-0.5b-instruct": qwen2(896, 4864, 24, 14, 2, 151936, 32768, tied=True, head=64),
    "qwen2.5-1.5b-instruct": qwen2(1536, 8960, 28, 12, 2, 151936, 32768, tied=True),
    "qwen2.5-3b-instruct": qwen2(2048, 11008, 36, 16, 2, 151936, 32768, tied=True),
    "qwen2.5-7b-instruct": qwen2(3584, 18944, 28, 28, 4, 152064, 32768),
    "qwen2.5-14b-instruct": qwen2(5120, 13824, 48, 40, 8, 152064, 32768),
    "qwen2.5-32b-instruct": qwen2(5120, 27648, 64, 40, 8, 152064, 32768),
    "qwen2.5-72b-instruct": qwen2(8192, 29568, 80, 64, 8, 152064, 32768),
    "llama-3.2-1b-instruct": llama(2048, 8192, 16, 32, tied=True, head=64),
    "llama-3.2-3b-instruct": llama(3072, 8192, 28, 24, tied=True),
    "llama-3.1-8b-instruct": llama(4096, 14336, 32, 32),
    "llama-3.1-70b-instruct": llama(8192, 28672, 80, 64),
    "llama-3.3-70b-instruct": llama(8192, 28672, 80, 64),
    "llama-3.1-405b-instruct": llama(16384, 53248, 126, 128),
}

# Forms that this build cannot start on GPUs; expectations are sums of what their papers and files say.
FOREIGN = {
    "kimi-k2-thinking": mla(1, 384, 64, 163840, 262144, "int4", groups=1, top_groups=1, mtp=0),
    "deepseek-r1:awq-int4": mla(3, 256, 128, 129280, 163840, "awq-int4"),
}

# GPUs as nvidia-smi shows them: MiB.
GPUS = {"H200": 143771, "H100-80GB": 81559, "H20": 97871, "A100-80GB": 81920, "A100-40GB": 40960, "L40S": 46068, "L4": 23034,
        "4090": 24564, "B200": 183359}


def config_json(g):
    """The row as the model's config.json says it."""
    c = {"architectures": [g["architecture"]], "hidden_size": g["hidden"], "num_hidden_layers": g["layers"],
         "num_attention_heads": g["heads"], "vocab_size": g["vocab"], MAX_CONTEXT: g["context"], "tie_word_embeddings": g["tied"],
         "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "torch_dtype": "bfloat16"}
    if g["kind"] == "mla":
        c.update(first_k_dense_replace=g["layers_dense"], intermediate_size=g["inter"], moe_intermediate_size=g["expert"],
                 n_routed_experts=g["experts"], n_shared_experts=g["shared"], num_experts_per_tok=g["top"], n_group=g["groups"],
                 topk_group=g["top_groups"], num_key_value_heads=g["heads"], q_lora_rank=g["q_rank"], kv_lora_rank=g["kv_rank"],
                 qk_nope_head_dim=g["nope"], qk_rope_head_dim=g["rope"], v_head_dim=g["v"], num_nextn_predict_layers=g["mtp"],
                 norm_topk_prob=True, routed_scaling_factor=2.5, topk_method="noaux_tc", scoring_func="sigmoid")
    else:
        c.update(intermediate_size=g["inter"] or g["expert"], num_key_value_heads=g["kv"], head_dim=g["head"])
        if "experts" in g:
            c.update(num_experts=g["experts"], num_experts_per_tok=g["top"], moe_intermediate_size=g["expert"],
                     norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])
    if g["architecture"] == "MiniMaxM2ForCausalLM":
        c.update(num_local_experts=g["experts"], rotary_dim=64, use_qk_norm=True, use_routing_bias=True, scoring_func="sigmoid")
    if g["fmt"] == "int4":
        c["quantization_config"] = {
            "quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed",
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
                "num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}}},
            "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"]}
    if g["fmt"] == "fp8":
        c["quantization_config"] = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
    return c
