#!/usr/bin/env python3
"""What the linears of three small models are given, by the plain numpy pass of
gen_nets.py, in double; writes tests/data/nets/NAME.activity, numbers parted by white
space:

    n_layer n_input n_seq
    trace LAYER INPUT  t ...        sums of squares of each sequence (of NAME.want)
    gram LAYER INPUT I J  g         entries of sum x x^T over all tokens
    lim LAYER  x                    mean over tokens of 1 - cos(input, output)
    lsaq LAYER  x                   1 - Jaccard index of the ten likeliest tokens
                                    before and after, mean over last tokens
    output t ...                    traces of what the unembedding is given

Inputs are 0: q k v, 1: o, 2: gate up, 3: down. The pass is not changed for it: weights
are arrays that note what they are multiplied with. The hidden state after i layers
comes from a pass with i layers; its last norm takes a factor from it, which a cosine
does not see.

Needs numpy and gguf (for gen_nets.py).
"""

import os

import numpy as np

import gen_nets

NAMES = "llama", "qwen2", "gemma3"
INPUTS = "self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"
TOP = 10


class Noted(np.ndarray):
    """A matrix that keeps what it is multiplied with from the left, in `seen`."""

    def __array_finalize__(self, other):
        self.seen = getattr(other, "seen", None)

    def __array_ufunc__(self, ufunc, method, *args, **kw):
        if ufunc is np.matmul and args[1] is self:
            self.seen.append(args[0])
        args = [a.view(np.ndarray) if isinstance(a, Noted) else a for a in args]
        return getattr(ufunc, method)(*args, **kw)


def note(w, name):
    """W with its matrix NAME noted, and the notes."""
    x = w[name].view(Noted)
    x.seen = []
    return {**w, name: x}, x.seen


def inputs(net, w, seqs):
    """[layer][input][sequence]: arrays of tokens by columns; and the unembedding's"""
    out = []
    for i in range(net["layers"]):
        out.append([])
        for p in INPUTS:
            noted, seen = note(w, "model.layers.%d.%s.weight" % (i, p))
            for s in seqs:
                gen_nets.forward(net, noted, s)
            out[-1].append(seen)
    noted, seen = note({"lm_head.weight": w["model.embed_tokens.weight"], **w},
                       "lm_head.weight")  # fmt: skip
    for s in seqs:
        gen_nets.forward(net, noted, s)
    assert len(seen) == len(seqs)
    return out, seen


def states(net, w, seq, layers):
    """Hidden states after so many layers, each but for a factor."""
    d = w["model.norm.weight"].shape[0]
    bare = {**w, "lm_head.weight": np.eye(d),
            "model.norm.weight": np.ones(d) * (not net["plus_one"])}  # fmt: skip
    return gen_nets.forward({**net, "layers": layers, "final_cap": None}, bare, seq)


def lim(net, w, seqs, layer):
    out = []
    for s in seqs:
        a, b = states(net, w, s, layer), states(net, w, s, layer + 1)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        out += list(1 - (a * b).sum(1) / norms)
    return np.mean(out)


def top(net, w, seq, layers):
    logits = gen_nets.forward({**net, "layers": layers}, w, seq)[-1]
    order = np.argsort(-logits)
    gap = logits[order[TOP - 1]] - logits[order[TOP]]
    assert gap > 100 * gen_nets.TOL / 10, gap  # a float pass must choose the same
    return set(order[:TOP])


def lsaq(net, w, seqs, layer):
    out = []
    for s in seqs:
        a, b = top(net, w, s, layer), top(net, w, s, layer + 1)
        out.append(1 - len(a & b) / len(a | b))
    return np.mean(out)


def main():
    for name, _, net, w, seqs in gen_nets.cases():
        if name not in NAMES:
            continue
        w = {k: v.astype(np.float64) for k, v in w.items()}
        rng = np.random.default_rng(7)
        layers, output = inputs(net, w, seqs)
        with open(os.path.join(gen_nets.HERE, name + ".activity"), "w") as f:
            f.write("%d %d %d\n" % (len(layers), len(INPUTS), len(seqs)))
            for i, layer in enumerate(layers):
                for k, x in enumerate(layer):
                    traces = " ".join("%.12g" % (s * s).sum() for s in x)
                    f.write("trace %d %d %s\n" % (i, k, traces))
                    x = np.concatenate(x)
                    gram, n = x.T @ x, x.shape[1]
                    places = [(0, 0), (n - 1, n - 1), (0, n - 1)]
                    places += [sorted(rng.integers(0, n, 2)) for _ in range(3)]
                    for a, b in places:
                        f.write("gram %d %d %d %d %.12g\n" % (i, k, a, b, gram[a, b]))
                f.write("lim %d %.12g\n" % (i, lim(net, w, seqs, i)))
                f.write("lsaq %d %.12g\n" % (i, lsaq(net, w, seqs, i)))
            traces = " ".join("%.12g" % (s * s).sum() for s in output)
            f.write("output %s\n" % traces)


if __name__ == "__main__":
    main()
