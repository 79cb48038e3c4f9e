#!/usr/bin/env python3
"""Expected values of tests/unit/t_logsum.c and t_figure.c, with numpy in double.

usage: gen_eval.py > tests/unit/eval_expect.h
"""
import numpy as np


def xorshift(n, state=12345):
    """The generator of tests/unit/small.h: floats in [-1, 1)."""
    out = np.empty(n, np.float32)
    for i in range(n):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        out[i] = np.float32(state - (1 << 32) if state >> 31 else state) / np.float32(2147483648)
    return out


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


N, K = 3000, 7
r = xorshift(2 * N)
x = (r[:N] * np.float32(8)).astype(np.float64)
ref = (np.float32(8) * r[:N] + r[N:]).astype(np.float64)  # the sum in float, as there
p, q = softmax(ref), softmax(x)
print("/* Made by tests/data/gen_eval.py. */")
print("#ifndef MPQ_TESTS_EVAL_EXPECT_H\n#define MPQ_TESTS_EVAL_EXPECT_H\n")
print(f"enum {{ WANT_N = {N}, WANT_K = {K} }};")


def put(name, v):
    print(f"static const double {name} = {float(v)!r};")


put("want_lse", np.log(np.exp(x).sum()))
put("want_lse_ref", np.log(np.exp(ref).sum()))
put("want_kl", (p * (np.log(p) - np.log(q))).sum())
top = np.argsort(-ref, kind="stable")[:K]
print(f"static const unsigned want_top[] = {{ {', '.join(map(str, top))} }};")
t, u = 1 - p[top].sum(), 1 - q[top].sum()
put("want_tail", t)
put("want_kl_top", (p[top] * np.log(p[top] / q[top])).sum() + t * np.log(t / u))

a = (2 + xorshift(40)).astype(np.float64)
b = (2 + xorshift(80)[40:]).astype(np.float64)
n = len(a)


def mean(name, v):
    put(f"want_{name}", v.mean())
    put(f"want_{name}_se", v.std(ddof=1) / np.sqrt(n))


mean("nll", a)
mean("diff", a - b)
pa, pb = np.exp(a.mean()), np.exp(b.mean())
put("want_ppl", pa)
put("want_ppl_se", pa * a.std(ddof=1) / np.sqrt(n))
c = np.cov(a, b) / n  # of the means
put("want_ppl_diff", pa - pb)
put("want_ppl_diff_se", np.sqrt(pa * pa * c[0, 0] + pb * pb * c[1, 1] - 2 * pa * pb * c[0, 1]))
dp = np.exp(-a) - np.exp(-b)
mean("dp", dp)
rms = np.sqrt((dp * dp).mean())
put("want_rms", rms)
put("want_rms_se", (dp * dp).std(ddof=1) / np.sqrt(n) / (2 * rms))
print("\n#endif")
