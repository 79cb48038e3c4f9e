#!/usr/bin/env python3
"""Small models of every architecture with their logits, from a forward pass in plain
numpy and double precision that shares nothing with lib/model/forward.c: one sequence
at a time, the whole attention matrix, no cache.

    gen_nets.py               writes tests/data/nets/
    gen_nets.py --f32 DIR     the same GGUF files with F32 matrices, into DIR

A case is NAME/ (config.json and model.safetensors as Hugging Face writes them) or
NAME.gguf (metadata and tensors as llama.cpp's converter makes them), or both with the
same weights, and NAME.want: numbers parted by white space,

    n_seq  n_vocab  n_rows
    n id id ...               n_seq times: a sequence of n tokens, positions from 0
    seq pos logit logit ...   n_rows times: n_vocab logits after the token at POS

NAME-long.want is the same for one sequence of 1300 tokens.

A single-precision forward pass should meet them within TOL. To make sure that it does
so for the right reason, every case names ways to be wrong (no window, one too wide,
no scaling, ...): the script stops unless each moves some logit by 100 TOL or more.

Weights are multiples of 1/128 below 2 in size, so they are exact in F16, BF16 and F32
alike; norm gains multiples of 1/64, so 1 + w is exact too.

check_nets.py holds all of it against other programs: the folders against transformers
(largest difference 5e-14 where that computes in double, 8e-5 as it comes), the GGUF
files against llama.cpp (5e-5). The 27B cases and nothing else are checked by llama.cpp
alone; mistral, gemma2-scalar and gemma3-v5 by transformers alone.

Needs numpy and gguf.
"""

import json
import os
import struct
import sys

import gguf
import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nets")
TOL = 2e-4
VOCAB = 96
CONTEXT = 512

# --- the forward pass ---------------------------------------------------------------


