#!/usr/bin/env python3
"""Objective of the hqq package (0.2.8.post1, with torch, on the CPU) on a matrix that
tests/unit/t_hqq.c makes alike: mean |W - W'|^0.7, W' as the package's own quantizer
dequantizes it. Prints rows `bits group objective` for the table in that test.

usage: gen_hqq.py      needs: pip install hqq numpy torch
"""
import numpy as np
import torch
from hqq.core.quantize import Quantizer


def matrix(rows=64, cols=512):
    state, out = 12345, []

    def step():
        nonlocal state
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        return (state >> 8) / 16777216.0

    for _ in range(rows * cols):
        out.append((sum(step() for _ in range(6)) - 3) / 16)
    w = np.array(out, dtype=np.float32)
    w[::97] *= 6
    return w.reshape(rows, cols)


w = torch.from_numpy(matrix())
for bits in (2, 3, 4, 8):
    for group in (64, 128):
        q, meta = Quantizer.quantize(
            w, nbits=bits, channel_wise=True, group_size=group, optimize=True,
            round_zero=False, axis=1, device="cpu", compute_dtype=torch.float32,
        )
        back = Quantizer.dequantize(q, meta).reshape(w.shape).float()
        print(bits, group, f"{(w - back).abs().double().pow(0.7).mean().item():.9g}")
