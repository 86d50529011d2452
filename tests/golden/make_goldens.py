#!/usr/bin/env python3
"""Write the golden fixtures: tiny random checkpoints and the logits transformers gives for them.

    make_goldens.py OUT_DIR [NAME ...] [--notes FILE] [--jobs N]
    make_goldens.py OUT_DIR [NAME ...] --search N     the best of N prompts; writes nothing
    make_goldens.py OUT_DIR [NAME ...] --measure-bf16 only the keys about bf16, into fixtures that are there
    make_goldens.py --plan                  sizes only; needs neither torch nor transformers

Every expected value comes from Hugging Face transformers, run on the CPU in float32 with eager
attention, on a checkpoint that its own loader read. This file only draws the weights, stores them
in the format under test and records what came out. README.md describes the files it writes.
"""
import argparse
import json
import math
import os
import random
import sys
import tempfile
import traceback

MAX_BYTES = 300_000
NEW_TOKENS = 32
CLEAR_BF16 = 4.0  # a token is clear in bf16 if its gap is so many times the largest error of a logit
BLOCK = 128
TARGET_MAX_LOGIT = 8.0
ITEM = {"f32": 4, "bf16": 2, "f16": 2, "fp8": 1, "int4": 0.5}

# ------------------------------------------------------------------------------------------------
# What the fixtures are
# ------------------------------------------------------------------------------------------------

INT4_GROUP = 32
# Kimi-K2-Thinking's, whose routed experts alone are quantised.
INT4 = {
    "config_groups": {"group_0": {
        "input_activations": None, "output_activations": None, "targets": ["Linear"],
        "weights": {"actorder": None, "block_structure": None, "dynamic": False, "group_size": INT4_GROUP, "num_bits": 4,
                    "observer": "minmax", "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int"}}},
    "format": "pack-quantized",
    "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*"],
    "kv_cache_scheme": None, "quant_method": "compressed-tensors", "quantization_status": "compressed"}
FP8 = {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}


def is_dsv3(config):
    return config["model_type"] in ("deepseek_v3", "kimi_k2")


def is_minimax(config):
    return config["model_type"] == "minimax_m2"


def is_mixture(config):
    return is_dsv3(config) or is_minimax(config) or config["model_type"] == "qwen3_moe"


def dsv3(**changes):
    config = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "n_shared_experts": 1,
        "norm_topk_prob": True,
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "use_cache": True,
    }
    config.update(changes)
    config["num_key_value_heads"] = config["num_attention_heads"]
    return config


def llama(**changes):
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 2,
        "mlp_bias": False,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "use_cache": True,
    }
    config.update(changes)
    return config


def qwen(family, **changes):
    """Qwen2, Qwen3 or Qwen3Moe; `family` is model_type."""
    config = {
        "architectures": [{"qwen2": "Qwen2", "qwen3": "Qwen3", "qwen3_moe": "Qwen3Moe"}[family] + "ForCausalLM"],
        "model_type": family,
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        "eos_token_id": 3,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_sliding_window": False,
        "sliding_window": None,
    }
    if family != "qwen2":
        config["attention_bias"] = False
    config.update(changes)
    return config


def minimax(**changes):
    config = {
        "architectures": ["MiniMaxM2ForCausalLM"],
        "model_type": "minimax_m2",
        "attn_type_list": [1] * changes["num_hidden_layers"],
        "hidden_act": "silu",
        "attention_dropout": 0.0,
        "bos_token_id": None,
        "eos_token_id": None,
        "mlp_intermediate_size": 64,  # of no effect
        "qk_norm_type": "per_layer",
        "rms_norm_eps": 1e-6,
        "scoring_func": "sigmoid",
        "shared_intermediate_size": 0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_cache": True,
        "use_mtp": True,
        "num_mtp_modules": 3,
        "mtp_transformer_layers": 1,
        "use_qk_norm": True,
        "use_routing_bias": True,
    }
    config.update(changes)
    return config


