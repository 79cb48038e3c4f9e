#!/usr/bin/env python3
"""Writes the trained model as Hugging Face files (bf16) and as GGUF (BF16 matrices, F32 norms).

    export.py --work WORK --out DIR
"""
import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

from model import Config
from train import END

NAME = "Tiny arithmetic and text model"
GGUF_NAMES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
              "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def gguf_name(name):
    """model.layers.0.mlp.up_proj.weight -> blk.0.ffn_up.weight"""
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in top:
        return top[name]
    _, _, layer, *rest, _ = name.split(".")
    return f"blk.{layer}.{GGUF_NAMES['.'.join(rest)]}.weight"


def permute(w, heads):
    """llama.cpp rotates neighboring pairs, Hugging Face the two halves of a head: reorder the rows of q and k."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def write_hf(out, state, config, tokenizer_text):
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    (out / "config.json").write_text(json.dumps(config.to_hf(END), indent=2) + "\n")
    (out / "tokenizer.json").write_text(tokenizer_text)


def add_config(writer, c):
    writer.add_name(NAME)
    writer.add_license("cc-by-sa-4.0")
    writer.add_description("Trained from scratch on general English text and arithmetic word problems")
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_key_length(c.head_dim)
    writer.add_value_length(c.head_dim)
    writer.add_rope_dimension_count(c.head_dim)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_vocab_size(c.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)


def add_tokenizer(writer, tokenizer):
    vocab = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    types = [gguf.TokenType.NORMAL] * len(vocab)
    types[END] = gguf.TokenType.CONTROL
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([token for token, _ in vocab])
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(END)
    writer.add_eos_token_id(END)
    writer.add_add_bos_token(True)  # every sequence of the training begins with it
    writer.add_add_eos_token(False)


def write_gguf(path, state, config, tokenizer):
    writer = gguf.GGUFWriter(path, "llama")
    add_config(writer, config)
    add_tokenizer(writer, tokenizer)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in state.items():
        name, w = gguf_name(name), tensor.float().numpy()
        kind = name.split(".")[-2]
        if kind in heads:
            w = permute(w, heads[kind])
        if w.ndim == 1:
            writer.add_tensor(name, w)
        else:
            bf16 = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(w), bf16), raw_dtype=bf16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    saved = torch.load(args.work / "checkpoint.pt")
    config = Config(**saved["config"])
    state = {name: w.bfloat16() for name, w in saved["model"].items()}
    tokenizer_text = (args.work / "tokenizer.json").read_text()
    write_hf(args.out, state, config, tokenizer_text)
    write_gguf(args.out / "tiny-model.gguf", state, config, json.loads(tokenizer_text))
    for part in ("calib", "valid"):
        name = f"text.{part}.txt"
        (args.out / name).write_bytes((args.work / name).read_bytes())


if __name__ == "__main__":
    main()