def rope_freq(base, hd, scaling, n_ctx):
    """Turns per position of each pair, and the factor on both q and k (yarn)."""
    freq = base ** (-np.arange(0, hd, 2) / hd)
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return freq, 1.0
    s = scaling["factor"]
    if kind == "linear":
        return freq / s, 1.0
    old = scaling["original_max_position_embeddings"]
    if kind == "llama3":
        # Meta's apply_scaling: long waves are stretched, short ones left, between
        # them a blend that is linear in the turns made in the old context
        lo, hi = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = old * freq / (2 * np.pi)
        keep = np.clip((turns - lo) / (hi - lo), 0, 1)
        return freq * (keep + (1 - keep) / s), 1.0
    if kind == "yarn":
        # arXiv 2309.00071, section 3.2, with the rounding of the authors' code

        def pair_of(turns):
            return hd * np.log(old / (turns * 2 * np.pi)) / (2 * np.log(base))

        first = max(np.floor(pair_of(scaling.get("beta_fast", 32))), 0)
        last = min(np.ceil(pair_of(scaling.get("beta_slow", 1))), hd - 1)
        mix = np.clip((np.arange(hd // 2) - first) / (last - first), 0, 1)
        return freq * (1 - mix) + freq / s * mix, 0.1 * np.log(s) + 1
    raise ValueError(kind)


def net_of(c):
    """What the pass needs, from a Hugging Face config."""
    arch, layers = c["model_type"].removesuffix("_text"), c["num_hidden_layers"]
    hd = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    gemma = arch.startswith("gemma")
    params = c.get("rope_parameters") or {}
    scaling = c.get("rope_scaling") or {}
    base, local = c.get("rope_theta"), c.get("rope_local_base_freq")
    if "full_attention" in params:
        scaling = params["full_attention"]
        local = params["sliding_attention"]["rope_theta"]
    elif params:
        scaling = params
    base = scaling.get("rope_theta", base)
    window = [0] * layers
    if arch == "mistral" and c["sliding_window"]:
        window = [c["sliding_window"]] * layers
    if arch == "gemma2":  # local first, then by turns
        window = [c["sliding_window"] * (i % 2 == 0) for i in range(layers)]
    if arch == "gemma3":  # every sixth is global
        window = [c["sliding_window"] * ((i + 1) % 6 != 0) for i in range(layers)]
    return {
        "layers": layers, "heads": c["num_attention_heads"], "head_dim": hd,
        "kv_heads": c["num_key_value_heads"], "eps": c["rms_norm_eps"],
        "plus_one": gemma, "act": "gelu" if gemma else "silu",
        "embed_scale": np.sqrt(c["hidden_size"]) if gemma else 1.0,
        "scale": c.get("query_pre_attn_scalar", hd) ** -0.5,
        "attn_cap": c.get("attn_logit_softcapping"),
        "final_cap": c.get("final_logit_softcapping"),
        "sandwich": arch in ("gemma2", "gemma3"), "window": window,
        "rope": rope_freq(base, hd, scaling, CONTEXT),
        "rope_local": (rope_freq(local, hd, {}, CONTEXT) if local else
                       rope_freq(base, hd, scaling, CONTEXT)),
        "adjacent": False, "group": "block", "norm_first": True,
    }  # fmt: skip


def rms(x, w, net):
    g = 1 + w if net["plus_one"] else w
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + net["eps"]) * g


def rotate(x, rope, adjacent):
    """x[head][pos][head_dim]"""
    freq, gain = rope
    angle = np.arange(x.shape[1])[:, None] * freq
    c, s = gain * np.cos(angle), gain * np.sin(angle)
    out = np.empty_like(x)
    half = x.shape[2] // 2
    i, j = (slice(0, None, 2), slice(1, None, 2)) if adjacent else (
        slice(0, half), slice(half, None))  # fmt: skip
    out[..., i] = x[..., i] * c - x[..., j] * s
    out[..., j] = x[..., j] * c + x[..., i] * s
    return out


def attention(x, w, at, layer, net):
    n, hd = len(x), net["head_dim"]

    def project(p):
        y = x @ w[at + p + "_proj.weight"].T + w.get(at + p + "_proj.bias", 0)
        return y.reshape(n, -1, hd).transpose(1, 0, 2)

    q, k, v = project("q"), project("k"), project("v")
    rope = net["rope_local"] if net["window"][layer] else net["rope"]

    def norm(q, k):
        if at + "q_norm.weight" not in w:
            return q, k
        return (rms(q, w[at + "q_norm.weight"], net),
                rms(k, w[at + "k_norm.weight"], net))  # fmt: skip

    if net["norm_first"]:
        q, k = norm(q, k)
    q, k = rotate(q, rope, net["adjacent"]), rotate(k, rope, net["adjacent"])
    if not net["norm_first"]:
        q, k = norm(q, k)
    each = net["heads"] // net["kv_heads"]
    if net["group"] == "block":  # heads 0, 1, .. each - 1 share the first
        k, v = np.repeat(k, each, 0), np.repeat(v, each, 0)
    else:
        k, v = np.tile(k, (each, 1, 1)), np.tile(v, (each, 1, 1))
    score = q @ k.transpose(0, 2, 1) * net["scale"]
    if net["attn_cap"]:
        score = net["attn_cap"] * np.tanh(score / net["attn_cap"])
    ago = np.arange(n)[:, None] - np.arange(n)
    seen = ago >= 0
    if net["window"][layer]:
        seen &= ago < net["window"][layer]
    score = np.where(seen, score, -np.inf)
    p = np.exp(score - score.max(-1, keepdims=True))
    y = p / p.sum(-1, keepdims=True) @ v
    return y.transpose(1, 0, 2).reshape(n, -1) @ w[at + "o_proj.weight"].T


def act(x, name):
    if name == "silu":
        return x / (1 + np.exp(-x))
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def forward(net, w, tokens):
    """logits[len(tokens)][n_vocab]; W in double, by Hugging Face's names."""
    x = w["model.embed_tokens.weight"][tokens] * net["embed_scale"]
    for i in range(net["layers"]):
        at = "model.layers.%d." % i
        y = rms(x, w[at + "input_layernorm.weight"], net)
        y = attention(y, w, at + "self_attn.", i, net)
        before = "post_attention_layernorm.weight"
        if net["sandwich"]:
            y = rms(y, w[at + "post_attention_layernorm.weight"], net)
            before = "pre_feedforward_layernorm.weight"
        x = x + y
        y = rms(x, w[at + before], net)
        y = act(y @ w[at + "mlp.gate_proj.weight"].T, net["act"]) * (
            y @ w[at + "mlp.up_proj.weight"].T)  # fmt: skip
        y = y @ w[at + "mlp.down_proj.weight"].T
        if net["sandwich"]:
            y = rms(y, w[at + "post_feedforward_layernorm.weight"], net)
        x = x + y
    x = rms(x, w["model.norm.weight"], net)
    y = x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T
    cap = net["final_cap"]
    return cap * np.tanh(y / cap) if cap else y


# --- the models ---------------------------------------------------------------------

CLASS = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM",
    "gemma": "GemmaForCausalLM", "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
}  # fmt: skip


def config(arch, layers, d, heads, kv, ff, **more):
    gelu = {"hidden_activation": "gelu_pytorch_tanh"}
    c = {
        "architectures": [CLASS[arch]], "model_type": arch,
        "num_hidden_layers": layers, "hidden_size": d, "num_attention_heads": heads,
        "num_key_value_heads": kv, "intermediate_size": ff, "vocab_size": VOCAB,
        "max_position_embeddings": CONTEXT, "rms_norm_eps": 0.03,
        "tie_word_embeddings": arch.startswith("gemma"),
        "bos_token_id": 1, "eos_token_id": 2,
        **(gelu if arch.startswith("gemma") else {"hidden_act": "silu"}),
    }  # fmt: skip
    if "rope_parameters" not in more:
        c["rope_theta"] = 10000.0
    c.update(more)
    return c


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
GEMMA2 = {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 4.0,
          "sliding_window": 8}  # fmt: skip

# name: config, dtype of the safetensors (None: no folder), of the GGUF, a long sequence
CASES = {
    "llama": (config("llama", 3, 36, 3, 1, 52, rope_scaling=None), "BF16", "BF16", 300),
    "llama-tied": (config("llama", 2, 32, 4, 2, 48, tie_word_embeddings=True),
                   "F16", "F32", 0),
    "llama-llama3": (config("llama", 2, 32, 2, 1, 48, rope_scaling=LLAMA3),
                     "BF16", "F16", 0),
    "llama-linear": (config("llama", 2, 32, 4, 2, 40, head_dim=12, rope_scaling={
        "type": "linear", "factor": 4.0}), "BF16", "F16", 0),
    "llama-yarn": (config("llama", 2, 32, 2, 1, 48, rope_theta=500.0,
                          rope_scaling=YARN), "BF16", "BF16", 0),
    "mistral": (config("mistral", 3, 32, 4, 2, 48, head_dim=None, sliding_window=8),
                "BF16", None, 300),
    # the window is not used, as in the released models
    "qwen2": (config("qwen2", 2, 32, 4, 2, 48, rope_theta=1e6, sliding_window=8,
                     use_sliding_window=False, max_window_layers=2,
                     tie_word_embeddings=True), "BF16", "F16", 0),
    "qwen3": (config("qwen3", 2, 32, 4, 2, 48, head_dim=16, rope_parameters={
        "rope_type": "default", "rope_theta": 1000.0}), "BF16", "BF16", 0),
    "gemma": (config("gemma", 2, 32, 4, 1, 48, head_dim=16), "BF16", "BF16", 0),
    "gemma2": (config("gemma2", 4, 32, 4, 2, 40, head_dim=16,
                      query_pre_attn_scalar=16, **GEMMA2), "BF16", "F16", 0),
    "gemma2-scalar": (config("gemma2", 2, 32, 4, 2, 40, head_dim=16,
                             query_pre_attn_scalar=3, **GEMMA2), "F32", None, 0),
    "gemma3": (config("gemma3_text", 7, 32, 2, 1, 32, head_dim=16, rope_theta=1e6,
                      rope_local_base_freq=500.0, query_pre_attn_scalar=16,
                      sliding_window=8, sliding_window_pattern=6, rope_scaling={
                          "rope_type": "linear", "factor": 8.0}), "BF16", "F16", 300),
    # as transformers 5 writes it
    "gemma3-v5": (config("gemma3_text", 6, 16, 2, 1, 16, head_dim=16,
                         query_pre_attn_scalar=5, sliding_window=8, rope_parameters={
                             "full_attention": {"rope_type": "linear", "factor": 8.0,
                                                "rope_theta": 1e6},
                             "sliding_attention": {"rope_type": "default",
                                                   "rope_theta": 500.0}},
                         layer_types=["sliding_attention"] * 5 + ["full_attention"]),
                  "BF16", None, 0),
    # GGUF says the attention scale by the number of layers alone: 46 and 62 are the
    # 27B models', with n_embd / n_head in place of head_dim
    "gemma2-27b": (config("gemma2", 46, 8, 2, 1, 8, head_dim=8,
                          query_pre_attn_scalar=4, **GEMMA2), None, "BF16", 0),
    "gemma3-27b": (config("gemma3_text", 62, 8, 2, 1, 8, head_dim=8, rope_theta=1e6,
                          rope_local_base_freq=10000.0, query_pre_attn_scalar=4,
                          sliding_window=8), None, "BF16", 0),
}  # fmt: skip


def weights(c, rng):
    """By Hugging Face's names, float32."""
    d, ff, heads, kv = (c[k] for k in ("hidden_size", "intermediate_size",
                                       "num_attention_heads", "num_key_value_heads"))
    hd = c.get("head_dim") or d // heads
    arch = c["model_type"].removesuffix("_text")
    gemma = arch.startswith("gemma")
    # what a layer adds, so that 46 or 62 of them do not magnify a rounding error
    add, spread = (0.25, 0.1) if c["num_hidden_layers"] > 20 else (1.0, 0.3)
    w = {}

    def grid(shape, size, step, limit):
        k = np.round(rng.standard_normal(shape) * size / step)
        return (np.clip(k, -limit, limit) * step).astype(np.float32)

    def matrix(name, rows, cols, gain):
        w[name] = grid((rows, cols), gain * cols**-0.5, 1 / 128, 255)

    def norm(name, n, mean=1.0, size=0.3):
        w[name] = (grid(n, size, 1 / 64, 40) + np.float32(mean - gemma)).astype("f")

    matrix("model.embed_tokens.weight", VOCAB, d, 2.5 if gemma else 0.7 * d**0.5)
    if not c["tie_word_embeddings"]:
        matrix("lm_head.weight", VOCAB, d, 2)
    for i in range(c["num_hidden_layers"]):
        at = "model.layers.%d." % i
        norm(at + "input_layernorm.weight", d)
        for p, rows in ("q", heads * hd), ("k", kv * hd), ("v", kv * hd):
            matrix(at + "self_attn.%s_proj.weight" % p, rows, d, 1 if p == "v" else 1.5)
            if arch == "qwen2":
                w[at + "self_attn.%s_proj.bias" % p] = grid(rows, 0.6, 1 / 64, 127)
        matrix(at + "self_attn.o_proj.weight", d, heads * hd, 2)
        if arch in ("qwen3", "gemma3"):
            for p in "qk":
                norm(at + "self_attn.%s_norm.weight" % p, hd, 1.25)
        norm(at + "post_attention_layernorm.weight", d, add, spread)
        if arch in ("gemma2", "gemma3"):
            norm(at + "pre_feedforward_layernorm.weight", d)
            norm(at + "post_feedforward_layernorm.weight", d, add, spread)
        matrix(at + "mlp.gate_proj.weight", ff, d, 1.5)
        matrix(at + "mlp.up_proj.weight", ff, d, 1.5)
        matrix(at + "mlp.down_proj.weight", d, ff, 1.5)
    norm("model.norm.weight", d)
    return w


# --- files --------------------------------------------------------------------------


def bf16(x):
    b = np.ascontiguousarray(x, np.float32).view(np.uint32)
    assert not (b & 0xFFFF).any()
    return (b >> 16).astype(np.uint16)


def stored(x, dtype):
    """x in DTYPE; exact, or it stops."""
    if dtype == "BF16":
        return bf16(x)
    y = x.astype({"F16": np.float16, "F32": np.float32}[dtype])
    assert (y.astype(np.float32) == x).all()
    return y


def write_folder(path, c, w, dtype):
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "config.json"), "w") as f:
        torch = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype]
        json.dump({**c, "torch_dtype": torch}, f, indent=1)
        f.write("\n")
    head, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(w):
        raw = stored(w[name], dtype).tobytes()
        head[name] = {"dtype": dtype, "shape": list(w[name].shape),
                      "data_offsets": [at, at + len(raw)]}  # fmt: skip
        data.append(raw)
        at += len(raw)
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(path, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def add_vocab(g):
    """A SentencePiece vocabulary of single characters: enough for a reader to load."""
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "\u2581"]
    tokens += [chr(i) for i in range(33, 33 + VOCAB - len(tokens))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL,
             gguf.TokenType.BYTE]  # fmt: skip
    kinds += [gguf.TokenType.NORMAL] * (VOCAB - len(kinds))
    g.add_tokenizer_model("llama")
    g.add_tokenizer_pre("default")
    g.add_token_list(tokens)
    g.add_token_scores([-float(i) for i in range(VOCAB)])
    g.add_token_types(kinds)
    g.add_bos_token_id(1)
    g.add_eos_token_id(2)
    g.add_unk_token_id(0)