FIXTURES = [
    {
        "name": "dsv3_base_f32",
        "what": "low-rank query, grouped expert selection, YaRN with mscale = mscale_all_dim, and inputs of the two inner "
        "norms small enough that their epsilon (1e-6, not rms_norm_eps 1e-5) decides the result; v4 configuration keys",
        "weights": "f32",
        "inner_mean_square": 2e-5,
        "generation_config": True,
        "config": dsv3(
            hidden_size=32, num_hidden_layers=3, num_attention_heads=8, q_lora_rank=24, kv_lora_rank=16,
            qk_nope_head_dim=8, qk_rope_head_dim=16, v_head_dim=8, intermediate_size=48, moe_intermediate_size=8,
            n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=3, routed_scaling_factor=2.5,
            rms_norm_eps=1e-5, vocab_size=160, max_position_embeddings=256, rope_theta=10000,
            rope_scaling={"type": "yarn", "factor": 8, "original_max_position_embeddings": 32, "beta_fast": 32,
                          "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
            torch_dtype="float32"),
    },
    {
        "name": "dsv3_qnull_f32",
        "what": "no query compression, one expert group, unnormalised expert weights, two shared experts, plain rotary "
        "embedding and a head tied to the embedding; v5 configuration keys",
        "weights": "f32",
        "config": dsv3(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=None, kv_lora_rank=24,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=16, intermediate_size=64, moe_intermediate_size=8,
            n_routed_experts=8, n_group=1, topk_group=1, num_experts_per_tok=3, n_shared_experts=2,
            norm_topk_prob=False, routed_scaling_factor=1.0, vocab_size=203, max_position_embeddings=256,
            tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000.0}, dtype="float32"),
    },
    {
        "name": "dsv3_yarn_mscale_f32",
        "what": "YaRN with mscale different from mscale_all_dim, 16 experts of which 4 from 3 of 4 groups, experts from "
        "layer 0 on, and the tensors of one multi-token-prediction layer, which must be skipped; v5 configuration keys",
        "weights": "f32",
        "config": dsv3(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=16, kv_lora_rank=16,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, intermediate_size=48, moe_intermediate_size=8,
            n_routed_experts=16, n_group=4, topk_group=3, num_experts_per_tok=4, routed_scaling_factor=2.5,
            first_k_dense_replace=0, num_nextn_predict_layers=1, vocab_size=163, max_position_embeddings=1024,
            rope_parameters={"rope_type": "yarn", "rope_theta": 500.0, "factor": 16.0,
                             "original_max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0,
                             "mscale": 0.707, "mscale_all_dim": 1.0},
            dtype="float32"),
    },
    {
        "name": "dsv3_bf16",
        "what": "bfloat16 weights with a float32 selection bias, four heads, three checkpoint files with an index",
        "weights": "bf16",
        "shards": 3,
        "generation_config": True,
        "config": dsv3(
            hidden_size=48, num_hidden_layers=3, num_attention_heads=4, q_lora_rank=32, kv_lora_rank=24,
            qk_nope_head_dim=16, qk_rope_head_dim=16, v_head_dim=16, intermediate_size=96, moe_intermediate_size=16,
            n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=2, routed_scaling_factor=2.5,
            vocab_size=203, max_position_embeddings=256, rope_theta=10000.0,
            rope_scaling={"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 32,
                          "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
            torch_dtype="bfloat16"),
    },
    {
        "name": "dsv3_fp8",
        "what": "FP8 weights with 128 x 128 block scales whose edge blocks are partial (dimensions 136, 144 and 256), so "
        "that tensor-parallel shards begin inside a block; v4 configuration keys",
        "weights": "fp8",
        "length": 42,
        "config": dsv3(
            hidden_size=136, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=40, kv_lora_rank=24,
            qk_nope_head_dim=24, qk_rope_head_dim=8, v_head_dim=8, intermediate_size=144, moe_intermediate_size=8,
            n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=3, routed_scaling_factor=2.5,
            vocab_size=157, max_position_embeddings=256, rope_theta=10000,
            rope_scaling={"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 32,
                          "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0},
            quantization_config=FP8, torch_dtype="bfloat16"),
    },
    {
        "name": "dsv3_fp8_small_groups",
        "what": "FP8 weights with two expert groups, no query compression, a latent of 132 (the split between latent and "
        "rotary rows lies inside a scale block) and some linear layers left in bfloat16; v5 configuration keys",
        "weights": "fp8",
        "length": 42,
        "unquantized": ["model.layers.0.self_attn.kv_a_proj_with_mqa", "model.layers.1.mlp.shared_experts"],
        "config": dsv3(
            hidden_size=72, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=None, kv_lora_rank=132,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=24, intermediate_size=136, moe_intermediate_size=16,
            n_routed_experts=8, n_group=2, topk_group=1, num_experts_per_tok=2, routed_scaling_factor=1.5,
            vocab_size=157, max_position_embeddings=256,
            rope_parameters={"rope_type": "default", "rope_theta": 2000.0},
            quantization_config=dict(FP8, modules_to_not_convert=[
                "model.layers.0.self_attn.kv_a_proj_with_mqa", "model.layers.1.mlp.shared_experts", "lm_head"]),
            dtype="bfloat16"),
    },
    {
        "name": "dsv3_top1_bias_f32",
        "what": "one expert per token from one of two groups, and attention_bias true (biases on q_a_proj, "
        "kv_a_proj_with_mqa and o_proj); v5 configuration keys",
        "weights": "f32",
        "config": dsv3(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=24, kv_lora_rank=16,
            qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=16, intermediate_size=56, moe_intermediate_size=16,
            n_routed_experts=8, n_group=2, topk_group=1, num_experts_per_tok=1, routed_scaling_factor=1.5,
            attention_bias=True, vocab_size=160, max_position_embeddings=256,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, dtype="float32"),
    },
    {
        "name": "dsv3_negative_bias_f32",
        "what": "a selection bias so negative that experts of dropped groups would win if they were masked with 0 "
        "instead of -inf; v4 configuration keys without rope scaling",
        "weights": "f32",
        "selection_bias": (-1.3, -0.5),
        "config": dsv3(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=24, kv_lora_rank=16,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, intermediate_size=48, moe_intermediate_size=16,
            n_routed_experts=8, n_group=4, topk_group=2, num_experts_per_tok=3, routed_scaling_factor=2.5,
            vocab_size=160, max_position_embeddings=256, rope_theta=10000.0, rope_scaling=None, torch_dtype="float32"),
    },
    {
        "name": "llama_base_f32",
        "what": "8 query heads on 2 key-value heads, head_dim unequal to hidden_size / heads, llama3 rope scaling that is "
        "active within the prompt; v4 configuration keys",
        "weights": "f32",
        "generation_config": True,
        "config": llama(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=16,
            intermediate_size=56, vocab_size=203, max_position_embeddings=512, rope_theta=500000.0,
            rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                          "original_max_position_embeddings": 64},
            torch_dtype="float32"),
    },
    {
        "name": "llama_tied_f32",
        "what": "a head tied to the embedding, biases on all seven projections (o_proj and down_proj too), as many "
        "key-value heads as heads, no head_dim key, plain rotary embedding; v5 configuration keys",
        "weights": "f32",
        "config": llama(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=8, intermediate_size=40,
            vocab_size=203, max_position_embeddings=256, attention_bias=True, mlp_bias=True, rms_norm_eps=1e-6,
            tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
            dtype="float32"),
    },
    {
        "name": "llama_yarn_f32",
        "what": "YaRN with an explicit attention_factor, 4 key-value heads; v5 configuration keys",
        "weights": "f32",
        "config": llama(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=16,
            intermediate_size=48, vocab_size=163, max_position_embeddings=128,
            rope_parameters={"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0,
                             "original_max_position_embeddings": 32, "beta_fast": 4.0, "beta_slow": 1.0,
                             "attention_factor": 1.25},
            dtype="float32"),
    },
    {
        "name": "llama_yarn_auto_f32",
        "what": "YaRN without attention_factor or betas, where max_position_embeddings / "
        "original_max_position_embeddings (16) is not the given factor (4); v4 configuration keys",
        "weights": "f32",
        "config": llama(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=1, head_dim=16,
            intermediate_size=48, vocab_size=163, max_position_embeddings=512, rope_theta=2000.0,
            rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
            torch_dtype="float32"),
    },
    {
        "name": "llama_linear_bf16",
        "what": "bfloat16 weights, linear rope scaling by 4, two checkpoint files with an index; v4 configuration keys",
        "weights": "bf16",
        "shards": 2,
        "config": llama(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=16,
            intermediate_size=96, vocab_size=203, max_position_embeddings=512, rope_theta=10000.0,
            rope_scaling={"type": "linear", "factor": 4.0}, torch_dtype="bfloat16"),
    },
    {
        "name": "llama_f16",
        "what": "float16 weights, 8 query heads on 2 key-value heads, biases on attention only; v5 configuration keys",
        "weights": "f16",
        "config": llama(
            hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=16,
            intermediate_size=96, vocab_size=203, max_position_embeddings=256, attention_bias=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, dtype="float16"),
    },
    {
        "name": "dsv3_defaults_f32",
        "what": "rope_interleave false (half-split pairs), and n_group, topk_group, routed_scaling_factor, "
        "norm_topk_prob, rope_theta and rope_scaling left to the defaults of the class (8, 4, 2.5, true, 10000)",
        "weights": "f32",
        "without": ["norm_topk_prob"],
        "config": dsv3(
            hidden_size=24, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=16, kv_lora_rank=16,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, intermediate_size=48, moe_intermediate_size=8,
            n_routed_experts=16, num_experts_per_tok=4, rope_interleave=False, vocab_size=163,
            max_position_embeddings=256, torch_dtype="float32"),
    },
    {
        "name": "llama_dynamic_f32",
        "what": "dynamic rope scaling inside max_position_embeddings, where it is the plain embedding; 8 key-value heads",
        "weights": "f32",
        "config": llama(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=8, head_dim=8,
            intermediate_size=56, vocab_size=163, max_position_embeddings=128, rope_theta=5000.0,
            rope_scaling={"type": "dynamic", "factor": 4.0}, torch_dtype="float32"),
    },
    {
        "name": "qwen2_tied_f32",
        "what": "biases on q, k and v, 8 query heads on 2 key-value heads, tied head, neither head_dim nor rope_theta "
        "(default 10000); v4 configuration keys",
        "weights": "f32",
        "generation_config": True,
        "config": qwen(
            "qwen2", hidden_size=64, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
            intermediate_size=56, vocab_size=203, max_position_embeddings=256, tie_word_embeddings=True,
            max_window_layers=2, sliding_window=64, torch_dtype="float32"),
    },
    {
        "name": "qwen2_yarn_bf16",
        "what": "bfloat16 weights in two files with an index, biases on q, k and v, YaRN, 4 key-value heads, "
        "layer_types; v5 configuration keys",
        "weights": "bf16",
        "shards": 2,
        "config": qwen(
            "qwen2", hidden_size=80, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4,
            intermediate_size=104, vocab_size=203, max_position_embeddings=256, rms_norm_eps=1e-5,
            layer_types=["full_attention", "full_attention"],
            rope_parameters={"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0,
                             "original_max_position_embeddings": 64, "beta_fast": 8.0},
            dtype="bfloat16"),
    },
    {
        "name": "qwen3_base_f32",
        "what": "norms of every query and key head, whose epsilon 1e-3 is the model's; head_dim unequal to hidden_size / "
        "heads, 2 key-value heads; v4 configuration keys",
        "weights": "f32",
        "config": qwen(
            "qwen3", hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=16,
            intermediate_size=56, vocab_size=203, max_position_embeddings=256, rms_norm_eps=1e-3,
            rope_theta=100000.0, rope_scaling=None, max_window_layers=2, torch_dtype="float32"),
    },
    {
        "name": "qwen3_yarn_attn_factor_f32",
        "what": "YaRN with attn_factor 1/(0.1 ln 4 + 1) as DeepSeek-R1-0528-Qwen3-8B has it, which cancels the "
        "multiplier (transformers does not know the key; the reference ran with the product as attention_factor), "
        "attention_bias true, 4 key-value heads; v4 configuration keys",
        "weights": "f32",
        "config": qwen(
            "qwen3", hidden_size=32, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=16,
            intermediate_size=56, vocab_size=163, max_position_embeddings=256, attention_bias=True, rope_theta=2000.0,
            rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
                          "attn_factor": 0.8782488562869419},
            torch_dtype="float32"),
    },
    {
        "name": "qwen3_tied_bf16",
        "what": "bfloat16 weights, tied head, 1 key-value head for all ranks; v5 configuration keys",
        "weights": "bf16",
        "config": qwen(
            "qwen3", hidden_size=64, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=1, head_dim=16,
            intermediate_size=88, vocab_size=203, max_position_embeddings=256, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}, dtype="bfloat16"),
    },
    {
        "name": "qwen3_fp8",
        "what": "FP8 weights with partial scale blocks (136, 144) and modules_to_not_convert, tied head, 2 key-value "
        "heads; v4 configuration keys",
        "weights": "fp8",
        "length": 42,
        "config": qwen(
            "qwen3", hidden_size=136, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=16,
            intermediate_size=144, vocab_size=157, max_position_embeddings=256, tie_word_embeddings=True,
            rope_theta=50000, rope_scaling=None, torch_dtype="bfloat16",
            quantization_config=dict(FP8, modules_to_not_convert=[
                "lm_head", "model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm",
                "model.layers.1.input_layernorm", "model.layers.1.post_attention_layernorm"])),
    },
    {
        "name": "qwen3moe_norm_f32",
        "what": "3 of 8 experts with norm_topk_prob true in every layer, 2 key-value heads; v4 configuration keys",
        "weights": "f32",
        "config": qwen(
            "qwen3_moe", hidden_size=32, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
            head_dim=16, intermediate_size=48, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=3,
            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], vocab_size=160,
            max_position_embeddings=256, rope_theta=100000.0, rope_scaling=None, torch_dtype="float32"),
    },
    {
        "name": "qwen3moe_mixed_f32",
        "what": "experts only in layer 1 of 4: decoder_sparse_step 2 and mlp_only_layers [3]; norm_topk_prob false, 4 "
        "key-value heads; v5 configuration keys",
        "weights": "f32",
        "config": qwen(
            "qwen3_moe", hidden_size=24, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=4,
            head_dim=16, intermediate_size=32, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=2,
            norm_topk_prob=False, decoder_sparse_step=2, mlp_only_layers=[3], vocab_size=163,
            max_position_embeddings=256, rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, dtype="float32"),
    },
    {
        "name": "qwen3moe_fp8",
        "what": "FP8 weights with partial scale blocks, routers and head in modules_to_not_convert, a dense first layer "
        "(mlp_only_layers [0]), norm_topk_prob true, tied head; v4 configuration keys",
        "weights": "fp8",
        "length": 42,
        "config": qwen(
            "qwen3_moe", hidden_size=132, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4,
            head_dim=16, intermediate_size=136, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=2,
            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[0], vocab_size=157,
            max_position_embeddings=256, tie_word_embeddings=True, rope_theta=30000.0, rope_scaling=None,
            torch_dtype="bfloat16",
            quantization_config=dict(FP8, modules_to_not_convert=[
                "lm_head", "model.layers.0.input_layernorm", "model.layers.1.input_layernorm",
                "model.layers.1.mlp.gate"])),
    },
    {
        "name": "llama_longrope_f32",
        "what": "longrope beyond its original context of 16 positions: the long factors for the whole prompt; the "
        "multiplier from max_position_embeddings / original_max_position_embeddings, as no factor is given",
        "weights": "f32",
        "config": llama(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
            intermediate_size=56, vocab_size=163, max_position_embeddings=256,
            rope_parameters={"rope_type": "longrope", "rope_theta": 5000.0, "original_max_position_embeddings": 16,
                             "short_factor": [1.0, 1.1, 1.3, 1.5, 1.9, 2.2, 2.6, 3.1],
                             "long_factor": [1.0, 1.4, 2.1, 3.3, 5.2, 8.0, 12.5, 16.0]},
            dtype="float32"),
    },
    {
        "name": "llama_longrope_short_f32",
        "what": "longrope inside its original context, which is given beside max_position_embeddings as Phi-3 does: the "
        "short factors; a factor and an attention_factor of its own; v4 configuration keys",
        "weights": "f32",
        "config": llama(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=8,
            intermediate_size=56, vocab_size=163, max_position_embeddings=512, original_max_position_embeddings=96,
            rope_theta=3000.0,
            rope_scaling={"type": "longrope", "factor": 4.0, "attention_factor": 1.15,
                          "short_factor": [1.2, 1.7, 2.4, 3.0], "long_factor": [1.5, 4.0, 9.0, 20.0]},
            torch_dtype="float32"),
    },
    {
        "name": "llama_d64_bf16",
        "what": "shapes of the fast attention kernels: head_dim 64, 8 query heads on 4 key-value heads, bfloat16, llama3 "
        "rope scaling; every width a multiple of 8 at 1, 2 and 4 ranks; v5 configuration keys",
        "weights": "bf16",
        "prompt": 52,
        "config": llama(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=64,
            intermediate_size=64, vocab_size=160, max_position_embeddings=512,
            rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
            dtype="bfloat16"),
    },
    {
        "name": "qwen3_d128_bf16",
        "what": "shapes of the fast attention kernels: head_dim 128, norms of query and key heads, 4 query heads on 2 "
        "key-value heads, bfloat16; v4 configuration keys",
        "weights": "bf16",
        "prompt": 139,
        "config": qwen(
            "qwen3", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=128,
            intermediate_size=64, vocab_size=160, max_position_embeddings=256, rope_theta=10000.0, rope_scaling=None,
            torch_dtype="bfloat16"),
    },
    {
        "name": "qwen2_d64_bf16",
        "what": "shapes of the fast attention kernels: head_dim 64, biases on q, k and v, 8 query heads on 2 key-value "
        "heads, tied head, bfloat16; v4 configuration keys",
        "weights": "bf16",
        "prompt": 5,
        "config": qwen(
            "qwen2", hidden_size=32, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=64,
            intermediate_size=96, vocab_size=192, max_position_embeddings=256, tie_word_embeddings=True,
            rope_theta=10000.0, rope_scaling=None, max_window_layers=2, torch_dtype="bfloat16"),
    },
    {
        "name": "qwen3moe_d128_bf16",
        "what": "shapes of the fast attention kernels: head_dim 128 with 2 of 8 experts before a dense last layer, 4 query "
        "heads on 2 key-value heads, bfloat16; no expert selection that bf16 could change; v5 configuration keys",
        "weights": "bf16",
        "prompt": 18,
        "token_routes": 4.0,
        "config": qwen(
            "qwen3_moe", hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=128, intermediate_size=64, moe_intermediate_size=16, num_experts=8, num_experts_per_tok=2,
            norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[1], vocab_size=128,
            max_position_embeddings=256,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, dtype="bfloat16"),
    },
    {
        "name": "kimi_int4",
        "what": "Kimi-K2: experts in packed INT4 with bfloat16 scales for groups of 32, everything else in bfloat16; no expert "
        "groups, one dense layer, YaRN with equal betas; v4 configuration keys",
        "weights": "int4",
        "length": 42,
        "config": dsv3(
            model_type="kimi_k2", hidden_size=64, num_hidden_layers=2, num_attention_heads=8, q_lora_rank=40, kv_lora_rank=24,
            qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, intermediate_size=72, moe_intermediate_size=64,
            n_routed_experts=6, n_group=1, topk_group=1, num_experts_per_tok=2, routed_scaling_factor=2.827,
            vocab_size=157, max_position_embeddings=256, rope_theta=50000.0, rms_norm_eps=1e-5,
            rope_scaling={"type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 1.0,
                          "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0},
            quantization_config=INT4, torch_dtype="bfloat16"),
    },
    {
        "name": "minimax_fp8",
        "what": "norms over all query heads and over all key heads together, heads of 20 of which 8 dimensions turn, 2 of 5 "
        "experts by sigmoid and a selection bias; FP8 weights with partial scale blocks (160, 136), 4 key-value heads; v4 "
        "configuration keys",
        "weights": "fp8",
        "length": 42,
        "selection_bias": (-0.5, 1.0),  # so that e4m3 changes few selections
        "config": minimax(
            hidden_size=40, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=20, rotary_dim=8,
            intermediate_size=136, num_local_experts=5, num_experts_per_tok=2, vocab_size=157,
            max_position_embeddings=256, rope_theta=10000, torch_dtype="bfloat16",
            quantization_config=dict(FP8, fmt="float8_e4m3fn",
                                     modules_to_not_convert=["gate", "e_score_correction_bias", "lm_head"])),
    },
    {
        "name": "minimax_f32",
        "what": "no selection bias, an epsilon 1e-3 that the norms of queries and keys have too, half of every head turns, 3 of "
        "6 experts, 2 key-value heads; v5 configuration keys",
        "weights": "f32",
        "config": minimax(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2, head_dim=16,
            intermediate_size=24, num_local_experts=6, num_experts_per_tok=3, vocab_size=163,
            max_position_embeddings=256, rms_norm_eps=1e-3, use_routing_bias=False, use_mtp=False,
            rope_parameters={"rope_type": "default", "rope_theta": 50000.0, "partial_rotary_factor": 0.5},
            dtype="float32"),
    },
    {
        "name": "spark_f32",
        "what": "LayerNorm with bias whose epsilon 1e-3 decides, an MLP gated by gelu, biases on q, k and v, 2 key-value heads; "
        "the reference is StableLM's class, whose parts these are",
        "weights": "f32",
        "config": {
            "architectures": ["SparkForCausalLM"], "model_type": "spark", "hidden_act": "gelu", "attention_bias": False,
            "qkv_bias": True, "mlp_bias": False, "bos_token_id": 1, "eos_token_id": 5, "pad_token_id": 0, "layer_norm_eps": 1e-3,
            "tie_word_embeddings": False, "use_cache": True, "hidden_size": 64, "num_hidden_layers": 2,
            "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 163,
            "max_position_embeddings": 256, "rope_theta": 1000000.0, "torch_dtype": "float32"},
    },
    {
        "name": "minimax_d128_bf16",
        "what": "shapes of the fast attention kernels: heads of 128 of which 64 dimensions turn, norms over all heads together, 2 of 6 "
        "experts, 4 query heads on 2 key-value heads, bfloat16; no expert selection that bf16 could change; v4 configuration keys",
        "weights": "bf16",
        "prompt": 17,
        "selection_bias": (-0.05, 0.05),
        "token_routes": 4.0,
        "config": minimax(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=128, rotary_dim=64,
            intermediate_size=8, num_local_experts=6, num_experts_per_tok=2, vocab_size=128, max_position_embeddings=256,
            rope_theta=10000.0, torch_dtype="bfloat16"),
    },
]
for _spec in FIXTURES:
    for _key in _spec.get("without", []):
        del _spec["config"][_key]


