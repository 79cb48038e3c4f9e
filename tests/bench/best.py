#!/usr/bin/env python3
"""The best file at a size beside what llama-quantize makes: presets, and uniform pairs.

    best.py PEER MODEL.gguf CALIB TEXT WORK [--sizes 78M,84M] [--presets LIST] [--peer-only]
            [--texts FILE,...] [--tasks FILE,...] [--controls] [--nearest 9] [--chunks 20]
            [-j N]

PEER: a folder with llama.cpp's programs in bin/. MODEL: f16, f32 or bf16. Both sides learn
from CALIB alone, the peer by llama-imatrix (all of it). Divergence from MODEL is taken by
llama-perplexity on the first chunks of TEXT, and of --texts for the files that are held
against each other; of --tasks (JSONL), by mpq-eval, the share that they solve, and how
many come out otherwise than with MODEL. WORK keeps what is measured, in measured.tsv
(file text bytes kl se same) and tasks/, and is gone on from; begun with other inputs it
is refused. --controls: our plan of each size beside our uniform, random and inverted
ones, rounded, on 40 chunks of the held-back part of CALIB.

A preset is a name such as Q4_K_M. A uniform pair is --pure with one type for the
embedding and one for all else; of the pairs that fit into a size, the --nearest largest
are measured, which is where the best one lies. At each preset's size and each of
--sizes, examples/best-gguf makes a file of at most that size; the best peer at that size
stands beside it.
"""

import argparse
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import time

import gguf

PRESETS = "Q2_K IQ3_XXS Q3_K_M IQ4_NL Q4_K_M Q5_K_M".split()
BODIES = "q2_k iq3_xxs q3_k iq3_s iq4_xs iq4_nl q4_0 q4_1 q4_k q5_0 q5_1 q5_k q6_k q8_0".split()
EMBEDS = "iq4_nl q4_0 q4_1 q5_0 q5_1 q8_0".split()
EMBEDS_256 = "q2_k q3_k iq4_xs q4_k q5_k q6_k".split()
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(command):
    r = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                       errors="replace")
    if r.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {r.returncode}\n{(r.stdout + r.stderr)[-2000:]}")
    return r.stdout + r.stderr


def number(text):
    m = re.fullmatch(r"([0-9.]+)(M|MB|MiB|)", text)
    return int(float(m[1]) * {"": 1, "M": 10**6, "MB": 10**6, "MiB": 2**20}[m[2]])


def digest(path):
    h = hashlib.blake2b(digest_size=8)
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def hold_inputs(o, texts, tasks):
    """What WORK was begun with stays: its figures go by names alone."""
    path = os.path.join(o.work, "inputs.json")
    before = {}
    if os.path.exists(path):
        with open(path) as f:
            before = json.load(f)
    elif os.path.exists(os.path.join(o.work, "measured.tsv")):
        sys.exit(f"{o.work}: does not tell what it was begun with: give another folder")
    os.makedirs(o.work, exist_ok=True)
    now = {"number of chunks": o.chunks}
    named = [("model", o.model), ("calib", o.calib)]
    for key, file in named + [(os.path.basename(p), p) for p in (o.text, *texts, *tasks)]:
        if not os.path.exists(file):
            sys.exit(f"{file}: not there")
        this = digest(file)
        if now.setdefault(key, this) != this:
            sys.exit(f"{file}: another file has the name {key} here")
    for key in now.keys() & before.keys():
        if now[key] != before[key]:
            sys.exit(f"{o.work}: was begun with another {key}: give another folder")
    with open(path + ".part", "w") as f:
        json.dump(before | now, f, indent=1)
    os.rename(path + ".part", path)


