#!/usr/bin/env python3
"""Plain NSDS (arXiv 2603.17354) and its baselines in double precision, with full
singular value decompositions: the yardstick that the C code is held against. It has
no part of the factored forms of lib/method/nsds.c.

    gen_nsds.py            writes tests/data/nsds-*/ and tests/unit/nsds_expect.h

Needs numpy alone. Used as a module by tests/bench/nsds.py.
"""

import json
import os
import struct
import sys

import numpy as np

KEEP = 0.99
COMPONENTS = ("qk", "gate", "up", "ov", "down")


def kurt(x):
    """Population excess kurtosis m4 / m2^2 - 3 of all entries, 0/0 = 0."""
    x = np.asarray(x, np.float64).ravel()
    c = x - x.mean()
    if x.min() == x.max():
        return -3.0
    c2 = c * c
    return float((c2 * c2).mean() / c2.mean() ** 2 - 3.0)


def keep(s):
    """Smallest k whose squared sum reaches 0.99 of the total, at least 2."""
    e = np.cumsum(s * s)
    if len(s) == 0 or e[-1] == 0:
        return min(2, len(s))
    k = int(np.searchsorted(e, KEEP * e[-1])) + 1
    return min(max(k, 2), len(s))


def combine(s, b):
    """(M exp(H), M / exp(H)) from kept singular values and their weights."""
    t = s * b
    m = t.sum()
    if m <= 0:
        return 0.0, 0.0
    p = t[t > 0] / m
    h = float(-(p * np.log(p)).sum())
    return float(m * np.exp(h)), float(m * np.exp(-h))


def relu(x):
    return max(x, 0.0)


def svd(a):
    return np.linalg.svd(a, full_matrices=False)


def unembedding(w):
    """Right singular subspace [d][k] of the unembedding [vocab][d]."""
    _, s, vt = svd(np.asarray(w, np.float64))
    return vt[: keep(s)].T


def detector(w):
    """gate, up [ff][d]: nv, se, se_official."""
    w = np.asarray(w, np.float64)
    _, s, vt = svd(w)
    k = keep(s)
    b = np.array([np.log1p(relu(kurt(vt[i]))) for i in range(k)])
    return (kurt(w),) + combine(s[:k], b)


def writer(w, p):
    """down [d][ff], or a W_OV [d][d]."""
    w = np.asarray(w, np.float64)
    u, s, _ = svd(w)
    k = keep(s)
    b = np.linalg.norm(p.T @ u[:, :k], axis=0)
    return (kurt(w),) + combine(s[:k], b)


def qk_head(c, rank):
    u, s, vt = svd(c)
    s = s[:rank]
    k = keep(s)
    b = np.array([np.log1p(relu(kurt(u[:, i])) * relu(kurt(vt[i]))) for i in range(k)])
    return (kurt(c),) + combine(s[:k], b)