def legal_tp(config):
    sizes = []
    for tp in (1, 2, 4, 8):
        kv = config["num_key_value_heads"]
        if config["num_attention_heads"] % tp == 0 and (kv % tp == 0 or tp % kv == 0):
            sizes.append(tp)
    return sizes


# ------------------------------------------------------------------------------------------------
# Names and shapes of a checkpoint
# ------------------------------------------------------------------------------------------------


def attention_shapes(config, prefix):
    c, h, heads = config, config["hidden_size"], config["num_attention_heads"]
    if not is_dsv3(c):
        d = c.get("head_dim") or h // heads
        kv = c["num_key_value_heads"]
        rows = [("q_proj", heads * d, h), ("k_proj", kv * d, h), ("v_proj", kv * d, h), ("o_proj", h, heads * d)]
        biased = {"q_proj", "k_proj", "v_proj", "o_proj"} if c.get("attention_bias") else set()
        if c["model_type"] == "qwen2" or c.get("qkv_bias"):
            biased = {"q_proj", "k_proj", "v_proj"}
        norms = [("q_norm", d), ("k_norm", d)] if c["model_type"].startswith("qwen3") else []
        if is_minimax(c):
            norms = [("q_norm", heads * d), ("k_norm", kv * d)]
    else:
        nope, rope, v, latent = c["qk_nope_head_dim"], c["qk_rope_head_dim"], c["v_head_dim"], c["kv_lora_rank"]
        rows, norms = [], [("kv_a_layernorm", latent)]
        if c["q_lora_rank"] is None:
            rows += [("q_proj", heads * (nope + rope), h)]
        else:
            rows += [("q_a_proj", c["q_lora_rank"], h), ("q_b_proj", heads * (nope + rope), c["q_lora_rank"])]
            norms += [("q_a_layernorm", c["q_lora_rank"])]
        rows += [("kv_a_proj_with_mqa", latent + rope, h), ("kv_b_proj", heads * (nope + v), latent),
                 ("o_proj", h, heads * v)]
        biased = {"q_a_proj", "kv_a_proj_with_mqa", "o_proj"} if c["attention_bias"] else set()
    for name, out, width in rows:
        yield f"{prefix}{name}.weight", (out, width)
        if name in biased:
            yield f"{prefix}{name}.bias", (out,)
    for name, width in norms:
        yield f"{prefix}{name}.weight", (width,)


