"""GGUF files of large models' shapes, for measuring memory and speed."""

import os

import gguf
import numpy as np


def llama7b(model, path, layers, fill=False):
    """A Q4_0 file with Llama 2 7B's shapes and MODEL's tokenizer: holes, or (FILL) codes drawn
    at random. Gives hidden size and that of the feed-forward."""
    reader = gguf.GGUFReader(model)
    d, ff = 4096, 11008
    w = gguf.GGUFWriter(path, "llama")
    for name, value in (("context_length", 4096), ("embedding_length", d), ("block_count", layers),
                        ("feed_forward_length", ff), ("attention.head_count", 32),
                        ("attention.head_count_kv", 32)):
        w.add_uint32("llama." + name, value)
    w.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    for key, field in reader.fields.items():
        if key.startswith("tokenizer.") and "chat_template" not in key:
            value = field.contents()
            sub = field.types[-1] if len(field.types) > 1 else None
            w.add_key_value(key, value, field.types[0], sub_type=sub)
    vocab = len(reader.fields["tokenizer.ggml.tokens"].data)

    def add(name, *shape):
        n = int(np.prod(shape))
        q = gguf.GGMLQuantizationType.Q4_0 if len(shape) > 1 else gguf.GGMLQuantizationType.F32
        w.add_tensor_info(name + ".weight", shape if len(shape) == 1 else (shape[0], shape[1] // 32 * 18),
                          np.dtype(np.uint8 if len(shape) > 1 else np.float32),
                          n // 32 * 18 if len(shape) > 1 else 4 * n, raw_dtype=q)
        return n // 32 * 18 if len(shape) > 1 else 4 * n

    total = add("token_embd", vocab, d)
    for l in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            total += add(f"blk.{l}.{name}", d)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            total += add(f"blk.{l}.{name}", d, d)
        for name in ("ffn_gate", "ffn_up"):
            total += add(f"blk.{l}.{name}", ff, d)
        total += add(f"blk.{l}.ffn_down", d, ff)
    total += add("output_norm", d) + add("output", vocab, d)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()
    os.truncate(path, os.path.getsize(path) + total + 4096)
    if fill:
        draw(path)
    return d, ff


def draw(path, step=0.006):
    """Norms of 1, codes at random."""
    rng = np.random.default_rng(1)
    reader = gguf.GGUFReader(path, "r+")
    for t in reader.tensors:
        if t.tensor_type == gguf.GGMLQuantizationType.F32:
            t.data[:] = 1
            continue
        for row in t.data.reshape(-1, t.data.shape[-1]):
            blocks = row.reshape(-1, 18)
            blocks[:, :2] = np.array([step], np.float16).view(np.uint8)
            blocks[:, 2:] = rng.integers(0, 256, (len(blocks), 16), np.uint8)
    reader.data.flush()