def add_params(g, c, net):
    arch = c["model_type"]
    g.add_context_length(c["max_position_embeddings"])
    g.add_embedding_length(c["hidden_size"])
    g.add_block_count(c["num_hidden_layers"])
    g.add_feed_forward_length(c["intermediate_size"])
    g.add_head_count(c["num_attention_heads"])
    g.add_head_count_kv(c["num_key_value_heads"])
    g.add_layer_norm_rms_eps(c["rms_norm_eps"])
    if "head_dim" in c:
        g.add_key_length(c["head_dim"])
        g.add_value_length(c["head_dim"])
    if arch == "llama":
        g.add_vocab_size(VOCAB)
        g.add_rope_dimension_count(net["head_dim"])
    if arch in ("gemma2", "gemma3_text"):
        g.add_sliding_window(c["sliding_window"])
    if net["attn_cap"]:
        g.add_attn_logit_softcapping(net["attn_cap"])
        g.add_final_logit_softcapping(net["final_cap"])
    if arch not in ("gemma", "gemma2"):
        params = c.get("rope_parameters") or {}
        g.add_rope_freq_base(params.get("rope_theta", c.get("rope_theta")))
    if c.get("rope_local_base_freq", 10000.0) != 10000.0:  # else left to the default
        g.add_float32("gemma3.rope.freq_base_swa", c["rope_local_base_freq"])
    scaling = c.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        g.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        g.add_rope_scaling_factor(scaling["factor"])
    if kind == "yarn":
        g.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        g.add_rope_scaling_factor(scaling["factor"])
        g.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])


