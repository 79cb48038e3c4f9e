#!/usr/bin/env python3
"""Gradients of the small models of gen_nets.py by the outputs of their linears, from
differences of its forward pass in double precision: nothing here knows how to go
backward.

    gen_grads.py [NAME ...]      writes tests/data/nets/NAME.grad

The loss is the sum of -ln p(label) over the tokens of all sequences of NAME.want (token
t counts through all of them): label (29 t + 11) mod n_vocab, none where t mod 5 is 3.
The outputs y[t][r] of one linear are all moved together, by h c(t, r) with

    c(t, r) = ((37 t + 101 r + 7 t r + 53 k) mod 64 - 31.5) / 32,   k = 0, 1

and the derivative by h at 0 is taken from the loss at four h (error of order h^4;
checked against half the step). NAME.grad is

    loss VALUE
    LAYER MATRIX k VALUE      matrix by GGUF's name; token_embd, with layer 0: the
                              embeddings as the first layer is given them

Needs numpy and gguf.
"""

import os
import sys

import numpy as np

from gen_nets import HERE, VOCAB, cases, forward

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


class Pushed:
    """A weight whose product with an input comes out moved by PUSH."""

    __array_ufunc__ = None

    def __init__(self, w, push):
        self.w, self.push, self.T = w, push, self

    def __rmatmul__(self, x):
        return x @ self.w.T + self.push


class PushedRows:
    """An embedding whose rows come out moved by PUSH; its use as output is not."""

    def __init__(self, w, push):
        self.w, self.push, self.T = w, push, w.T

    def __getitem__(self, tokens):
        return self.w[tokens] + self.push


def direction(t, rows, k):
    r = np.arange(rows)
    t = t[:, None]
    return ((37 * t + 101 * r + 7 * t * r + 53 * k) % 64 - 31.5) / 32


def loss_of(net, w, seqs, name=None, h=0.0, k=0):
    loss, first = 0.0, 0
    for s in seqs:
        t = np.arange(first, first + len(s))
        moved = dict(w)
        if name == "token_embd":
            key = "model.embed_tokens.weight"
            push = h * direction(t, w[key].shape[1], k)
            moved[key] = PushedRows(w[key], push / net["embed_scale"])
        elif name:
            moved[name] = Pushed(w[name], h * direction(t, len(w[name]), k))
        y = forward(net, moved, s)
        top = y.max(-1)
        lse = np.log(np.exp(y - top[:, None]).sum(-1)) + top
        label = (29 * t + 11) % VOCAB
        counts = t % 5 != 3
        loss += (lse - y[np.arange(len(s)), label])[counts].sum()
        first += len(s)
    return loss


def derivative(net, w, seqs, name, k, h):
    f = [loss_of(net, w, seqs, name, x * h, k) for x in (-2, -1, 1, 2)]
    return (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * h)


def main():
    for name, _, net, w, seqs in cases():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        w = {k: v.astype(np.float64) for k, v in w.items()}
        layers = range(net["layers"])
        if len(layers) > 20:  # a few of them
            layers = sorted({0, 1, 5, 6, len(layers) // 2, len(layers) - 1})
        what = [(i, v, "model.layers.%d.%s.weight" % (i, k))
                for i in layers for k, v in NAMES.items()]  # fmt: skip
        what.append((0, "token_embd", "token_embd"))
        worst = 0.0
        with open(os.path.join(HERE, name + ".grad"), "w") as f:
            f.write("loss %.12g\n" % loss_of(net, w, seqs))
            for layer, short, key in what:
                for k in 0, 1:
                    a = derivative(net, w, seqs, key, k, 2e-5)
                    b = derivative(net, w, seqs, key, k, 1e-5)
                    worst = max(worst, abs(a - b) / max(abs(b), 0.01))
                    f.write("%d %s %d %.9g\n" % (layer, short, k, b))
        print("%-14s steps agree to %.1e" % (name, worst))


if __name__ == "__main__":
    main()
