#!/usr/bin/env python3
"""Writes tests/data/formats/: small files made by the reference packages `gguf` 0.19.0 and
`safetensors` 0.8.0 (PyPI), which the unit tests read with our readers.

    python3 tests/data/gen_formats.py

It writes the first inputs of the fuzz targets as well (tests/fuzz/corpus/*/seed-*).

Element i of tensor NAME (its short name) is ((5 i + 3 len(NAME)) mod 61 - 30) / 16: exact in
f32, f16 and bf16, so the tests know every value by the formula. In kinds.gguf, "quants" holds
whole numbers from -127 to 127 with a 127 in each block of 32: exact in q8_0, too.
"""
import gzip
import json
import os
import shutil
import struct
import zlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T, GGUFValueType as V
from safetensors.torch import save_file

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats")
EMBD, FF, VOCAB, LAYERS, HEAD_DIM = 16, 32, 24, 2, 8

HF = {
    "token_embd": "model.embed_tokens.weight", "output_norm": "model.norm.weight",
    "output": "lm_head.weight", "attn_norm": "input_layernorm.weight",
    "attn_q": "self_attn.q_proj.weight", "attn_k": "self_attn.k_proj.weight",
    "attn_v": "self_attn.v_proj.weight", "attn_output": "self_attn.o_proj.weight",
    "attn_q.bias": "self_attn.q_proj.bias", "ffn_norm": "post_attention_layernorm.weight",
    "ffn_gate": "mlp.gate_proj.weight", "ffn_up": "mlp.up_proj.weight",
    "ffn_down": "mlp.down_proj.weight",
}


def values(name, *shape):
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    return (((5 * i + 3 * len(name)) % 61 - 30) / 16).astype(np.float32).reshape(shape)


def model():
    """Short names and values of a llama with 2 heads over 1, biased queries, untied."""
    t = {"token_embd": values("token_embd", VOCAB, EMBD)}
    for l in range(LAYERS):
        for part, shape in {
            "attn_norm": (EMBD,), "attn_q": (EMBD, EMBD), "attn_q.bias": (EMBD,),
            "attn_k": (HEAD_DIM, EMBD), "attn_v": (HEAD_DIM, EMBD),
            "attn_output": (EMBD, EMBD), "ffn_norm": (EMBD,), "ffn_gate": (FF, EMBD),
            "ffn_up": (FF, EMBD), "ffn_down": (EMBD, FF),
        }.items():
            name = f"blk.{l}.{part}"
            t[name] = values(name, *shape)
    t["output_norm"] = values("output_norm", EMBD)
    t["output"] = values("output", VOCAB, EMBD)
    return t


def hf_name(name):
    if name.startswith("blk."):
        _, layer, part = name.split(".", 2)
        return f"model.layers.{layer}.{HF[part]}"
    return HF[name]