def gguf_tensor(name, x, net, arch):
    """The tensor as GGUF has it: other names, q and k of llama with the halves of a
    head dealt into neighbors, Gemma's gains with their 1."""
    if name.endswith("norm.weight") and net["plus_one"]:
        x = x + np.float32(1)
    for p, heads in ("q", net["heads"]), ("k", net["kv_heads"]):
        if arch == "llama" and name.endswith("self_attn.%s_proj.weight" % p):
            x = x.reshape(heads, 2, -1, x.shape[1]).swapaxes(1, 2).reshape(x.shape)
    ffn = "ffn_norm"
    if net["sandwich"]:
        ffn = "post_attention_norm"
    for a, b in (
        ("model.layers.", "blk."), ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"), ("lm_head", "output"),
        ("input_layernorm", "attn_norm"), ("post_attention_layernorm", ffn),
        ("pre_feedforward_layernorm", "ffn_norm"),
        ("post_feedforward_layernorm", "post_ffw_norm"), ("self_attn.", "attn_"),
        ("attn_o_proj", "attn_output"), ("mlp.", "ffn_"), ("_proj", ""),
    ):  # fmt: skip
        name = name.replace(a, b)
    return name, x


def write_gguf(path, c, w, net, dtype):
    arch = c["model_type"].removesuffix("_text")
    g = gguf.GGUFWriter(path, arch)
    kind = gguf.GGMLQuantizationType[dtype]
    add_params(g, c, net)
    add_vocab(g)
    if (c.get("rope_scaling") or {}).get("rope_type") == "llama3":
        plain = net["rope"][0] * 0 + c["rope_theta"] ** (
            -np.arange(0, net["head_dim"], 2) / net["head_dim"])  # fmt: skip
        g.add_tensor("rope_freqs.weight", (plain / net["rope"][0]).astype(np.float32))
    for name in w:
        new, x = gguf_tensor(name, w[name], net, arch)
        if x.ndim == 1:
            g.add_tensor(new, x)
        else:
            raw = stored(x, dtype)
            if dtype == "BF16":
                raw = raw.view(np.uint8)
            g.add_tensor(new, raw, raw_dtype=kind)
    g.write_header_to_file()
    g.write_kv_data_to_file()
    g.write_tensors_to_file()
    g.close()


