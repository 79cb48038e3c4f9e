#!/usr/bin/env python3
"""Writes tests/data/ggml_types.tsv: id, name, block length, bytes of a block of every
tensor type that the PyPI package gguf knows. For tests/unit/t_dtype.c. Left out is q8_1: the package still counts
its two scales as f32 (40 bytes), ggml has stored them as f16 since 2023 (36 bytes)."""
import gguf

with open("tests/data/ggml_types.tsv", "w") as f:
    for t, (block, size) in sorted(gguf.GGML_QUANT_SIZES.items()):
        if t.name == "Q8_1":
            continue
        f.write(f"{int(t)}\t{t.name.lower()}\t{block}\t{size}\n")
