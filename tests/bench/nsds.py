#!/usr/bin/env python3
"""NSDS of a GGUF model: mpq-stats | mpq-score against two numpy programs, one plain
(full singular value decompositions) and one with the same factored forms.

    OPENBLAS_NUM_THREADS=2 nsds.py MODEL.gguf [--bin DIR] [-j N] [--layers N]
                           [--skip-plain] [--ref FILE.npz] [--want FOLDER]

Prints seconds of each and the greatest deviations, for both variants. --ref keeps the
plain result (a minute or more) in a file; --want writes it (with --skip-plain the other,
which is the same within 1e-12) as tests/cli/score.sh reads it: tests/data/nsds-smollm2.
Needs numpy and gguf.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data"))
import gen_nsds as ref  # noqa: E402


class Model:
    NAMES = dict(q="attn_q", k="attn_k", v="attn_v", o="attn_output", gate="ffn_gate",
                 up="ffn_up", down="ffn_down")

    def __init__(self, path):
        import gguf
        self.dequantize = gguf.quants.dequantize
        r = gguf.GGUFReader(path)
        self.tensors = {t.name: t for t in r.tensors}

        def num(key):
            f = r.fields[key]
            return int(f.parts[f.data[0]][0])

        f = r.fields["general.architecture"]
        arch = bytes(f.parts[f.data[0]]).decode()
        self.n_layer = num(arch + ".block_count")
        self.n_head = num(arch + ".attention.head_count")
        self.n_kv = num(arch + ".attention.head_count_kv")

    def get(self, name):
        t = self.tensors[name + ".weight"]
        return self.dequantize(t.data, t.tensor_type)

    def layer(self, i):
        return {k: self.get("blk.%d.%s" % (i, v)) for k, v in self.NAMES.items()}

    def unembedding(self):
        return self.get("output" if "output.weight" in self.tensors else "token_embd")


# The factored forms in numpy: what lib/method/nsds.c does, as one would write it there.


def kurt_rows(x):
    """Excess kurtosis of each row."""
    c = x - x.mean(axis=1, keepdims=True)
    c *= c
    m2 = c.mean(axis=1)
    c *= c
    return c.mean(axis=1) / m2 ** 2 - 3.0


def kurt_all(x):
    c = (x - x.mean()).ravel()
    c *= c
    m2 = c.mean()
    return float(np.dot(c, c) / c.size / m2 ** 2 - 3.0)


def eig_desc(g):
    lam, vec = np.linalg.eigh(g)
    return np.sqrt(np.maximum(lam[::-1], 0)), vec[:, ::-1]


def f_unembedding(w):
    g = np.zeros((w.shape[1],) * 2)
    for i in range(0, len(w), 4096):
        b = w[i:i + 4096].astype(np.float64)
        g += b.T @ b
    s, v = eig_desc(g)
    return v[:, :ref.keep(s)]


def f_detector(w):
    w = w.astype(np.float64)
    s, v = eig_desc(w.T @ w)
    k = ref.keep(s)
    b = np.log1p(np.maximum(kurt_rows(np.ascontiguousarray(v[:, :k].T)), 0))
    return (kurt_all(w),) + ref.combine(s[:k], b)


def f_writer(w, p):
    w = w.astype(np.float64)
    s, u = eig_desc(w @ w.T)
    k = ref.keep(s)
    return (kurt_all(w),) + ref.combine(s[:k], np.linalg.norm(p.T @ u[:, :k], axis=0))


def f_layer(w, n_head, n_kv, p):
    q, k, v, o = (w[x].astype(np.float64) for x in "qkvo")
    hd = q.shape[0] // n_head
    kqr = [np.linalg.qr(k[g * hd:(g + 1) * hd].T) for g in range(n_kv)]
    vqr = [np.linalg.qr(v[g * hd:(g + 1) * hd].T) for g in range(n_kv)]

    def qk(h, g):
        a = q[h * hd:(h + 1) * hd].T
        qa, ra = np.linalg.qr(a)
        qb, rb = kqr[g]
        u, s, vt = np.linalg.svd(ra @ rb.T)
        n = ref.keep(s)
        ku = kurt_rows((qa @ u[:, :n]).T)
        kv = kurt_rows(vt[:n] @ qb.T)
        b = np.log1p(np.maximum(ku, 0) * np.maximum(kv, 0))
        return (kurt_all(a @ k[g * hd:(g + 1) * hd]),) + ref.combine(s[:n], b)

    def ov(h, g):
        a = o[:, h * hd:(h + 1) * hd]
        qa, ra = np.linalg.qr(a)
        u, s, _ = np.linalg.svd(ra @ vqr[g][1].T)
        n = ref.keep(s)
        b = np.linalg.norm((p.T @ qa) @ u[:, :n], axis=0)
        return (kurt_all(a @ v[g * hd:(g + 1) * hd]),) + ref.combine(s[:n], b)

    return {
        "qk": ref.heads(q, k, n_head, n_kv, qk),
        "gate": f_detector(w["gate"]),
        "up": f_detector(w["up"]),
        "ov": ref.heads(o, v, n_head, n_kv, ov),
        "down": f_writer(w["down"], p),
    }


def run(model, n_layer, unembedding, layer):
    """(components per layer, seconds in all, seconds of reading and decoding)."""
    t0 = time.perf_counter()
    w = model.unembedding()
    read = time.perf_counter() - t0
    p = unembedding(w)
    out = []
    for i in range(n_layer):
        t1 = time.perf_counter()
        w = model.layer(i)
        read += time.perf_counter() - t1
        out.append(layer(w, model.n_head, model.n_kv, p))
    return out, time.perf_counter() - t0, read


def table(path):
    rows = [x.rstrip("\n").split("\t") for x in open(path) if not x.startswith("##")]
    head = [x.lstrip("#") for x in rows[0]]
    return [dict(zip(head, r)) for r in rows[1:]]


UNITS = dict(qk="qk", gate="ffn_gate", up="ffn_up", ov="ov", down="ffn_down")


def compare(stats, scores, want):
    """Greatest deviations: raw components relative to max(1, abs), then P, nv, se, nsds."""
    got = {(r["unit"], r["stat"]): float(r["value"]) for r in table(stats)}
    worst = {}
    for i, layer in enumerate(want):
        for c in ref.COMPONENTS:
            for j, stat in enumerate(("nv", "se", "se_official")):
                x, y = got["blk.%d.%s" % (i, UNITS[c]), stat], layer[c][j]
                key = "%s.%s" % (stat, c)
                worst[key] = max(worst.get(key, 0), abs(x - y) / max(1, abs(y)))
    print("raw components, relative to max(1, abs):")
    print("   " + " ".join("%s %.1e" % x for x in sorted(worst.items())))
    for variant, path in scores.items():
        w2 = {}
        exp = ref.nsds(want, variant)
        for row, e in zip(table(path), exp):
            for key in ("nv", "se", "nsds", "score"):
                w2[key] = max(w2.get(key, 0), abs(float(row[key]) - e[key]))
            for (kind, c), y in e["p"].items():
                w2["P"] = max(w2.get("P", 0), abs(float(row["p_%s_%s" % (kind, c)]) - y))
        print("%s: " % variant + " ".join("%s %.1e" % x for x in sorted(w2.items())))


def write_want(folder, layers):
    rows = [("blk.%d.%s" % (i, UNITS[c]), stat, layer[c][j]) for i, layer in enumerate(layers)
            for c in ref.COMPONENTS for j, stat in enumerate(("nv", "se", "se_official"))]
    ref.write_rows(os.path.join(folder, "stats.want"), rows)
    for variant in "paper", "official":
        rows = []
        for i, e in enumerate(ref.nsds(layers, variant)):
            rows += [("blk.%d" % i, key, e[key]) for key in ("nv", "se", "nsds")]
            rows += [("blk.%d" % i, "p_%s_%s" % key, y) for key, y in e["p"].items()]
        ref.write_rows(os.path.join(folder, "nsds-%s.want" % variant), rows)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("--bin", default="bin")
    ap.add_argument("-j", default="2")
    ap.add_argument("--layers", type=int)
    ap.add_argument("--skip-plain", action="store_true")
    ap.add_argument("--skip-factored", action="store_true")
    ap.add_argument("--ref")
    ap.add_argument("--want")
    ap.add_argument("--tmp", default=os.environ.get("TMPDIR", "/tmp"))
    a = ap.parse_args()
    m = Model(a.model)
    n = a.layers or m.n_layer
    plain = None
    if a.ref and os.path.exists(a.ref):
        z = np.load(a.ref)
        plain = [{c: tuple(z["x"][i][j]) for j, c in enumerate(ref.COMPONENTS)}
                 for i in range(len(z["x"]))]
        print("plain numpy, full SVDs    %8.2f s (kept)" % z["seconds"])
    elif not a.skip_plain:
        plain, sec, read = run(m, n, ref.unembedding, ref.layer_components)
        print("plain numpy, full SVDs    %8.2f s (%.2f s of it decoding)" % (sec, read))
        if a.ref:
            np.savez(a.ref, x=[[x[c] for c in ref.COMPONENTS] for x in plain], seconds=sec)
    if not a.skip_factored:
        fact, sec, read = run(m, n, f_unembedding, f_layer)
        print("numpy, factored forms     %8.2f s (%.2f s of it decoding)" % (sec, read))
        want = plain or fact
    else:
        want = plain
    if a.want and want:
        write_want(a.want, want)
    stats = os.path.join(a.tmp, "mpq-bench-nsds.stats")
    exe = os.path.join(a.bin, "mpq-stats")
    span = ["-l", "0-%d" % (n - 1)] if n < m.n_layer else []
    t0 = time.perf_counter()
    subprocess.run([exe, "--only", "nsds", "-j", a.j, "-o", stats] + span + [a.model], check=True)
    sec = time.perf_counter() - t0
    print("mpq-stats --only nsds     %8.2f s" % sec)
    if span:  # a part alone: without the model's shape, scores do not miss the rest
        rows = [x for x in open(stats) if not x.startswith("##")]
        open(stats, "w").writelines(rows)
    scores = {}
    for v in ("paper", "official"):
        scores[v] = os.path.join(a.tmp, "mpq-bench-nsds." + v)
        subprocess.run([os.path.join(a.bin, "mpq-score"), "-m", "nsds", "--variant", v,
                        "-o", scores[v], stats], check=True)
    if want:
        compare(stats, scores, want)


if __name__ == "__main__":
    main()