def write_want(path, seqs, rows):
    with open(path, "w") as f:
        f.write("%d %d %d\n" % (len(seqs), VOCAB, len(rows)))
        for s in seqs:
            f.write(" ".join(map(str, [len(s), *s])) + "\n")
        for s, pos, logits in rows:
            f.write("%d %d %s\n" % (s, pos, " ".join("%.9g" % x for x in logits)))


def write_long(name, net, w):
    """More positions than the attention takes in one block of keys."""
    seq = np.random.default_rng(2000).integers(3, VOCAB, 1300).tolist()
    y = forward(net, w, seq)
    places = (510, 511, 512, 513, 700, 1023, 1024, 1299)
    write_want(os.path.join(HERE, name + "-long.want"), [seq], [(0, p, y[p]) for p in places])


# --- wrong passes that must be seen -------------------------------------------------


def faults(c, net, w):
    """(what is wrong, net, weights)"""

    def with_net(**kw):
        return {**net, **kw}, w

    def with_weights(what, value):
        return net, {k: v * 0 + value if what in k else v for k, v in w.items()}

    arch, one = c["model_type"], 0.0 if net["plus_one"] else 1.0
    same = net["rope"][0] * 0 + rope_freq(
        c.get("rope_theta") or net["rope"][0][0], net["head_dim"], {}, CONTEXT)[0]
    yield "pairs of the rotation", *with_net(adjacent=True)
    yield "no rotation", *with_net(rope=(0 * same, 1), rope_local=(0 * same, 1))
    yield "epsilon", *with_net(eps=1e-6)
    yield "attention scale", *with_net(scale=net["scale"] * 0.9)
    yield "activation", *with_net(act="gelu" if net["act"] == "silu" else "silu")
    for n in "input_layernorm", "post_attention_layernorm", "model.norm":
        yield "gain of " + n, *with_weights(n, one)
    if net["plus_one"]:
        yield "gain not plus one", *with_net(plus_one=False)
        yield "embedding scale", *with_net(embed_scale=1.0)
    if net["sandwich"]:
        yield "no post norms", *with_net(sandwich=False)
        yield "gain of the second", *with_weights("post_feedforward", one)
    if 1 < net["kv_heads"] < net["heads"]:
        yield "heads that share", *with_net(group="by turns")
    if net["attn_cap"]:
        yield "no cap of scores", *with_net(attn_cap=None)
        yield "no cap of logits", *with_net(final_cap=None)
    if any(net["window"]):
        yield "no window", *with_net(window=[0] * net["layers"])
        for by in -1, 1:
            wide = [n + by if n else 0 for n in net["window"]]
            yield "window off by %d" % by, *with_net(window=wide)
        if 0 in net["window"]:
            yield "window everywhere", *with_net(window=[8] * net["layers"])
            yield "windows a layer late", *with_net(window=[8] + net["window"][:-1])
    if c.get("rope_scaling") or c.get("rope_parameters", {}).get("full_attention"):
        params = (c.get("rope_parameters") or {}).get("full_attention", {})
        base = c.get("rope_theta") or params["rope_theta"]
        plain = rope_freq(base, net["head_dim"], {}, CONTEXT)
        yield "no rope scaling", *with_net(rope=plain, rope_local=(
            net["rope_local"] if arch == "gemma3_text" else plain))  # fmt: skip
        half = rope_freq(base, net["head_dim"], {"type": "linear", "factor": 2.0}, 0)
        yield "another rope scaling", *with_net(rope=half, rope_local=half)
    if net["rope"][1] != 1:
        yield "gain of yarn", *with_net(rope=(net["rope"][0], 1.0))
    if arch == "gemma3_text":
        yield "one rope base", *with_net(rope_local=net["rope"])
        local = net["rope_local"][0]
        yield "scaling in windows too", *with_net(rope_local=(local / 8, 1.0))
    if arch == "qwen2":
        for p in "qv":
            yield p + " bias", *with_weights(p + "_proj.bias", 0)
        # a bias on k adds the same to all scores but for the rotation
        yield "k bias", *with_weights("k_proj.bias", 0)
    if any("q_norm" in k for k in w):
        for p in "qk":
            yield "gain of " + p, *with_weights(p + "_norm", one)
        yield "norms after the rotation", *with_net(norm_first=False)
        none = {k: v for k, v in w.items() if "q_norm" not in k and "k_norm" not in k}
        yield "no q and k norms", net, none