def mlp_shapes(prefix, hidden, width, bias):
    for name, out, into in (("gate_proj", width, hidden), ("up_proj", width, hidden), ("down_proj", hidden, width)):
        yield f"{prefix}{name}.weight", (out, into)
        if bias:
            yield f"{prefix}{name}.bias", (out,)


def norm_shapes(config, name):
    yield name + ".weight", (config["hidden_size"],)
    if config["model_type"] == "spark":
        yield name + ".bias", (config["hidden_size"],)


def has_experts(config, index):
    if is_dsv3(config):
        return index >= config["first_k_dense_replace"]
    if config["model_type"] == "qwen3_moe":
        return index not in config["mlp_only_layers"] and (index + 1) % config["decoder_sparse_step"] == 0
    return is_minimax(config)


def layer_shapes(config, index):
    c, h, prefix = config, config["hidden_size"], f"model.layers.{index}."
    yield from norm_shapes(c, prefix + "input_layernorm")
    yield from attention_shapes(c, prefix + "self_attn.")
    yield from norm_shapes(c, prefix + "post_attention_layernorm")
    if not has_experts(c, index):
        yield from mlp_shapes(prefix + "mlp.", h, c["intermediate_size"], c.get("mlp_bias", False))
        return
    if is_minimax(c):
        prefix += "block_sparse_moe."
        yield prefix + "gate.weight", (c["num_local_experts"], h)
        if c["use_routing_bias"]:
            yield prefix + "e_score_correction_bias", (c["num_local_experts"],)
        for expert in range(c["num_local_experts"]):
            for name, shape in (("w1", (c["intermediate_size"], h)), ("w2", (h, c["intermediate_size"])),
                                ("w3", (c["intermediate_size"], h))):
                yield f"{prefix}experts.{expert}.{name}.weight", shape
        return
    experts = c["num_experts"] if c["model_type"] == "qwen3_moe" else c["n_routed_experts"]
    yield prefix + "mlp.gate.weight", (experts, h)
    if is_dsv3(c):
        yield prefix + "mlp.gate.e_score_correction_bias", (experts,)
    for expert in range(experts):
        yield from mlp_shapes(f"{prefix}mlp.experts.{expert}.", h, c["moe_intermediate_size"], False)
    if c["model_type"] == "qwen3_moe":
        return
    yield from mlp_shapes(prefix + "mlp.shared_experts.", h, c["n_shared_experts"] * c["moe_intermediate_size"], False)


