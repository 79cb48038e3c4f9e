#!/usr/bin/env python3
"""Writes codec_encode.tsv: squared errors that other encoders leave on a made-up matrix,
ROWS by COLS, that t_codec_encode.c makes again (uniform numbers of a linear congruential
generator, six added up, every 97th element times 6; an importance for each column).

    gen_codec_encode.py LIBGGML_BASE.so     from this folder

`ggml` is llama-quantize's encoder, ggml_quantize_chunk of libggml-base as llama-cpp-python
0.3.36 (PyPI) carries it, without and with importance; `gguf` is the gguf package's (PyPI),
for the types that it encodes. Needs numpy.
"""
import ctypes
import sys

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

ROWS, COLS = 16, 1024
TYPES = "q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 iq4_nl iq4_xs q3_k q2_k".split()


def numbers(n):
    """Uniform in [0, 1), 24 bits each: exact in single precision."""
    state, out = 12345, np.empty(n)
    for i in range(n):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = (state >> 8) / 16777216.0
    return out


def matrix():
    u = numbers(6 * ROWS * COLS + COLS)
    x = (u[: 6 * ROWS * COLS].reshape(-1, 6).sum(axis=1) - 3) / 16
    x[::97] *= 6
    w = u[6 * ROWS * COLS :] ** 4 + 1 / 1024
    return x.astype(np.float32).reshape(ROWS, COLS), w.astype(np.float32)


def error(x, packed, t, w):
    d = x.astype(np.float64) - dequantize(packed, t).reshape(x.shape)
    return float((d * d * w.astype(np.float64)).sum())


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    f = ggml.ggml_quantize_chunk
    f.restype = ctypes.c_size_t
    pointer = ctypes.c_void_p
    f.argtypes = [ctypes.c_int, pointer, pointer] + [ctypes.c_int64] * 3 + [pointer]
    x, w = matrix()
    ones = np.ones(COLS, np.float32)
    with open("codec_encode.tsv", "w") as out:
        for name in TYPES:
            t = T[name.upper()]
            block, size = GGML_QUANT_SIZES[t]
            for importance in (None, w):
                packed = np.zeros((ROWS, COLS // block * size), np.uint8)
                f(t.value, x.ctypes.data, packed.ctypes.data, 0, ROWS, COLS,
                  None if importance is None else importance.ctypes.data)
                e = error(x, packed, t, ones if importance is None else w)
                print(f"{name}\tggml\t{int(importance is not None)}\t{e:.9g}", file=out)
            try:
                e = error(x, quantize(x, t), t, ones)
                print(f"{name}\tgguf\t0\t{e:.9g}", file=out)
            except NotImplementedError:
                pass


main()