class Bench:
    def __init__(self, o):
        self.o = o
        self.table = os.path.join(o.work, "measured.tsv")
        self.rows = {}
        self.imatrix = os.path.join(o.work, "imatrix.gguf")
        os.makedirs(os.path.join(o.work, "tasks"), exist_ok=True)
        if os.path.exists(self.table):
            with open(self.table) as f:
                for line in f:
                    name, text, size, *rest = line.rstrip("\n").split("\t")
                    if name != "#file":
                        self.rows[name, text] = (int(size), *map(float, rest))
        else:
            with open(self.table, "w") as f:
                f.write("#file\ttext\tbytes\tkl\tse\tsame\n")

    def perplexity(self, model, text, *more):
        base = os.path.join(self.o.work, f"base.{os.path.basename(text)}")
        command = [f"{self.o.peer}/bin/llama-perplexity", "-f", text, "-t", self.o.j, "-c", 512,
                   "--kl-divergence-base"]
        if not os.path.exists(base):
            run([*command, base + ".part", "-m", self.o.model, "--chunks", self.o.chunks])
            os.rename(base + ".part", base)
        return run([*command, base, "-m", model, "--kl-divergence"])

    def quantize(self, name, out):
        if not os.path.exists(self.imatrix):
            run([f"{self.o.peer}/bin/llama-imatrix", "-m", self.o.model, "-f", self.o.calib, "-o",
                 self.imatrix + ".part.gguf", "-t", self.o.j, "-c", 512, "--no-ppl"])
            os.rename(self.imatrix + ".part.gguf", self.imatrix)
        embed, _, body = name.partition("+")
        kind = [name] if not body else ["--pure", "--token-embedding-type", embed, body]
        command = [f"{self.o.peer}/bin/llama-quantize", "--imatrix", self.imatrix]
        run([*command, *kind[:-1], self.o.model, out, kind[-1], self.o.j])

    def divergence(self, name, path, text):
        """Of the file at PATH, which is NAME in the table."""
        for _ in range(3): # its log is now and then cut off at the end
            out = self.perplexity(path, text)
            kl = re.search(r"Mean +KLD: +([0-9.]+) ± +([0-9.]+)", out)
            same = re.search(r"Same top p: +([0-9.]+)", out)
            if kl and same:
                break
        else:
            sys.exit(f"{name}: llama-perplexity tells no divergence:\n{out[-2000:]}")
        row = (os.path.getsize(path), float(kl[1]), float(kl[2]), float(same[1]))
        self.rows[name, os.path.basename(text)] = row
        with open(self.table, "a") as f:
            f.write("\t".join([name, os.path.basename(text), *map(str, row)]) + "\n")
        print(name, os.path.basename(text), *row, flush=True)

    def answers(self, name, task):
        """Where what NAME makes of TASK is kept."""
        return os.path.join(self.o.work, "tasks", f"{name} {os.path.basename(task)}.tsv")

    def missing(self, name, texts, tasks):
        return ([t for t in texts if (name, os.path.basename(t)) not in self.rows],
                [t for t in tasks if not os.path.exists(self.answers(name, t))])

    def solve(self, name, path, tasks):
        for task in tasks:
            with open(task) as f:
                metric = "acc" if "choices" in json.loads(f.readline()) else "em"
            r = subprocess.run([f"{TOP}/bin/mpq-eval", "-q", "--per-item", "--only", metric, "-k",
                                task, "--name", name, "-o", self.answers(name, task), path],
                               capture_output=True, text=True)
            if r.returncode: # of a type that mpq does not read, such as iq3_xxs
                print(f"no {os.path.basename(task)} of {name}: {r.stderr.strip()}", flush=True)

    def solved(self, name, task):
        """0 or 1 for each item."""
        with open(self.answers(name, task)) as f:
            rows = [line.rstrip("\n").split("\t") for line in f if line[0] != "#"]
        return {r[6]: float(r[3]) for r in rows if r[6] != "." and r[2] in ("acc", "em")}

    def measure(self, name, texts=None, tasks=()):
        """The peer's file NAME."""
        texts, tasks = self.missing(name, texts or [self.o.text], tasks)
        if not texts and not tasks:
            return
        out = os.path.join(self.o.work, "peer.gguf")
        self.quantize(name, out)
        for text in texts:
            self.divergence(name, out, text)
        self.solve(name, out, tasks)
        os.remove(out)

    def make(self, size, *more):
        return run(["make", "-s", "-C", f"{TOP}/examples/best-gguf", f"CALIB={self.o.calib}",
                    f"MODEL={os.path.abspath(self.o.model)}", f"SIZE={size}",
                    f"WORK={os.path.abspath(self.o.work)}/mpq", *more])

    def measure_ours(self, size, texts, tasks):
        name = f"mpq {size}"
        texts, tasks = self.missing(name, texts, tasks)
        if not texts and not tasks:
            return
        out = os.path.join(self.o.work, f"mpq-{size}.gguf")
        start = time.monotonic()
        self.make(size, f"OUT={os.path.abspath(out)}")
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        for text in texts:
            self.divergence(name, out, text)
        self.solve(name, out, tasks)

    def pairs(self):
        """Names and sizes of the uniform pairs: each body is made once, embeddings differ by
        arithmetic."""
        path = os.path.join(self.o.work, "pairs.tsv")
        if not os.path.exists(path):
            embed = next(t for t in gguf.GGUFReader(self.o.model).tensors
                         if t.name == "token_embd.weight")
            embeds = EMBEDS + (EMBEDS_256 if int(embed.shape[0]) % 256 == 0 else [])
            with open(path + ".part", "w") as f:
                for body in BODIES:
                    out = os.path.join(self.o.work, "pair.gguf")
                    self.quantize(f"{embeds[0]}+{body}", out)
                    rest = os.path.getsize(out) - bytes_of(embed, embeds[0])
                    os.remove(out)
                    f.writelines(f"{e}+{body}\t{rest + bytes_of(embed, e)}\n" for e in embeds)
            os.rename(path + ".part", path)
        with open(path) as f:
            return [(n, int(s)) for n, s in (line.split() for line in f)]

    def best(self, size, names):
        text = os.path.basename(self.o.text)
        fits = [(self.rows[n, text][1], n) for n in names
                if (n, text) in self.rows and self.rows[n, text][0] <= size]
        return min(fits)[1] if fits else None