def write_kinds(path, endian=gguf.GGUFEndian.LITTLE):
    """Every kind of metadata value, one to four dimensions, several types."""
    w = gguf.GGUFWriter(path, "kinds", endianess=endian)
    w.add_uint8("k.u8", 200)
    w.add_int8("k.i8", -100)
    w.add_uint16("k.u16", 60000)
    w.add_int16("k.i16", -30000)
    w.add_uint32("k.u32", 4000000000)
    w.add_int32("k.i32", -2000000000)
    w.add_uint64("k.u64", 2**64 - 1)
    w.add_int64("k.i64", -(2**63))
    w.add_float32("k.f32", 1.5)
    w.add_float64("k.f64", 1e300)
    w.add_bool("k.yes", True)
    w.add_bool("k.no", False)
    w.add_string("k.str", "tab\there, \u00fcml\u00e4ut")
    w.add_key_value("k.empty", "", V.STRING)  # add_string would leave it out
    w.add_array("k.ints", [1, -2, 3])
    w.add_array("k.floats", [0.5, -0.25])
    w.add_array("k.bools", [True, False, True])
    w.add_array("k.strs", ["a", "", "ccc"])
    w.add_tensor("one", values("one", 5))
    w.add_tensor("two.weight", values("two", 3, 4).astype(np.float16))
    w.add_tensor("three", values("three", 2, 3, 4))
    w.add_tensor("four", values("four", 2, 2, 3, 1))
    w.add_tensor("quants", quants(), raw_dtype=T.Q8_0)
    bf16 = torch.from_numpy(values("brain", 2, 8)).to(torch.bfloat16)
    w.add_tensor("brain", bf16.view(torch.uint8).numpy(), raw_dtype=T.BF16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def quants():
    i = np.arange(2 * 64)
    x = ((i * 37) % 255 - 127).astype(np.float32).reshape(2, 64)
    x[:, ::32] = 127
    return gguf.quantize(x, T.Q8_0)


def write_llama(path, tensors, **options):
    w = gguf.GGUFWriter(path, "llama", **options)
    w.add_name("Tiny test model")
    w.add_block_count(LAYERS)
    w.add_context_length(64)
    w.add_embedding_length(EMBD)
    w.add_feed_forward_length(FF)
    w.add_head_count(2)
    w.add_head_count_kv(1)
    w.add_key_length(HEAD_DIM)
    w.add_token_list([f"t{i}" for i in range(VOCAB)])
    for name, x in tensors.items():
        stored = x if x.ndim == 1 else x.astype(np.float16)
        w.add_tensor(name if name.endswith(".bias") else name + ".weight", stored)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_folder(path, tensors, shards):
    os.makedirs(path)
    t = {hf_name(n): torch.from_numpy(x).to(torch.bfloat16) for n, x in tensors.items()}
    names = list(t)
    files = {}
    for k in range(shards):
        file = ("model.safetensors" if shards == 1
                else f"model-{k + 1:05d}-of-{shards:05d}.safetensors")
        part = {n: t[n] for n in names[k::shards]}
        save_file(part, os.path.join(path, file), metadata={"format": "pt"})
        files.update({n: file for n in part})
    if shards > 1:
        index = {"metadata": {"total_size": sum(x.nbytes for x in t.values())},
                 "weight_map": files}
        with open(os.path.join(path, "model.safetensors.index.json"), "w") as f:
            json.dump(index, f, indent=1)
    config = {
        "_name_or_path": "/some/where/tiny-hf", "architectures": ["LlamaForCausalLM"],
        "model_type": "llama", "hidden_size": EMBD, "intermediate_size": FF,
        "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 1,
        "vocab_size": VOCAB, "max_position_embeddings": 64, "tie_word_embeddings": False,
    }
    with open(os.path.join(path, "config.json"), "w") as f:
        json.dump(config, f, indent=1)


def write_dtypes(path):
    """Every dtype that both the package and we know, a scalar, three dimensions."""
    kinds = {
        "f64": torch.float64, "f32": torch.float32, "f16": torch.float16,
        "bf16": torch.bfloat16, "i64": torch.int64, "i32": torch.int32, "i16": torch.int16,
        "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool,
        "f8_e4m3": torch.float8_e4m3fn, "f8_e5m2": torch.float8_e5m2,
    }
    t = {n: torch.arange(6).reshape(2, 3).to(d) for n, d in kinds.items()}
    t["scalar"] = torch.tensor(2.5)
    t["cube"] = torch.from_numpy(values("cube", 2, 3, 4))
    save_file(t, path, metadata={"note": "\u00fcber \"quotes\"\n\\"})  # one: the order would be by chance


def write_seeds(folder):
    """Small inputs that reach most of the readers' code."""
    def put(name, data):
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)

    def container(meta, tensors):
        head, at = {"__metadata__": meta}, 0
        for name, (dtype, shape, data) in tensors.items():
            head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
            at += len(data)
        text = json.dumps(head).encode()
        return (len(text).to_bytes(8, "little") + text
                + b"".join(data for _, _, data in tensors.values()))

    w = gguf.GGUFWriter(os.path.join(folder, "seed"), "llama")
    w.add_name("m")
    w.add_block_count(1)
    w.add_head_count(1)
    w.add_token_list(["a", "b"])
    for name in ("attn_q", "ffn_down"):
        w.add_tensor(f"blk.0.{name}.weight", values(name, 2, 32).astype(np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    with open(os.path.join(folder, "seed"), "rb") as f:
        small = f.read()
    os.remove(os.path.join(folder, "seed"))
    with open(os.path.join(OUT, "kinds.gguf"), "rb") as f:
        kinds = f.read()
    q = "model.layers.0.self_attn.q_proj.weight"
    config = '{"model_type": "llama", "num_hidden_layers": 1, "text_config": {"head_dim": 2}}'
    plain = container({"config.json": config}, {
        "model.embed_tokens.weight": ("BF16", [2, 4], bytes(16)),
        q: ("F16", [2, 4], bytes(16)), "x": ("F32", [], bytes(4))})
    packed = container(
        {"mpq.container": "native 1", "mpq.type.blk.0.attn_q": "int3g4 2 8",
         "mpq.type.blk.0.ffn_up": "q4_0 1 32", "general.architecture": "str llama",
         "llama.block_count": "u32 1", "k": "i32[2] 1 2"},
        {"blk.0.attn_q.scales": ("F16", [2, 2], bytes(8)),
         "blk.0.attn_q.zeros": ("F16", [2, 2], bytes(8)),
         "blk.0.attn_q.codes": ("U8", [2, 3], bytes(6)),
         "blk.0.ffn_up": ("U8", [1, 18], bytes(18))})
    for target in ("gguf", "source"):
        put(f"{target}/seed-small.gguf", small)
        put(f"{target}/seed-kinds.gguf", kinds)
    for target in ("st", "source"):
        put(f"{target}/seed-plain.safetensors", plain)
        put(f"{target}/seed-packed.safetensors", packed)
    put("source/seed.gz", gzip.compress(small, mtime=0))
    w = gguf.GGUFWriter(os.path.join(folder, "seed"), "llama")
    w.add_type("imatrix")
    for name, parts in {"blk.0.attn_q": 1, "blk.0.ffn_up_exps": 2}.items():
        w.add_tensor(name + ".weight.in_sum2", np.ones((parts, 4), np.float32))
        w.add_tensor(name + ".weight.counts", np.full((parts, 1), 2, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    with open(os.path.join(folder, "seed"), "rb") as f:
        put("imatrix/seed-new.gguf", f.read())
    os.remove(os.path.join(folder, "seed"))
    name = b"blk.0.attn_q.weight"
    put("imatrix/seed-old.dat",
        struct.pack(f"<ii{len(name)}sii4fii4s", 1, len(name), name, 2, 4, 1, 2, 3, 4, 5, 4,
                    b"text"))
    put("recipe/seed-policy.yaml",
        b"runtime: llama.cpp\ntypes: [q2_k, q4_k]\nbits: 3.0\npins: {output: q6_k}\n"
        b"ties:\n  - [attn_q, attn_k]\nsplit: \"tensor\"  # so\nnominal: true\nsize: 9MiB\n")
    rows = "blk.0.attn_q\tq4_k\t4.5\nblk.1.attn_q\t-\tnan\n"
    table = (f"##mpq plan 1 tool=t model=a%20b\n##tensor blk.0.attn_q q4_k 2 256\n"
             f"#unit\ttype\tbits\n{rows}##end 2 crc32={zlib.crc32(rows.encode()):08x}\n")
    put("plan/seed-layers.tsv", b"#unit\ttype\ntoken_embd\tq4_0\nblk.0\tq4_k\n"
        b"blk.1.attn_q\tq4_0\nblk.1.ffn_down\tint3g128s\n")
    put("plan/seed-lines", b"token_embd=q4_0\n^blk\\.0\\..*$=q4_k\nattn_(q|k)=q8_0\n")
    put("tsv/seed-plan.tsv", table.encode())
    put("tsv/seed-two.tsv", (table + table).encode())
    put("tsv/seed-bare.tsv", b"#a\tb\n1\t2\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    at = lambda *p: os.path.join(OUT, *p)
    tensors = model()
    write_kinds(at("kinds.gguf"))
    write_kinds(at("big-endian.gguf"), gguf.GGUFEndian.BIG)
    write_llama(at("llama.gguf"), tensors)
    write_llama(at("split.gguf"), tensors, split_max_tensors=9)
    write_folder(at("hf"), tensors, 1)
    write_folder(at("hf-sharded"), tensors, 2)
    write_dtypes(at("dtypes.safetensors"))
    write_seeds(os.path.join(os.path.dirname(OUT), "..", "fuzz", "corpus"))


main()