def tensor_shapes(config):
    h, vocab, layers = config["hidden_size"], config["vocab_size"], config["num_hidden_layers"]
    yield "model.embed_tokens.weight", (vocab, h)
    for index in range(layers):
        yield from layer_shapes(config, index)
    yield from norm_shapes(config, "model.norm")
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocab, h)
    for index in range(layers, layers + config.get("num_nextn_predict_layers", 0)):
        prefix = f"model.layers.{index}."
        yield from layer_shapes(config, index)
        yield prefix + "embed_tokens.weight", (vocab, h)
        yield prefix + "enorm.weight", (h,)
        yield prefix + "hnorm.weight", (h,)
        yield prefix + "eh_proj.weight", (h, 2 * h)
        yield prefix + "shared_head.norm.weight", (h,)
        yield prefix + "shared_head.head.weight", (vocab, h)


def is_mtp(config, name):
    parts = name.split(".")
    return parts[1] == "layers" and int(parts[2]) >= config["num_hidden_layers"]


def storage(spec, name, shape):
    """The stored format of one tensor: f32, bf16, f16, fp8 or int4."""
    weights = spec["weights"]
    if is_mtp(spec["config"], name):
        return "bf16"  # these are never read; the smaller type only saves space
    if name.endswith("e_score_correction_bias"):
        return "f32"
    if weights == "int4":
        return "int4" if ".mlp.experts." in name else "bf16"
    if weights != "fp8":
        return weights
    linear = len(shape) == 2 and ("_proj" in name.split(".")[-2] or name.split(".")[-2] in ("w1", "w2", "w3"))
    left_out = any(name.startswith(module + ".") for module in spec.get("unquantized", []))
    return "fp8" if linear and not left_out else "bf16"


