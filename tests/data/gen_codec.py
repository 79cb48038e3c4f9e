#!/usr/bin/env python3
"""Writes codec.bin: random bytes taken as blocks of every type, and the floats that the
`gguf` package (PyPI, 0.10 or newer; numpy) makes of them. Run from this folder.

Records until the end: type name (8 bytes, NUL-padded), u32 bytes, u32 floats, the
bytes, the floats; all little-endian.
"""
import struct

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize

# Where the f16 scales of a block lie.
SCALES = {
    "q8_0": [0], "q5_0": [0], "q4_0": [0], "q5_1": [0, 2], "q4_1": [0, 2], "q6_k": [208],
    "q5_k": [0, 2], "q4_k": [0, 2], "q3_k": [108], "q2_k": [80, 82], "iq4_nl": [0],
    "iq4_xs": [0], "f16": [], "bf16": [], "f32": [],
}
# 0, -0, least and greatest subnormal, least normal, greatest, infinities, NaN
WEIRD = [0x0000, 0x8000, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00]


def blocks(rng, name):
    block, size = GGML_QUANT_SIZES[T[name.upper()]]
    n = 14 if block == 256 else 40 if block == 32 else 512
    data = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for k, offset in enumerate(SCALES[name]):
        # ordinary scales, but the first ten
        f16 = rng.normal(0, 0.02, n).astype(np.float16).view(np.uint16)
        f16[: len(WEIRD)] = np.roll(np.array(WEIRD, np.uint16), k)
        data[:, offset : offset + 2] = f16.view(np.uint8).reshape(n, 2)
    return data


def main():
    rng = np.random.default_rng(20240511)
    with open("codec.bin", "wb") as out, np.errstate(all="ignore"):
        for name in SCALES:
            data = blocks(rng, name)
            floats = dequantize(data, T[name.upper()]).astype("<f4").ravel()
            out.write(struct.pack("<8sII", name.encode(), data.size, floats.size))
            out.write(data.tobytes() + floats.tobytes())


main()
