"""A checkpoint that recites: script_model.make(folder, {question: [piece, ...]}).

One Llama layer whose attention and MLP are zero, so that the next token depends on the last one alone; the output
matrix is made so that each piece is followed by the next one of its script. Every piece is a token of its own. The chat
template picks the script by the last message and ends the prompt with that script's first token. So any output of a
model can be played through the whole program, in any pieces. Only the standard library.
"""

import array
import json
import math
import os
import random
import struct

HIDDEN = 64
INNER = 64
EOS = "<|end|>"


def byte_letters():
    """GPT-2's letters for bytes: printable ones stand for themselves."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        letters.setdefault(b, chr(256 + len(letters) - len(plain)))
    return letters


LETTERS = byte_letters()


def letters_of(text):
    return "".join(LETTERS[b] for b in text.encode())


def write_safetensors(path, tensors):
    header, at, data = {}, 0, []
    for name, (shape, values) in tensors.items():
        raw = array.array("f", values).tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


HEAD = "{# <think> </think> #}{%- if tools %}{{- tools | tojson }}<tool_call>{%- endif %}"


def make(folder, scripts, template_head=HEAD, context=1024):
    """Pieces of all scripts differ from each other and are no single ASCII characters."""
    os.makedirs(folder, exist_ok=True)
    vocab = {LETTERS[b]: b for b in range(256)}
    for pieces in scripts.values():
        for piece in pieces:
            assert letters_of(piece) not in vocab, f"piece twice: {piece!r}"
            vocab[letters_of(piece)] = len(vocab)
    names = [EOS, "<|im_start|>"] + [f"<|s{k}|>" for k in range(len(scripts))]
    ids = {name: len(vocab) + i for i, name in enumerate(names)}
    added = [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for name, i in ids.items()]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                 "pre_tokenizer": level, "post_processor": None, "decoder": level,
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                           "ignore_merges": False, "vocab": vocab, "merges": []}}
    choose = "".join(
        f"{{%- {'if' if k == 0 else 'elif'} messages[-1].content == {json.dumps(question)} %}}{{{{- '<|s{k}|>' }}}}"
        for k, question in enumerate(scripts)
    )
    template = (
        template_head
        + "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + (m.content or '') + '\\n' }}{%- endfor %}"
        + choose + "{%- else %}{{- '<|s0|>' }}{%- endif %}"
    )
    rows = len(vocab) + len(names)
    rng = random.Random(7)
    embedding = []
    for _ in range(rows):
        row = [rng.gauss(0, 1) for _ in range(HIDDEN)]
        norm = math.sqrt(sum(x * x for x in row))
        embedding.append([x / norm for x in row])
    head = [[0.0] * HIDDEN for _ in range(rows)]
    for k, pieces in enumerate(scripts.values()):
        chain = [ids[f"<|s{k}|>"], *(vocab[letters_of(p)] for p in pieces), ids[EOS]]
        for before, after in zip(chain, chain[1:]):
            head[after] = [h + 6 * e for h, e in zip(head[after], embedding[before])]

    def flat(matrix):
        return [x for row in matrix for x in row]

    layer = "model.layers.0."
    tensors = {"model.embed_tokens.weight": ([rows, HIDDEN], flat(embedding)),
               "lm_head.weight": ([rows, HIDDEN], flat(head)),
               "model.norm.weight": ([HIDDEN], [1.0] * HIDDEN)}
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        tensors[f"{layer}self_attn.{name}.weight"] = ([HIDDEN, HIDDEN], [0.0] * HIDDEN * HIDDEN)
    for name, shape in (("gate_proj", [INNER, HIDDEN]), ("up_proj", [INNER, HIDDEN]), ("down_proj", [HIDDEN, INNER])):
        tensors[f"{layer}mlp.{name}.weight"] = (shape, [0.0] * shape[0] * shape[1])
    for name in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"{layer}{name}.weight"] = ([HIDDEN], [1.0] * HIDDEN)
    write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
              "intermediate_size": INNER, "num_hidden_layers": 1, "num_attention_heads": 4,
              "num_key_value_heads": 4, "max_position_embeddings": context, "rms_norm_eps": 1e-6, "vocab_size": rows,
              "tie_word_embeddings": False, "hidden_act": "silu", "eos_token_id": ids[EOS], "rope_theta": 10000.0,
              "torch_dtype": "float32"}
    for name, content in (
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": EOS,
                                   "chat_template": template}),
        ("config.json", config),
        ("generation_config.json", {"eos_token_id": ids[EOS], "do_sample": False}),
    ):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(content, f, ensure_ascii=False)
    return folder