def plan_bytes(spec):
    total = 0
    for name, shape in tensor_shapes(spec["config"]):
        kind = storage(spec, name, shape)
        total += math.prod(shape) * ITEM[kind] + len(name) + 60
        if kind == "fp8":
            total += 4 * math.prod(-(-n // BLOCK) for n in shape) + len(name) + 70
        if kind == "int4":
            total += math.prod(shape) // INT4_GROUP * 2 + 2 * (len(name) + 70)
    return total + 4 * spec.get("length", 44) * spec["config"]["vocab_size"] + 6000


# ------------------------------------------------------------------------------------------------
# Prompts
# ------------------------------------------------------------------------------------------------


def boundary_ids(vocab):
    """Ids on both sides of every boundary between vocabulary shards, for 2, 4 and 8 ranks."""
    ids = {0, vocab - 1}
    for tp in (2, 4, 8):
        for rank in range(1, tp):
            for edge in (rank * vocab // tp, -(-rank * vocab // tp)):
                ids.update((edge - 1, edge, edge + 1))
    return sorted(ids)


def prompt(vocab, length, rng):
    ids = boundary_ids(vocab)
    assert len(ids) + 6 <= length, (len(ids), length)
    ids += [rng.randrange(vocab) for _ in range(length - len(ids))]
    rng.shuffle(ids)
    return ids


# ------------------------------------------------------------------------------------------------
# Weights
# ------------------------------------------------------------------------------------------------

# Standard deviation of a projection's output per unit of input. Queries and keys are large enough
# that attention is far from uniform; the router's scores spread over most of (0, 1).
GAIN = {"q_proj": 1.5, "q_b_proj": 1.4, "k_proj": 1.5, "kv_b_proj": 1.4, "kv_a_proj_with_mqa": 1.4, "gate": 1.2,
        "gate_proj": 1.3, "up_proj": 1.3, "down_proj": 1.4, "w1": 1.3, "w3": 1.3, "w2": 1.4}


def draw(spec, gen):
    import torch

    config = spec["config"]
    low, high = spec.get("selection_bias", (-0.1, 0.5))
    tensors = {}
    for name, shape in tensor_shapes(config):
        leaf, kind = name.split(".")[-2:] if "." in name else ("", name)
        if kind == "e_score_correction_bias":
            value = torch.rand(shape, generator=gen) * (high - low) + low
        elif kind == "bias":
            value = torch.randn(shape, generator=gen) * 0.3
        elif len(shape) == 1:
            value = torch.rand(shape, generator=gen) + 0.5
        elif leaf == "embed_tokens":
            value = torch.randn(shape, generator=gen) * 0.05
        else:
            value = torch.randn(shape, generator=gen) * GAIN.get(leaf, 1.0) / math.sqrt(shape[1])
        inner = spec.get("inner_mean_square")
        if inner and leaf == "q_a_proj":
            value *= math.sqrt(inner)
        if inner and leaf == "kv_a_proj_with_mqa":
            value[: config["kv_lora_rank"]] *= math.sqrt(inner) / GAIN[leaf]
        if storage(spec, name, shape) == "fp8":
            for r in range(0, shape[0], BLOCK):  # blocks of clearly different scale
                for c in range(0, shape[1], BLOCK):
                    value[r : r + BLOCK, c : c + BLOCK] *= 0.6 + torch.rand((), generator=gen).item()
        tensors[name] = value.float()
    if "token_routes" in spec:
        route_by_token(tensors, spec["config"], spec["token_routes"], gen)
    return tensors


def route_by_token(tensors, config, strength, gen):
    """Lets every id prefer experts of its own, so clearly that rounding to bf16 changes no selection: they stand in the
    first columns of its embedding, which the routers read."""
    import torch

    experts, top = config.get("num_experts") or config["num_local_experts"], config["num_experts_per_tok"]
    embedding = tensors["model.embed_tokens.weight"]
    chosen = torch.rand((len(embedding), experts), generator=gen).topk(top, dim=-1).indices
    embedding *= 10
    embedding[:, :experts] = torch.zeros((len(embedding), experts)).scatter_(1, chosen, strength)
    for name, value in tensors.items():
        if name.endswith(("mlp.gate.weight", "block_sparse_moe.gate.weight")):
            value *= 0.1
            value[:, :experts] += 0.5 * torch.eye(experts)


def pack_int4(name, value):
    """Symmetric groups of columns, as compressed-tensors stores them (tests/unit/base/packed_vectors.py compares with the
    library)."""
    import torch

    rows, cols = value.shape
    groups = value.reshape(rows, cols // INT4_GROUP, INT4_GROUP)
    scale = (groups.abs().amax(dim=-1) / 7.5).to(torch.bfloat16)
    codes = (groups / scale.float()[:, :, None]).round().clamp(-8, 7).reshape(rows, cols // 8, 8).to(torch.int64) + 8
    words = (codes << (4 * torch.arange(8))).sum(dim=-1)
    return {name + "_packed": torch.where(words >= 2**31, words - 2**32, words).to(torch.int32),
            name + "_scale": scale,
            name + "_shape": torch.tensor([rows, cols], dtype=torch.int64)}


def unpack_int4(words, scale):
    """As the library does: integers times scales in the type of the scales."""
    import torch

    codes = (words.to(torch.int64)[:, :, None] >> (4 * torch.arange(8)) & 15).reshape(len(words), -1) - 8
    return (codes.to(scale.dtype) * scale.repeat_interleave(INT4_GROUP, dim=1)).float()


def encode(spec, tensors):
    """The tensors as they are stored."""
    import torch

    stored = {}
    for name, value in tensors.items():
        kind = storage(spec, name, value.shape)
        if kind == "int4":
            stored.update(pack_int4(name, value))
            continue
        if kind != "fp8":
            stored[name] = value.to({"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[kind])
            continue
        rows, cols = value.shape
        scale = torch.empty((-(-rows // BLOCK), -(-cols // BLOCK)))
        quantized = torch.empty((rows, cols))
        for i in range(scale.shape[0]):
            for j in range(scale.shape[1]):
                where = (slice(i * BLOCK, (i + 1) * BLOCK), slice(j * BLOCK, (j + 1) * BLOCK))
                scale[i, j] = value[where].abs().max() / 448.0
                quantized[where] = (value[where] / scale[i, j]).clamp(-448.0, 448.0)
        stored[name] = quantized.to(torch.float8_e4m3fn)
        stored[name + "_scale_inv"] = scale
    return stored


def decode(stored):
    """Float32 values of stored tensors, under the names a checkpoint without quantization has."""
    import torch

    values = {}
    for name, value in stored.items():
        if name.endswith(("_scale_inv", "_scale", "_shape")):
            continue
        if name.endswith("_packed"):
            name = name.removesuffix("_packed")
            values[name] = unpack_int4(value, stored[name + "_scale"]).contiguous()
            continue
        scale = stored.get(name + "_scale_inv")
        value = value.to(torch.float32)
        if scale is not None:
            rows = torch.arange(value.shape[0]) // BLOCK
            cols = torch.arange(value.shape[1]) // BLOCK
            value = value * scale[rows][:, cols]
        values[name] = value.contiguous()
    return values


# ------------------------------------------------------------------------------------------------
# Files
# ------------------------------------------------------------------------------------------------


def write_json(path, value, indent=2):
    with open(path, "w") as file:
        json.dump(value, file, indent=indent)
        file.write("\n")


def write_checkpoint(folder, config, stored, shards=1):
    from safetensors.torch import save_file

    os.makedirs(folder, exist_ok=True)
    write_json(os.path.join(folder, "config.json"), config)
    size = {name: value.numel() * value.element_size() for name, value in stored.items()}
    if shards == 1:
        save_file(stored, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    total, seen, parts, index = sum(size.values()), 0, [{} for _ in range(shards)], {}
    for name, value in stored.items():
        part = min(seen * shards // total, shards - 1)
        seen += size[name]
        parts[part][name] = value
        index[name] = f"model-{part + 1:05d}-of-{shards:05d}.safetensors"
    for part, tensors in enumerate(parts):
        path = os.path.join(folder, f"model-{part + 1:05d}-of-{shards:05d}.safetensors")
        save_file(tensors, path, metadata={"format": "pt"})
    write_json(os.path.join(folder, "model.safetensors.index.json"),
               {"metadata": {"total_size": total}, "weight_map": dict(sorted(index.items()))}, 0)


def read_checkpoint(folder):
    from safetensors.torch import load_file

    stored = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".safetensors"):
            stored.update(load_file(os.path.join(folder, name)))
    return stored


def write_golden(folder, golden):
    """One line per key, so that a difference between two versions can be read."""
    with open(os.path.join(folder, "golden.json"), "w") as file:
        lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


# ------------------------------------------------------------------------------------------------
# The reference
# ------------------------------------------------------------------------------------------------


def reference_config(config):
    """What transformers is given: float32, decoded weights, and attn_factor under a name it knows."""
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    if plain["model_type"] == "kimi_k2":  # whose own code is DeepSeek-V3's
        plain["model_type"] = "deepseek_v3"
    for key in ("torch_dtype", "dtype"):
        if key in plain:
            plain[key] = "float32"
    for key in ("rope_scaling", "rope_parameters"):
        rope = dict(plain.get(key) or {})
        if "attn_factor" in rope:
            multiplier = rope.get("attention_factor") or 0.1 * math.log(rope["factor"]) + 1.0
            rope["attention_factor"] = multiplier * rope.pop("attn_factor")
            plain[key] = rope
    if plain["model_type"] == "spark":
        plain.update(architectures=["StableLmForCausalLM"], model_type="stablelm", use_qkv_bias=plain["qkv_bias"],
                     partial_rotary_factor=1.0)
    if is_minimax(plain):
        # This version of transformers ignores rotary_dim, and knows no model without a selection bias.
        share = plain["rotary_dim"] / plain["head_dim"] if "rotary_dim" in plain else 1.0
        rope = plain.pop("rope_parameters", {"rope_type": "default", "rope_theta": plain.pop("rope_theta", 5e6)})
        plain["rope_parameters"] = {"partial_rotary_factor": share, **rope}
    return plain


def load_reference(config, values, note, bf16=False):
    """The model, loaded by transformers from a float32 copy of the checkpoint; with `bf16` rounded to that as it loads,
    to run in it."""
    import torch
    from transformers import AutoModelForCausalLM

    plain = reference_config(config)
    if is_minimax(config) and not config["use_routing_bias"]:
        values = {**values, **{f"model.layers.{i}.block_sparse_moe.e_score_correction_bias":
                               torch.zeros(config["num_local_experts"]) for i in range(config["num_hidden_layers"])}}
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder, plain, values)
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16 if bf16 else torch.float32, attn_implementation="eager",
            output_loading_info=True)
    model.eval()
    if is_mixture(config) and hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    problems = {key: sorted(map(str, names)) for key, names in info.items() if names}
    unexpected = problems.pop("unexpected_keys", [])
    assert all(is_mtp(config, name) for name in unexpected), unexpected  # the extra layer is not part of the model
    assert not problems, problems
    assert all((bf16 or p.dtype == torch.float32) and p.device.type == "cpu" for p in model.parameters())
    assert model.config._attn_implementation == "eager"
    note(f"class {type(model).__name__}, experts {getattr(model.config, '_experts_implementation', None)}, "
         f"{len(values)} tensors, {len(unexpected)} unexpected: {unexpected[:3]}")
    return model


def forward(model, ids):
    import torch

    with torch.no_grad():
        return model(input_ids=torch.tensor(ids), use_cache=False).logits


def greedy(model, prompts):
    """New ids and top-1/top-2 gaps, recomputing the whole sequence for every token."""
    rows, gaps = [list(ids) for ids in prompts], [[] for _ in prompts]
    for _ in range(NEW_TOKENS):
        best = forward(model, rows)[:, -1].topk(2, dim=-1)
        for i, row in enumerate(rows):
            row.append(int(best.indices[i, 0]))
            gaps[i].append(float(best.values[i, 0] - best.values[i, 1]))
    return [row[len(ids):] for row, ids in zip(rows, prompts)], gaps


def router_inputs(model, ids):
    """Per layer with experts its router's name and what it reads, [sequences, tokens, hidden] or flat."""
    seen, hooks = [], []
    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            def hook(_, args, kwargs, name=name):
                seen.append((name, (args or list(kwargs.values()))[0].detach()))

            hooks.append(module.register_forward_pre_hook(hook, with_kwargs=True))
    forward(model, ids)
    for hook in hooks:
        hook.remove()
    return seen


def router_values(config, values, name):
    """Weight and selection bias of the router that transformers calls `name`."""
    import torch

    if not is_minimax(config):
        return values[name + ".weight"], values.get(name + ".e_score_correction_bias")
    block = name.replace(".mlp.gate", ".block_sparse_moe.")
    return values[block + "gate.weight"], values.get(block + "e_score_correction_bias",
                                                     torch.zeros(config["num_local_experts"]))


def router_error(model, rounded, config, values, ids):
    """The largest difference between the router scores of the two models, f32 and bf16."""
    def scores(run):
        for name, states in router_inputs(run, ids):
            logits = (states.flatten(0, -2) @ router_values(config, values, name)[0].to(states.dtype).T).float()
            yield logits.softmax(-1) if config["model_type"] == "qwen3_moe" else logits.sigmoid()

    return max(float((a - b).abs().max()) for a, b in zip(scores(model), scores(rounded)))


def routing(model, config, values, ids):
    """How clear the expert selection of these sequences is; used to choose a prompt and for notes.

    Returns one row per token and layer: (margin of the selection, selection differs without bias,
    without groups, with 0 instead of -inf as the mask).
    """
    import torch

    if not is_mixture(config):
        return None
    rows = []
    seen = router_inputs(model, ids)
    groups, keep, top = config.get("n_group", 8), config.get("topk_group", 4), config["num_experts_per_tok"]
    if is_minimax(config):
        groups = keep = 1

    def choose(scores, mask):
        grouped = scores.view(len(scores), groups, -1)
        sums = grouped.topk(2, dim=-1).values.sum(-1).sort(-1, descending=True)
        margin = sums.values[:, keep - 1] - sums.values[:, keep] if keep < groups else torch.full((len(scores),), 9.0)
        kept = torch.zeros_like(sums.values).scatter_(1, sums.indices[:, :keep], 1.0).bool()
        masked = grouped.masked_fill(~kept[:, :, None], mask).flatten(1).sort(-1, descending=True)
        gap = masked.values[:, top - 1] - masked.values[:, top]
        return masked.indices[:, :top].sort(-1).values, torch.minimum(margin, gap.nan_to_num(posinf=9.0))

    for name, states in seen:
        states = states.reshape(-1, states.shape[-1])
        weight, bias = router_values(config, values, name)
        if config["model_type"] == "qwen3_moe":
            sorted_scores = (states @ weight.T).softmax(-1).sort(-1, descending=True).values
            margin = sorted_scores[:, top - 1] - sorted_scores[:, top]
            rows.append(torch.stack([margin] + [torch.zeros_like(margin)] * 3, -1))
            continue
        scores = (states @ weight.T).sigmoid()
        biased = scores + bias
        picked, margin = choose(biased, float("-inf"))
        without_bias = choose(scores, float("-inf"))[0]
        without_groups = biased.topk(top, dim=-1).indices.sort(-1).values
        zero_mask = choose(biased, 0.0)[0]
        differs = [(picked != other).any(-1) for other in (without_bias, without_groups, zero_mask)]
        rows.append(torch.stack([margin] + [d.float() for d in differs], -1))
    return torch.stack(rows)  # [layer, token, 4]


def nmse(got, want):
    return float(((got - want) ** 2).sum() / (want ** 2).sum())


def ablations(model, config, ids, want, note):
    """What the logits would lose if a feature were ignored. Never an expected value: a check that
    the fixture can tell."""
    import torch

    def measure(label, changes):
        old = [(o, k, getattr(o, k)) for o, k, _ in changes]
        for o, k, value in changes:
            setattr(o, k, value)
        got = forward(model, [ids])[0]
        for o, k, value in old:
            setattr(o, k, value)
        note(f"  without {label}: NMSE {nmse(got, want):.3e}")

    rotary = model.model.rotary_emb
    attention = [layer.self_attn for layer in model.model.layers]
    dim = config.get("qk_rope_head_dim") or config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    theta = (config.get("rope_parameters") or config).get("rope_theta", 10000.0)
    dim = 2 * len(rotary.inv_freq)
    plain = 1.0 / theta ** (torch.arange(0, dim, 2).float() / dim)
    measure("rotary embedding", [(rotary, "inv_freq", torch.zeros_like(rotary.inv_freq))])
    measure("rope scaling", [(rotary, "inv_freq", plain)])
    measure("cos/sin multiplier", [(rotary, "attention_scaling", 1.0)])
    measure("attention scores", [(a, "scaling", 0.0) for a in attention])
    if is_dsv3(config):
        head = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
        measure("softmax mscale", [(a, "scaling", head ** -0.5) for a in attention])
        norms = [a.kv_a_layernorm for a in attention]
        norms += [a.q_a_layernorm for a in attention if config["q_lora_rank"] is not None]
        note(f"  inner eps {sorted({n.variance_epsilon for n in norms})}")
        measure("inner eps (outer one instead)", [(n, "variance_epsilon", config["rms_norm_eps"]) for n in norms])
        outer = [m for layer in model.model.layers for m in (layer.input_layernorm, layer.post_attention_layernorm)]
        measure("outer eps (inner one instead)", [(n, "variance_epsilon", norms[0].variance_epsilon) for n in outer])
        owners = [m for m in model.modules() if hasattr(m, "norm_topk_prob")]
        measure("norm_topk_prob as given", [(m, "norm_topk_prob", not m.norm_topk_prob) for m in owners])
        measure("routed_scaling_factor", [(m, "routed_scaling_factor", 1.0)
                                          for m in model.modules() if hasattr(m, "routed_scaling_factor")])


def check_minimax_attention(model, config, values, ids, note):
    """The reference's attention against one in NumPy, written from the rules: all heads of q and all heads of k are
    normalised together, then the first rotary dimensions of each head turn, by pairs (i, i + half), the others stay."""
    import numpy

    seen, hooks = [], []
    for layer in model.model.layers:
        hooks.append(layer.self_attn.register_forward_hook(
            lambda _, args, kwargs, out: seen.append(((args or [kwargs["hidden_states"]])[0], out[0])), with_kwargs=True))
    forward(model, [ids])
    for hook in hooks:
        hook.remove()
    heads, kv, d = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    rope = config.get("rope_parameters") or config
    turned = config.get("rotary_dim") or int(d * rope["partial_rotary_factor"])
    half = turned // 2
    angles = numpy.arange(len(ids))[:, None] * rope["rope_theta"] ** (-2.0 * numpy.arange(half) / turned)
    cos, sin = numpy.cos(angles)[:, None], numpy.sin(angles)[:, None]

    def norm(x, weight):
        return x / numpy.sqrt((x ** 2).mean(-1, keepdims=True) + config["rms_norm_eps"]) * weight

    def turn(x):
        a, b = x[..., :half], x[..., half:turned]
        return numpy.concatenate([a * cos - b * sin, b * cos + a * sin, x[..., turned:]], -1)

    worst = 0.0
    for index, (x, out) in enumerate(seen):
        def weight(name):
            return values[f"model.layers.{index}.self_attn.{name}.weight"].numpy().astype("f8")

        x = x[0].numpy().astype("f8")
        q = turn(norm(x @ weight("q_proj").T, weight("q_norm")).reshape(-1, heads, d))
        k = turn(norm(x @ weight("k_proj").T, weight("k_norm")).reshape(-1, kv, d)).repeat(heads // kv, 1)
        v = (x @ weight("v_proj").T).reshape(-1, kv, d).repeat(heads // kv, 1)
        scores = numpy.einsum("qhd,khd->hqk", q, k) / d ** 0.5
        scores += numpy.triu(numpy.full(scores.shape[1:], -numpy.inf), 1)
        shares = numpy.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        want = numpy.einsum("hqk,khd->qhd", shares, v).reshape(len(ids), -1) @ weight("o_proj").T
        worst = max(worst, float(abs(out[0].numpy() - want).max() / abs(want).max()))
    note(f"  attention: differs from NumPy's by {worst:.2e} of the largest value")
    assert worst < 1e-5, worst


def chunked(model, ids, size):
    import torch

    past, out = None, []
    with torch.no_grad():
        for start in range(0, len(ids), size):
            result = model(input_ids=torch.tensor([ids[start : start + size]]), past_key_values=past, use_cache=True)
            past = result.past_key_values
            out.append(result.logits[0])
    return torch.cat(out)


def measure_bf16(config, values, model, rounded, ids, tail):
    """How far transformers' own bf16 run is from its f32 run: the keys of golden.json about it."""
    difference = forward(rounded, [ids + tail])[0].float() - forward(model, [ids + tail])[0]
    want = forward(model, [ids])[0]
    rows = (difference[: len(ids)] ** 2).sum(-1) / (want ** 2).sum(-1)
    found = {"bf16_nmse": nmse(want + difference[: len(ids)], want), "bf16_row_nmse": float(rows.median()),
             "bf16_gap": float(difference.abs().max())}
    routes = routing(model, config, values, [ids + tail])
    if routes is not None:
        found["router_margin"] = float(routes[..., 0].min())
        found["bf16_router_error"] = router_error(model, rounded, config, values, [ids + tail])
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def clear_in_bf16(gaps, found):
    """Leading tokens that bf16 cannot change, all such tokens, and whether no expert can change either."""
    clear = [gap >= CLEAR_BF16 * found["bf16_gap"] for gap in gaps] + [False]
    # Two scores may each be off by the error, towards each other.
    steady = found.get("router_margin", 9.0) > 2 * found.get("bf16_router_error", 0.0)
    return clear.index(False), sum(clear), steady


def search(spec, seed, count):
    """The number of the prompt whose continuation bf16 disturbs least, with what was found about it."""
    import torch

    config, length = spec["config"], spec.get("length", 44)
    tensors = draw(spec, torch.Generator().manual_seed(seed))
    scale_last_norm(spec, tensors, seed)
    values = decode(encode(spec, tensors))
    model = load_reference(config, values, lambda text: None)
    rounded = load_reference(config, values, lambda text: None, bf16=True)
    rng = random.Random(seed)
    prompts = [prompt(config["vocab_size"], length, rng) for _ in range(count)]
    best, best_key = None, None
    for begin in range(0, count, 64):
        new, gaps = greedy(model, prompts[begin : begin + 64])
        for i, (tail, gap) in enumerate(zip(new, gaps), begin):
            if min(gap) <= 0.02 or config.get("eos_token_id") in tail or sum(g > 0.5 for g in gap) < 12:
                continue
            found = measure_bf16(config, values, model, rounded, prompts[i], tail)
            leading, clear, steady = clear_in_bf16(gap, found)
            key = (steady, min(clear, 12), min(len(set(tail)), 16), min(leading, 4), clear)
            if best_key is None or key > best_key:
                best, best_key = (i, leading, clear, steady, len(set(tail)), min(gap), found), key
                print(best, flush=True)
    return best


def scale_last_norm(spec, tensors, seed):
    """Gives the logits of the first prompt the wanted spread."""
    config, length = spec["config"], spec.get("length", 44)
    model = load_reference(config, decode(encode(spec, tensors)), lambda text: None)
    first = prompt(config["vocab_size"], length, random.Random(seed))
    tensors["model.norm.weight"] *= TARGET_MAX_LOGIT / float(forward(model, [first]).abs().max())


def choose_prompt(model, config, values, length, seed, note):
    """The prompt whose continuation has no near-tie, neither between tokens nor between experts."""
    rng = random.Random(seed)
    prompts = [prompt(config["vocab_size"], length, rng) for _ in range(8)]
    new, gaps = greedy(model, prompts)
    best, best_key = None, None
    for ids, tail, gap in zip(prompts, new, gaps):
        routes = routing(model, config, values, [ids + tail])
        margin = 9.0 if routes is None else float(routes[..., 0].min())
        clear = min(gap) > 0.02 and margin > 1e-4 and config["eos_token_id"] not in tail
        key = (clear, len(set(tail)), min(gap))
        note(f"  candidate: least gap {min(gap):.4f}, selection margin {margin:.2e}, {len(set(tail))} different new ids")
        if best_key is None or key > best_key:
            best, best_key = ids, key
    if not best_key[0]:
        note("  WARNING: no candidate prompt is free of near-ties")
    return best


def make(spec, out, seed):
    """Write one fixture; returns the notes about it."""
    import numpy
    import torch
    import transformers

    lines = [f"== {spec['name']}"]
    note = lines.append
    config, length = spec["config"], spec.get("length", 44)
    gen = torch.Generator().manual_seed(seed)
    tensors = draw(spec, gen)

    scale_last_norm(spec, tensors, seed)
    folder = os.path.join(out, spec["name"])
    write_checkpoint(folder, config, encode(spec, tensors), spec.get("shards", 1))
    if spec.get("generation_config"):
        write_json(os.path.join(folder, "generation_config.json"),
                   {"bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"]})

    # From here on only what is in the files counts.
    values = decode(read_checkpoint(folder))
    model = load_reference(config, values, note)
    if "prompt" in spec:
        rng = random.Random(seed)
        ids = [prompt(config["vocab_size"], length, rng) for _ in range(spec["prompt"] + 1)][-1]
    else:
        ids = choose_prompt(model, config, values, length, seed, note)
    if is_minimax(config):
        check_minimax_attention(model, config, values, ids, note)
    logits = forward(model, [ids])[0]
    assert logits.shape == (length, config["vocab_size"]) and torch.isfinite(logits).all()
    new, gaps = greedy(model, [ids])
    numpy.save(os.path.join(folder, "logits.npy"), logits.numpy().astype("<f4"))
    rounded = load_reference(config, values, lambda text: None, bf16=True)
    found = measure_bf16(config, values, model, rounded, ids, new[0])
    leading, clear, steady = clear_in_bf16(gaps[0], found)
    note(f"  bf16: {found}; {leading} leading and {clear} tokens are clear, experts {'steady' if steady else 'may change'}")
    assert "prompt" not in spec or (clear >= 10 and steady and min(gaps[0]) > 0.02), "search another prompt"
    rotary, scaling = model.model.rotary_emb, float(model.model.layers[0].self_attn.scaling)
    write_golden(folder, {
        "architecture": config["architectures"][0],
        "what": spec["what"],
        "weights": spec["weights"],
        "ids": ids,
        "greedy": new[0],
        "greedy_gap": [round(gap, 6) for gap in gaps[0]],
        "legal_tp": legal_tp(config),
        "transformers": transformers.__version__,
        "inv_freq": [float(f"{f:.9g}") for f in rotary.inv_freq.tolist()],
        "rope_multiplier": float(rotary.attention_scaling),
        "softmax_scale": scaling,
        **found,
    })

    top = float(logits.abs().max())
    for size in (7, 1):
        again = chunked(model, ids, size)
        note(f"  chunks of {size}: max diff / max {float((again - logits).abs().max()) / top:.2e}, NMSE {nmse(again, logits):.2e}")
    note(f"  max |logit| {top:.3f}, std {float(logits.std()):.3f}, least gap {min(gaps[0]):.4f}, new ids {new[0]}")
    note(f"  inv_freq {rotary.inv_freq.tolist()} multiplier {rotary.attention_scaling} softmax scale {scaling}")
    routes = routing(model, config, values, [ids + new[0]])
    if routes is not None:
        share = routes[..., 1:].mean((0, 1)).tolist()
        note(f"  selection: least margin {float(routes[..., 0].min()):.2e}; share of tokens that would choose otherwise "
             f"without bias {share[0]:.2f}, without groups {share[1]:.2f}, with mask 0 {share[2]:.2f}")
    ablations(model, config, ids, logits, note)
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    note(f"  {size} bytes")
    assert size < MAX_BYTES, size
    return "\n".join(lines)


def add_bf16(spec, out, seed):
    """Measures bf16 for a fixture that is there and writes golden.json again with what it found."""
    folder = os.path.join(out, spec["name"])
    with open(os.path.join(folder, "golden.json")) as file:
        golden = json.load(file)
    values = decode(read_checkpoint(folder))
    model = load_reference(spec["config"], values, lambda text: None)
    rounded = load_reference(spec["config"], values, lambda text: None, bf16=True)
    golden.update(measure_bf16(spec["config"], values, model, rounded, golden["ids"], golden["greedy"]))
    write_golden(folder, golden)
    return f"{spec['name']}: {dict(list(golden.items())[-5:])}"


def guarded(job):
    import torch

    torch.set_num_threads(2)
    work, spec, out, seed = job
    try:
        return True, work(spec, out, seed)
    except Exception:
        return False, f"== {spec['name']} FAILED\n{traceback.format_exc()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--notes")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--search", type=int, default=0)
    parser.add_argument("--measure-bf16", action="store_true")
    args = parser.parse_intermixed_args()
    if args.plan:
        for spec in FIXTURES:
            edge = boundary_ids(spec["config"]["vocab_size"])
            print(f"{spec['name']:28s} about {round(plan_bytes(spec)):7d} bytes, {len(edge)} boundary ids, "
                  f"tp {legal_tp(spec['config'])}")
        return 0
    if not args.out:
        parser.error("OUT_DIR is missing")
    # The seed depends on the place in the list alone, so one fixture can be remade by itself.
    work = add_bf16 if args.measure_bf16 else make
    if args.search:
        def work(spec, out, seed):
            return f"{spec['name']}: {search(spec, seed, args.search)}"
    jobs = [(work, spec, args.out, 1000 + i) for i, spec in enumerate(FIXTURES)
            if not args.names or spec["name"] in args.names]
    if args.jobs > 1:
        import multiprocessing

        import transformers  # noqa: F401  imported once, before the processes split

        with multiprocessing.get_context("fork").Pool(args.jobs) as pool:
            results = pool.map(guarded, jobs, chunksize=1)
    else:
        results = [guarded(job) for job in jobs]
    text = "\n".join(lines for _, lines in results) + "\n"
    if args.notes:
        with open(args.notes, "w") as file:
            file.write(text)
    print(text)
    failed = [job[1]["name"] for job, (ok, _) in zip(jobs, results) if not ok]
    print(f"{len(jobs) - len(failed)} written, {len(failed)} failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
