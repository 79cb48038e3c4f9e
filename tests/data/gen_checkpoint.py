#!/usr/bin/env python3
"""tests/data/checkpoint: matrices as the packages compressed-tensors and gptqmodel pack
them, for tests/unit/t_checkpoint.c. Needs both packages (CPU).

    gen_checkpoint.py FOLDER

A file for each case, its parts one after the other as lib/model/checkpoint.h has them;
codes, zeros and scales by the formulas that the test has too.
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

# name, form, bits, group (0: the row), symmetric, rows, cols
CASES = [
    ("ct-int4g32", "ct", 4, 32, False, 8, 64),
    ("ct-int4g32s", "ct", 4, 32, True, 8, 64),
    ("ct-int3g16", "ct", 3, 16, False, 12, 48),
    ("ct-int5", "ct", 5, 0, False, 7, 40),
    ("ct-int8g16s", "ct", 8, 16, True, 5, 32),
    ("ct-int2g32", "ct", 2, 32, False, 36, 32),
    ("gptq-int4g32", "gptq", 4, 32, False, 32, 64),
    ("gptq_v2-int4g32", "gptq_v2", 4, 32, False, 32, 64),
    ("gptq-int3g32", "gptq", 3, 32, False, 32, 96),
    ("gptq-int2g64s", "gptq", 2, 64, True, 64, 64),
    ("gptq-int8", "gptq", 8, 0, False, 32, 32),
]


def numbers(bits, group, symmetric, rows, cols):
    r, c = np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")
    codes = (r * 7 + c * 3 + r * c % 5) % 2**bits
    g = cols // (group or cols)
    r, k = np.meshgrid(np.arange(rows), np.arange(g), indexing="ij")
    zeros = np.full((rows, g), 2 ** (bits - 1)) if symmetric else 1 + (r + 2 * k) % (
        2**bits - 1)
    scales = (1 + (r + k) % 8) / 64
    return codes, zeros, scales.astype(np.float16)


def compressed(bits, group, symmetric, rows, cols):
    codes, zeros, scales = numbers(bits, group, symmetric, rows, cols)
    half = 2 ** (bits - 1)
    as_int8 = lambda x: torch.from_numpy((x - half).astype(np.int8))
    parts = [np.array([rows, cols], np.int64), pack_to_int32(as_int8(codes), bits).numpy()]
    if not symmetric:
        parts.append(pack_to_int32(as_int8(zeros), bits, packed_dim=0).contiguous().numpy())
    return [*parts, scales]


def gptq(bits, group, symmetric, rows, cols, first):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
    codes, zeros, scales = numbers(bits, group, symmetric, rows, cols)
    size = group or cols
    w = (codes - np.repeat(zeros, size, axis=1)) * np.repeat(scales.astype(np.float32), size,
                                                             axis=1)
    linear = torch.nn.Linear(cols, rows, bias=False)
    linear.weight.data = torch.from_numpy(w.astype(np.float32))
    packed = TorchLinear(bits=bits, group_size=size, sym=symmetric, desc_act=False,
                         in_features=cols, out_features=rows, bias=False,
                         pack_dtype=torch.int32, register_buffers=True)
    g_idx = torch.arange(cols, dtype=torch.int32) // size
    packed.pack_original(linear, torch.from_numpy(scales.astype(np.float32)),
                         torch.from_numpy(zeros.astype(np.float32)), g_idx)
    if first:
        from types import SimpleNamespace
        packed.qzero_format(format=2)
        convert_gptq_v2_to_v1_format_module(
            packed, SimpleNamespace(bits=bits, pack_dtype=torch.int32, runtime_bits=bits))
    return [x.numpy() for x in (packed.qweight, packed.qzeros, packed.g_idx.int(),
                                packed.scales.half())]


def main():
    for name, form, *shape in CASES:
        parts = compressed(*shape) if form == "ct" else gptq(*shape, form == "gptq")
        with open(os.path.join(sys.argv[1], name + ".bin"), "wb") as f:
            for x in parts:
                f.write(np.ascontiguousarray(x).tobytes())


main()