def make(name, seed):
    """config, net, float32 weights, sequences"""
    c, _, _, long = CASES[name]
    rng = np.random.default_rng(seed)
    w = weights(c, rng)
    seqs = [rng.integers(3, VOCAB, n).tolist() for n in (40, 17, long) if n]
    return c, net_of(c), w, seqs


def places(seqs):
    """The rows that are kept: (sequence, position)"""
    rows = [(0, 0), (0, 11), (0, 27), (0, 39), (1, 7), (1, 16)]
    return rows + [(2, p) for p in (63, 64, 130, len(seqs[-1]) - 1) if len(seqs) > 2]


def cases():
    for seed, name in enumerate(CASES):
        yield name, *make(name, 1000 + seed)


def main(f32=None):
    unseen = False
    os.makedirs(f32 or HERE, exist_ok=True)
    for name, c, net, w, seqs in cases():
        _, folder, gg, _ = CASES[name]
        if f32:
            if gg:
                write_gguf(os.path.join(f32, name + ".gguf"), c, w, net, "F32")
            continue
        double = {k: v.astype(np.float64) for k, v in w.items()}
        all_logits = [forward(net, double, s) for s in seqs]
        rows = [(s, p, all_logits[s][p]) for s, p in places(seqs)]
        least = (np.inf, "")
        for what, other, ow in faults(c, net, double):
            ow = {k: v.astype(np.float64) for k, v in ow.items()}
            bad = [forward(other, ow, s) for s in seqs[:2]]
            moved = max(np.abs(bad[s][p] - want).max() for s, p, want in rows if s < 2)
            least = min(least, (moved, what))
            if moved < 100 * TOL:
                print("%s: %s moves the logits by %.3g only" % (name, what, moved))
                unseen = True
        top = max(np.abs(r[2]).max() for r in rows)
        print("%-14s logits to %5.1f; least seen: %s, %.3g" % (name, top, *least[::-1]))
        if folder:
            write_folder(os.path.join(HERE, name), c, w, folder)
        if gg:
            write_gguf(os.path.join(HERE, name + ".gguf"), c, w, net, gg)
        write_want(os.path.join(HERE, name + ".want"), seqs, rows)
        if len(seqs) > 2:
            write_long(name, net, double)
    if unseen:
        sys.exit("gen_nets.py: faults that would not be seen")


if __name__ == "__main__":
    if len(sys.argv) != 1 and (len(sys.argv) != 3 or sys.argv[1] != "--f32"):
        sys.exit("usage: gen_nets.py [--f32 DIR]")
    main(sys.argv[2] if sys.argv[1:2] == ["--f32"] else None)