def paired(theirs, ours):
    """Mean of ours less theirs over the items, and its standard error."""
    d = [ours[i] - theirs[i] for i in theirs]
    mean = sum(d) / len(d)
    if len(d) == 1:
        return mean, math.nan
    return mean, (sum((x - mean) ** 2 for x in d) / (len(d) - 1) / len(d)) ** 0.5


def bytes_of(tensor, name):
    n, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
    return int(tensor.n_elements) // n * size


def main():
    p = argparse.ArgumentParser()
    for name in "peer model calib text work".split():
        p.add_argument(name)
    p.add_argument("--sizes", default="")
    p.add_argument("--presets", default=",".join(PRESETS))
    p.add_argument("--texts", default="", help="further texts")
    p.add_argument("--tasks", default="", help="questions, JSONL")
    p.add_argument("--controls", action="store_true")
    p.add_argument("--peer-only", action="store_true")
    p.add_argument("--nearest", type=int, default=9)
    p.add_argument("--chunks", type=int, default=20)
    p.add_argument("-j", type=int, default=os.cpu_count())
    o = p.parse_args()
    text = os.path.basename(o.text)
    o.calib = os.path.abspath(o.calib)
    texts = [o.text] + [t for t in o.texts.split(",") if t]
    tasks = [t for t in o.tasks.split(",") if t]
    hold_inputs(o, texts, tasks)
    b = Bench(o)
    presets = [x for x in o.presets.split(",") if x]
    for name in presets:
        b.measure(name)
    pairs = b.pairs() if o.sizes else []
    sizes = [("preset", b.rows[n, text][0]) for n in presets]
    for size in map(number, o.sizes.split(",") if o.sizes else []):
        sizes.append(("pair", size))
        for s, name in sorted((s, n) for n, s in pairs if s <= size)[-o.nearest:]:
            b.measure(name)
    if not o.peer_only:
        b.solve("MODEL", o.model, b.missing("MODEL", [], tasks)[1])
    print("size\tkind\tpeer\ttext\tkl\tmpq kl\tratio\tse", flush=True)
    for kind, size in sizes:
        name = b.best(size, presets if kind == "preset" else [n for n, s in pairs])
        if o.peer_only or not name:
            print(size, kind, name, text, b.rows[name, text][1] if name else "", sep="\t")
            continue
        b.measure(name, texts, tasks)
        b.measure_ours(size, texts, tasks)
        for t in map(os.path.basename, texts):
            theirs, ours = b.rows[name, t], b.rows[f"mpq {size}", t]
            ratio = ours[1] / theirs[1]
            se = ratio * ((ours[2] / ours[1]) ** 2 + (theirs[2] / theirs[1]) ** 2) ** 0.5
            print(size, kind, name, t, theirs[1], ours[1], f"{ratio:.3f}", f"{se:.3f}", sep="\t",
                  flush=True)
        for t in (t for t in tasks if os.path.exists(b.answers(name, t))):
            theirs, ours = b.solved(name, t), b.solved(f"mpq {size}", t)
            more, se = paired(theirs, ours)
            truth = b.solved("MODEL", t)
            others = [sum(x[i] != truth[i] for i in truth) for x in (theirs, ours)]
            print(size, kind, name, os.path.basename(t), f"{sum(theirs.values()) / len(theirs):.3f}",
                  f"{sum(ours.values()) / len(ours):.3f}", f"{more:+.3f}", f"{se:.3f}",
                  *others, sep="\t", flush=True)
        if o.controls:
            print(b.make(size, "report", "QUANTIZER=rtn", "GAIN=0.6", "HELD=40"), flush=True)


main()
