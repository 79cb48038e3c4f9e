#!/usr/bin/env python3
"""What llama-quantize makes of a model at each size: presets, and uniform pairs.

    best_peer.py PEER MODEL.gguf IMATRIX TEXT WORK [--sizes 78M,84M] [--chunks 20] [-j N]

PEER: a folder with llama.cpp's programs in bin/. MODEL: f16, f32 or bf16. Every file is made
with IMATRIX; its divergence from MODEL is taken by llama-perplexity on the first chunks
of TEXT. WORK keeps the reference and one table, peer.tsv (name bytes kl se same); what
stands in it is not measured again.

A preset is a name such as Q4_K_M. A uniform pair is --pure with one type for the
embedding and one for all else; of the pairs that fit into a size, the NEAREST largest
are measured, which is where the best one lies.
"""

import argparse
import os
import re
import subprocess
import sys

PRESETS = "Q2_K IQ3_XXS Q3_K_M IQ4_NL Q4_K_M Q5_K_M".split()
BODIES = "q2_k iq3_xxs q3_k iq3_s iq4_xs iq4_nl q4_0 q4_1 q4_k q5_0 q5_1 q5_k q6_k q8_0".split()
EMBEDS = "iq4_nl q4_0 q4_1 q5_0 q5_1 q8_0".split()
EMBEDS_256 = "q2_k q3_k iq4_xs q4_k q5_k q6_k".split()
NEAREST = 9


def run(command):
    r = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                       errors="replace")
    if r.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {r.returncode}\n{(r.stdout + r.stderr)[-2000:]}")
    return r.stdout + r.stderr


def number(text):
    m = re.fullmatch(r"([0-9.]+)(M|MB|MiB|)", text)
    return int(float(m[1]) * {"": 1, "M": 10**6, "MB": 10**6, "MiB": 2**20}[m[2]])


def row_length(model, name):
    import gguf
    return next(int(t.shape[0]) for t in gguf.GGUFReader(model).tensors if t.name == name)


class Peer:
    def __init__(self, o):
        self.o = o
        os.makedirs(o.work, exist_ok=True)
        self.table = os.path.join(o.work, "peer.tsv")
        self.rows = {}
        if os.path.exists(self.table):
            with open(self.table) as f:
                for line in f:
                    name, size, *rest = line.rstrip("\n").split("\t")
                    if name != "#name":
                        self.rows[name] = (int(size), *map(float, rest))
        else:
            with open(self.table, "w") as f:
                f.write("#name\tbytes\tkl\tse\tsame\n")
        self.base = os.path.join(o.work, "base")

    def perplexity(self, model, *more):
        return run([f"{self.o.peer}/bin/llama-perplexity", "-m", model, "-f", self.o.text, "-t",
                    self.o.j, "-c", 512, "--kl-divergence-base", self.base, *more])

    def quantize(self, name, out):
        embed, _, body = name.partition("+")
        kind = [name] if not body else ["--pure", "--token-embedding-type", embed, body]
        command = [f"{self.o.peer}/bin/llama-quantize", "--imatrix", self.o.imatrix]
        run([*command, *kind[:-1], self.o.model, out, kind[-1], self.o.j])
        return os.path.getsize(out)

    def measure(self, name):
        if name in self.rows:
            return
        if not os.path.exists(self.base):
            self.perplexity(self.o.model, "--chunks", self.o.chunks)
        out = os.path.join(self.o.work, "peer.gguf")
        size = self.quantize(name, out)
        text = self.perplexity(out, "--kl-divergence")
        kl = re.search(r"Mean +KLD: +([0-9.]+) ± +([0-9.]+)", text)
        same = re.search(r"Same top p: +([0-9.]+)", text)
        self.rows[name] = (size, float(kl[1]), float(kl[2]), float(same[1]))
        with open(self.table, "a") as f:
            f.write("\t".join([name, *map(str, self.rows[name])]) + "\n")
        print(name, *self.rows[name], flush=True)

    def pair_sizes(self):
        """By --dry-run's arithmetic: bits of each type where rows allow it, else of what
        llama-quantize takes instead."""
        path = os.path.join(self.o.work, "pairs.tsv")
        if not os.path.exists(path):
            o = self.o
            embeds = EMBEDS + (EMBEDS_256 if row_length(o.model, "token_embd.weight") % 256 == 0 else [])
            sizes = []
            for body in BODIES:  # the file once for each body; embeddings differ by arithmetic
                out = os.path.join(o.work, "pair.gguf")
                self.quantize(f"{embeds[0]}+{body}", out)
                sizes += [(f"{e}+{body}", os.path.getsize(out) + self.embed_bytes(e) -
                           self.embed_bytes(embeds[0])) for e in embeds]
                os.remove(out)
            with open(path, "w") as f:
                f.writelines(f"{n}\t{s}\n" for n, s in sizes)
        with open(path) as f:
            return [(n, int(s)) for n, s in (line.split() for line in f)]

    def embed_bytes(self, name):
        import gguf
        t = next(t for t in gguf.GGUFReader(self.o.model).tensors if t.name == "token_embd.weight")
        n, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
        return int(t.n_elements) // n * size

    def best(self, size, names):
        fits = [(self.rows[n][1], n) for n in names if n in self.rows and self.rows[n][0] <= size]
        return min(fits)[1] if fits else None


def main():
    p = argparse.ArgumentParser()
    for name in "peer model imatrix text work".split():
        p.add_argument(name)
    p.add_argument("--sizes", default="")
    p.add_argument("--presets", default=",".join(PRESETS))
    p.add_argument("--chunks", type=int, default=20)
    p.add_argument("-j", type=int, default=os.cpu_count())
    o = p.parse_args()
    peer = Peer(o)
    presets = [x for x in o.presets.split(",") if x]
    for name in presets:
        peer.measure(name)
    pairs = peer.pair_sizes() if o.sizes else []
    for size in map(number, o.sizes.split(",") if o.sizes else []):
        fits = sorted((s, n) for n, s in pairs if s <= size)
        for s, name in fits[-NEAREST:]:
            peer.measure(name)
        for kind, names in ("preset", presets), ("pair", [n for n, s in pairs]):
            name = peer.best(size, names)
            print(f"{size}\tbest {kind}\t{name}", *(peer.rows[name] if name else ()), sep="\t")


main()