def heads(first, second, n_head, n_kv, one):
    """Mean over query heads of one(first_h, second_g)."""
    got = [one(h, h * n_kv // n_head) for h in range(n_head)]
    return tuple(float(np.mean(x)) for x in zip(*got))


def layer_components(w, n_head, n_kv, p):
    """w: q k v o gate up down as [rows][cols]; component -> (nv, se, se_official)."""
    q, k, v, o = (np.asarray(w[x], np.float64) for x in "qkvo")
    hd = q.shape[0] // n_head

    def qk(h, g):
        return qk_head(q[h * hd:(h + 1) * hd].T @ k[g * hd:(g + 1) * hd], min(hd, q.shape[1]))

    def ov(h, g):
        c = o[:, h * hd:(h + 1) * hd] @ v[g * hd:(g + 1) * hd]
        u, s, _ = svd(c)
        s, u = s[:hd], u[:, :hd]
        kk = keep(s)
        b = np.linalg.norm(p.T @ u[:, :kk], axis=0)
        return (kurt(c),) + combine(s[:kk], b)

    return {
        "qk": heads(q, k, n_head, n_kv, qk),
        "gate": detector(w["gate"]),
        "up": detector(w["up"]),
        "ov": heads(o, v, n_head, n_kv, ov),
        "down": writer(w["down"], p),
    }


def softplus(x):
    return np.logaddexp(0.0, x)


def mad_z(x, scale=1.4826):
    x = np.asarray(x, np.float64)
    med = np.median(x)
    mad = np.median(np.abs(x - med))
    if mad == 0:
        return np.zeros_like(x)
    return (x - med) / (scale * mad)


def nsds(components, variant="paper"):
    """components: per layer, component -> (nv, se, se_official). Per layer a dict of
    nv, se, nsds, score and P by kind and component."""
    official = variant == "official"
    n = len(components)
    p, rest, soft = {}, {}, []
    for kind, at in (("nv", 0), ("se", 2 if official else 1)):
        for c in COMPONENTS:
            z = mad_z([layer[c][at] for layer in components], 1.0 if official else 1.4826)
            p[kind, c] = 1.0 / (1.0 + np.exp(-z))
            rest[kind, c] = 1.0 / (1.0 + np.exp(z))
            soft.append(softplus(z))

    # 1 - P is sigmoid(-z): written as 1 - P it would be 0 from z = 37 on, and the
    # geometric mean of the official variant with it.
    def left(kind):
        q = np.prod([rest[kind, c] for c in COMPONENTS], axis=0)
        return q ** (1.0 / len(COMPONENTS)) if official else q

    def both_left():
        q = left("nv") * left("se")
        return q ** 0.5 if official else q

    nv, se, both = 1.0 - left("nv"), 1.0 - left("se"), 1.0 - both_left()
    score = np.sum(soft, axis=0) / (len(soft) if official else 1)
    return [
        dict(nv=nv[i], se=se[i], nsds=both[i], score=score[i],
             p={key: p[key][i] for key in p})
        for i in range(n)
    ]


# Baselines and plain statistics of one tensor


def tensor_stats(w):
    x = np.asarray(w, np.float64).ravel()
    mean, sd = x.mean(), x.std()
    out = dict(n=x.size, mean=mean, var=sd * sd, min=x.min(), max=x.max(), kurt=kurt(x))
    c = x - mean
    out["skew"] = float((c ** 3).mean() / sd ** 3) if sd > 0 else 0.0
    out["zshare"] = float((np.abs(c) > sd).mean()) if sd > 0 else 0.0
    e = np.exp(x - x.max())
    pr = e / e.sum()
    out["entropy"] = float(-(pr * np.log(pr)).sum() / x.size)
    for bits in (2, 3, 4, 8):
        top = 2 ** (bits - 1) - 1
        s = np.abs(x).max() / top
        out["mse%d" % bits] = float(((x - s * np.rint(x / s)) ** 2).mean()) if s > 0 else 0.0
    return out


def spectrum_stats(w):
    s = np.linalg.svd(np.asarray(w, np.float64), compute_uv=False)
    tot = float((s * s).sum())
    if tot == 0:
        return dict(fro=0.0, sigma_max=0.0, stable_rank=0.0, effective_rank=0.0, k99=0)
    p = s[s > 0] / s.sum()
    return dict(fro=tot ** 0.5, sigma_max=float(s[0]), stable_rank=tot / float(s[0]) ** 2,
                effective_rank=float(np.exp(-(p * np.log(p)).sum())), k99=keep(s))


def boosted(kurts):
    """KurtBoost's raw figure: doubled where the step from below has |z| > 2."""
    k = np.asarray(kurts, np.float64)
    out = k.copy()
    step = np.diff(k)
    if len(step) and step.std() > 0:
        z = (step - step.mean()) / step.std()
        out[1:][np.abs(z) > 2] *= 2
    return out


# Fixtures: two small models with what every tool must say of them


def fixture(rng, layers, d, hd, n_head, n_kv, ff, vocab, tied):
    """Weights in float16, of different shapes and scales in each layer."""

    def w(rows, cols, spread):
        x = rng.standard_t(4 + 3 * rng.random(), (rows, cols)) * spread
        x += rng.standard_normal((rows, 1)) * rng.standard_normal((1, cols)) * spread * rng.random()
        return x.astype(np.float16)

    model = dict(embed=w(vocab, d, 0.05), output=None if tied else w(vocab, d, 0.07), layers=[])
    for i in range(layers):
        s = 0.02 * (1 + i % 3)
        model["layers"].append(dict(
            q=w(n_head * hd, d, s), k=w(n_kv * hd, d, s), v=w(n_kv * hd, d, s),
            o=w(d, n_head * hd, s), gate=w(ff, d, s), up=w(ff, d, s), down=w(d, ff, s)))
    model["config"] = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=d,
        intermediate_size=ff, num_hidden_layers=layers, num_attention_heads=n_head,
        num_key_value_heads=n_kv, head_dim=hd, vocab_size=vocab, tie_word_embeddings=tied,
        max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0,
        torch_dtype="float16")
    return model


HF = dict(q="self_attn.q_proj", k="self_attn.k_proj", v="self_attn.v_proj",
          o="self_attn.o_proj", gate="mlp.gate_proj", up="mlp.up_proj", down="mlp.down_proj")
SHORT = dict(q="attn_q", k="attn_k", v="attn_v", o="attn_output", gate="ffn_gate",
             up="ffn_up", down="ffn_down")


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, x in tensors:
        begin = len(data)
        data += x.tobytes()
        header[name] = dict(dtype="F16", shape=list(x.shape), data_offsets=[begin, len(data)])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def write_model(folder, model):
    os.makedirs(folder, exist_ok=True)
    ones = np.ones(model["embed"].shape[1], np.float16)
    t = [("model.embed_tokens.weight", model["embed"])]
    for i, layer in enumerate(model["layers"]):
        p = "model.layers.%d." % i
        t += [(p + HF[x] + ".weight", layer[x]) for x in HF]
        t += [(p + "input_layernorm.weight", ones), (p + "post_attention_layernorm.weight", ones)]
    t.append(("model.norm.weight", ones))
    if model["output"] is not None:
        t.append(("lm_head.weight", model["output"]))
    write_safetensors(os.path.join(folder, "model.safetensors"), t)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(model["config"], f, indent=1)
        f.write("\n")


def model_stats(model):
    """(unit, stat, value) rows, and the components per layer."""
    c = model["config"]
    out = model["embed"] if model["output"] is None else model["output"]
    p = unembedding(out)
    rows, comps = [], []
    outside = [("token_embd", model["embed"])]
    outside += [("output", out)] if model["output"] is not None else []
    for unit, w in outside:
        rows += [(unit, k, v) for k, v in tensor_stats(w).items()]
    for i, layer in enumerate(model["layers"]):
        got = layer_components(layer, c["num_attention_heads"], c["num_key_value_heads"], p)
        comps.append(got)
        for x, short in SHORT.items():
            unit = "blk.%d.%s" % (i, short)
            rows += [(unit, k, v) for k, v in tensor_stats(layer[x]).items()]
            rows += [(unit, k, v) for k, v in spectrum_stats(layer[x]).items()]
        for comp in COMPONENTS:
            unit = "blk.%d.%s" % (i, SHORT.get(comp, comp))
            rows += [(unit, k, v) for k, v in zip(("nv", "se", "se_official"), got[comp])]
    return rows, comps


def scores(model, rows, comps):
    """method -> (unit, column, value) rows."""
    n = len(model["layers"])
    stat = {(u, s): v for u, s, v in rows}
    units = ["blk.%d.%s" % (i, s) for i in range(n) for s in SHORT.values()]
    out = {}
    for variant in ("paper", "official"):
        got = nsds(comps, variant)
        r = []
        for i, x in enumerate(got):
            r += [("blk.%d" % i, k, x[k]) for k in ("score", "nsds", "nv", "se")]
            r += [("blk.%d" % i, "p_%s_%s" % key, v) for key, v in x["p"].items()]
        out["nsds-" + variant] = r

    def layer_units(i):
        return [u for u in units if u.startswith("blk.%d." % i)]

    def mean(i, s, weighted):
        us = layer_units(i)
        w = [stat[u, "n"] if weighted else 1.0 for u in us]
        return float(np.average([stat[u, s] for u in us], weights=w))

    def layer_rows(s, weighted):
        return [("blk.%d" % i, "score", mean(i, s, weighted)) for i in range(n)]

    for b in (2, 3, 4, 8):
        out["mse%d" % b] = layer_rows("mse%d" % b, True)
    out["zd"] = layer_rows("zshare", False)
    out["ewq"] = layer_rows("entropy", True)
    k = [mean(i, "kurt", False) for i in range(n)]
    raw = boosted(k)
    sc = softplus(mad_z(raw))
    out["kurtboost"] = [("blk.%d" % i, c, v[i]) for i in range(n)
                        for c, v in (("score", sc), ("raw", raw), ("kurt", k))]
    return out


def write_rows(path, rows):
    with open(path, "w") as f:
        for u, s, v in rows:
            f.write("%s\t%s\t%.12g\n" % (u, s, v))


# Arrays of the unit tests: the same numbers in C, see random_weights() there


def lcg(n, seed):
    out, x = np.empty(n, np.float32), seed
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        u = (x >> 8) / 16777216.0 - 0.5
        out[i] = u * u * u + 0.25 * u
    return out


def unit_cases():
    """Name -> numbers, for tests/unit/nsds_expect.h."""
    def w(rows, cols, seed):
        return lcg(rows * cols, seed).reshape(rows, cols)

    p = unembedding(w(70, 37, 5))
    narrow = unembedding(w(9, 37, 6))  # rank 9: P itself is smaller than its complement
    out = {}
    for name, rows, cols in (("tall", 61, 37), ("wide", 23, 37), ("square", 37, 37)):
        out["gate_" + name] = detector(w(rows, cols, 11))
        out["spectrum_" + name] = tuple(spectrum_stats(w(rows, cols, 11)).values())
    for name, cols in (("tall", 23), ("wide", 61), ("square", 37)):
        out["down_" + name] = writer(w(37, cols, 12), p)
        out["down_narrow_" + name] = writer(w(37, cols, 12), narrow)

    def head(a, b, rank, writes):
        c = a.astype(np.float64).T @ b.astype(np.float64)
        if not writes:
            return qk_head(c, min(rank, 37))
        u, s, _ = svd(c)
        s, u = s[:rank], u[:, :rank]
        k = keep(s)
        return (kurt(c),) + combine(s[:k], np.linalg.norm(p.T @ u[:, :k], axis=0))

    for rank in (7, 40):
        a, b = w(2 * rank, 37, 21), w(rank, 37, 22)
        for h in range(2):
            f = a[h * rank:(h + 1) * rank]
            out["qk_%d_%d" % (rank, h)] = head(f, b, rank, False)
            out["ov_%d_%d" % (rank, h)] = head(f, b, rank, True)
    # The last two rows almost parallel: too badly conditioned for a Gram matrix.
    b = w(7, 37, 22)
    b[6] = b[5] * np.float32(1.5)
    b[6, 0] += np.float32(2.0 ** -20)
    out["qk_parallel"] = head(w(7, 37, 21), b, 7, False)
    layers = [dict((c, tuple(float(t) for t in lcg(3, 100 + 10 * i + j)))
                   for j, c in enumerate(COMPONENTS)) for i in range(6)]
    for v in ("paper", "official"):
        for i, x in enumerate(nsds(layers, v)):
            out["fuse_%s_%d" % (v, i)] = (x["score"], x["nsds"], x["nv"], x["se"],
                                          x["p"]["nv", "qk"], x["p"]["se", "down"])
    x = lcg(5003, 31)
    t = tensor_stats(x)
    out["stat"] = tuple(t[k] for k in ("mean", "var", "skew", "kurt", "min", "max", "zshare",
                                       "entropy", "mse2", "mse3", "mse4", "mse8"))
    return out


def write_header(path, cases):
    with open(path, "w") as f:
        f.write("/* Made by tests/data/gen_nsds.py with numpy in double; not to be edited. */\n")
        f.write("/* clang-format off */\n")
        f.write("#ifndef MPQ_TESTS_NSDS_EXPECT_H\n#define MPQ_TESTS_NSDS_EXPECT_H\n\n")
        for name, v in cases.items():
            f.write("#define WANT_%s \\\n    { %s }\n" % (
                name.upper(), ", ".join("%.15g" % float(x) for x in v)))
        f.write("\n#endif\n")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    rng = np.random.default_rng(20260317)
    models = {
        "nsds-tied": fixture(rng, 4, 36, 9, 4, 2, 53, 67, True),
        "nsds-untied": fixture(rng, 5, 40, 10, 4, 4, 26, 30, False),
    }
    for name, m in models.items():
        folder = os.path.join(here, name)
        write_model(folder, m)
        rows, comps = model_stats(m)
        write_rows(os.path.join(folder, "stats.want"), rows)
        for method, r in scores(m, rows, comps).items():
            write_rows(os.path.join(folder, method + ".want"), r)
    write_header(os.path.join(here, "..", "unit", "nsds_expect.h"), unit_cases())


if __name__ == "__main__":
    sys.exit(main())
