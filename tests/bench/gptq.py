#!/usr/bin/env python3
"""mpq-pack's quantizers beside rounding alone, plain programs, and llama-quantize.

    gptq.py MODEL.gguf CALIB EVAL [--parts kl,plain,speed,memory] [--peer DIR] [--bin DIR]
            [--dither SEED] [--types LIST] [--native LIST] [--methods LIST] [--samples N]
            [--chunks N] [--layers N] [--damp X] [-j N]

Everything begins from an f16 copy of MODEL; --dither first adds to each weight uniform
noise of one step of its block, for a model whose own grid would favor a type.

kl      Mean KL divergence from the f16 copy on the first --chunks chunks of 512 tokens of
        EVAL, by llama-perplexity (--peer; --native types, and all without it: by
        mpq-eval). Blocks in the type where rows allow it, else in the type behind the
        colon ("q4_k:q4_0"). rtn has its importance from the same sequences of CALIB.
plain   Errors of the layers' outputs, tr(E H E^T), over those of a plain numpy program
        with the same Hessians (mpq-stats -f hessian): GPTQ as in the paper, one column
        after another, scale and zero from least and greatest of each group; AWQ as in
        the paper, a grid of 20 exponents for each input.
memory  What mpq-pack -m gptq holds of its own, q4_k, on two layers of a 7B's shapes (rows of
        4096 and 11008) with MODEL's tokenizer, 8 sequences.
speed   Seconds of mpq-pack over those of llama-imatrix and llama-quantize together, on as
        many tokens, one after the other.

Needs Python's gguf, safetensors and numpy.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np

import shapes


def run(command):
    r = subprocess.run([str(c) for c in command], capture_output=True, text=True,
                       errors="replace")
    if r.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {r.returncode}\n{r.stderr[-2000:]}")
    return r.stdout + r.stderr


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def dither(source, f32, seed):
    """As encoder.py's --dither; blocks of 32 whose first number is the step."""
    rng = np.random.default_rng(seed)
    reader = gguf.GGUFReader(f32, "r+")
    for t in reader.tensors:
        was = source[t.name]
        if was.tensor_type.name in ("Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1"):
            size = gguf.GGML_QUANT_SIZES[was.tensor_type][1]
            step = was.data.reshape(-1, size)[:, :2].copy().view(np.float16)
            x = t.data.reshape(-1, 32)
            x += np.abs(step.astype(np.float32)) * rng.uniform(-0.5, 0.5, x.shape).astype(
                np.float32)
        elif len(t.shape) > 1:
            sys.exit(f"{t.name}: --dither does not know the steps of {was.tensor_type.name}")
    reader.data.flush()


def write_f16(o, path):
    """MODEL decoded to f16 (matrices) and f32 (vectors), by the gguf package."""
    reader = gguf.GGUFReader(o.model)
    f32 = path + ".f32"
    run([f"{o.bin}/mpq-pack", "-q", "-p", plan_of(o.model, lambda t: "f32", path + ".plan"),
         "-o", f32, o.model])
    if o.dither is not None:
        dither({t.name: t for t in reader.tensors}, f32, o.dither)
    run([f"{o.bin}/mpq-pack", "-q", "-p", plan_of(o.model, lambda t: "f16", path + ".plan"),
         "-o", path, f32])
    os.remove(f32)


def plan_of(model, type_of, path):
    with open(path, "w") as f:
        f.write("#unit\ttype\n")
        for t in gguf.GGUFReader(model).tensors:
            if len(t.shape) > 1:
                f.write(f"{t.name.removesuffix('.weight')}\t{type_of(t)}\n")
    return path


def chooser(spec):
    """ "q4_k:q4_0": the first where rows are multiples of its block."""
    first, _, second = spec.partition(":")
    block = 256 if first.endswith("_k") or first == "iq4_xs" else 32

    def choose(t):
        if not t.name.startswith("blk."):
            return "f16"
        return first if first.startswith("int") or t.shape[0] % block == 0 else second
    return choose


def head_dim(path):
    reader = gguf.GGUFReader(path)

    def number(key):
        f = reader.fields.get(reader.fields["general.architecture"].contents() + key)
        return int(f.contents()) if f else 0
    return number(".attention.key_length") or (
        number(".embedding_length") // number(".attention.head_count"))


class Bench:
    def __init__(self, o, d):
        self.o, self.d = o, d
        self.f16 = os.path.join(d, "f16.gguf")
        write_f16(o, self.f16)
        self.base = None

    def pack(self, method, spec, out, more=(), calib=True):
        o = self.o
        plan = plan_of(self.f16, chooser(spec), os.path.join(self.d, "plan"))
        if calib and method != "hqq":
            more = ["-c", o.calib, "--samples", o.samples, *more]
        if method == "gptq":
            more = [*more, "--damp", o.damp]
        native = spec.startswith("int")
        start = time.monotonic()
        run([f"{o.bin}/mpq-pack", "-q", "-p", plan, "-m", method, "-j", o.j, "-f",
             "fake" if native else "gguf", "-o", out, *more, self.f16])
        return time.monotonic() - start

    def kl_peer(self, path):
        o = self.o
        command = [f"{o.peer}/bin/llama-perplexity", "-f", o.eval, "-t", o.j, "-c", 512]
        if not self.base:
            self.base = os.path.join(self.d, "base")
            run([*command, "-m", self.f16, "--kl-divergence-base", self.base, "--chunks",
                 o.chunks])
        text = run([*command, "-m", path, "--kl-divergence-base", self.base,
                    "--kl-divergence"])
        m = re.search(r"Mean +KLD: +([0-9.]+) ± +([0-9.]+)", text)
        return float(m[1]), float(m[2])

    def kl_own(self, path):
        o = self.o
        for line in run([f"{o.bin}/mpq-eval", "-q", "-j", o.j, "--ref", self.f16, "-x",
                         o.eval, "--ctx", 512, "--chunks", o.chunks, path]).splitlines():
            cells = line.split("\t")
            if len(cells) > 4 and cells[2] == "kld":
                return float(cells[3]), float(cells[4])
        sys.exit("mpq-eval: no row kld")

    def kl(self):
        o = self.o
        print("type\tmethod\tkl\tse\tover_rtn", flush=True)
        for spec in o.types.split(",") + o.native.split(","):
            if not spec:
                continue
            base = None
            for method in o.methods.split(","):
                native = spec.startswith("int")
                out = os.path.join(self.d, "out" + (".safetensors" if native else ".gguf"))
                self.pack(method, spec, out)
                kl, se = (self.kl_own if native or not o.peer else self.kl_peer)(out)
                base = base or kl
                print(f"{spec}\t{method}\t{kl:.6f}\t{se:.6f}\t{kl / base:.3f}", flush=True)

    # --- plain programs -----------------------------------------------------------

    def plain(self):
        import safetensors.numpy
        o = self.o
        path = os.path.join(self.d, "hessian")
        run([f"{o.bin}/mpq-stats", "-q", "-c", o.calib, "--samples", o.samples, "-f",
             "hessian", "-o", path, self.f16])
        grams = safetensors.numpy.load_file(path)
        model = tensors(self.f16)
        o.head_dim = head_dim(self.f16)
        print("method\ttype\tsum_ratio\tworst_ratio\tmatrix", flush=True)
        for method, program in (("gptq", plain_gptq), ("awq", plain_awq)):
            if method not in o.methods.split(","):
                continue
            for spec in ("int4g128", "int3g128"):
                out = os.path.join(self.d, "out.safetensors")
                self.pack(method, spec, out, ["--hessian", path], calib=False)
                ours = safetensors.numpy.load_file(out)
                compare(method, spec, program, grams, model, ours, o)

    # --- speed --------------------------------------------------------------------

    def speed(self):
        o = self.o
        imatrix, out = (os.path.join(self.d, x) for x in ("im.gguf", "theirs.gguf"))
        start = time.monotonic()
        run([f"{o.peer}/bin/llama-imatrix", "-m", self.f16, "-f", o.calib, "-o", imatrix,
             "-t", o.j, "--chunks", o.samples, "-c", 512, "--no-ppl"])
        run([f"{o.peer}/bin/llama-quantize", "--imatrix", imatrix, "--pure", self.f16, out,
             "q4_0", o.j])
        theirs = time.monotonic() - start
        print(f"llama-imatrix + llama-quantize\t{theirs:.1f} s", flush=True)
        for method in o.methods.split(","):
            ours = self.pack(method, "q4_0", os.path.join(self.d, "ours.gguf"))
            print(f"{method}\t{ours:.1f} s\t{ours / theirs:.2f}", flush=True)

    # --- memory -------------------------------------------------------------------

    def memory(self):
        o = self.o
        peak, model, figures, out = (os.path.join(self.d, x) for x in
                                     ("peak", "7b.gguf", "figures", "7b.out"))
        here = os.path.dirname(os.path.abspath(__file__))
        run([os.environ.get("CC", "cc"), "-O2", "-o", peak, os.path.join(here, "peak.c")])
        shapes.llama7b(o.model, model, 2, fill=True)
        plan = plan_of(model, lambda t: "q4_k" if t.name.startswith("blk.") else "q4_0",
                       os.path.join(self.d, "plan"))
        os.environ["PEAK"] = figures
        run([peak, f"{o.bin}/mpq-pack", "-q", "-p", plan, "-m", "gptq", "-c", o.calib,
             "--samples", 8, "-j", o.j, "-o", out, model])
        with open(figures, encoding="ascii") as f:
            print(f"gptq, 7B shapes\t{f.read().strip()}", flush=True)


def sharer(name):
    layer, _, base = name.rpartition(".")
    base = {"attn_k": "attn_q", "attn_v": "attn_q", "ffn_up": "ffn_gate"}.get(base, base)
    return f"{layer}.{base}"


def groups(w, bits, group):
    """Scale and zero of each group by its least and greatest, 0 among them."""
    lo = np.minimum(w.min(axis=1), 0)
    hi = np.maximum(w.max(axis=1), 0)
    scale = (hi - lo) / (2**bits - 1)
    scale[scale == 0] = 1
    return scale, np.round(-lo / scale)


def plain_gptq(w, h, bits, group, o):
    """Frantar et al. 2023, algorithm 1, a column at a time, in double."""
    w = w.astype(np.float64).copy()
    h = h.copy()
    dead = np.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    h[np.diag_indices_from(h)] += o.damp * np.mean(np.diag(h))
    u = np.linalg.cholesky(np.linalg.inv(h)).T
    q = np.zeros_like(w)
    for j in range(w.shape[1]):
        if j % group == 0:
            scale, zero = groups(w[:, j : j + group], bits, group)
        code = np.clip(np.round(w[:, j] / scale) + zero, 0, 2**bits - 1)
        q[:, j] = scale * (code - zero)
        e = (w[:, j] - q[:, j]) / u[j, j]
        w[:, j + 1 :] -= np.outer(e, u[j, j + 1 :])
    return q


def round_to_nearest(w, bits, group):
    q = np.empty_like(w)
    for j in range(0, w.shape[1], group):
        scale, zero = groups(w[:, j : j + group], bits, group)
        code = np.clip(np.round(w[:, j : j + group] / scale[:, None]) + zero[:, None], 0,
                       2**bits - 1)
        q[:, j : j + group] = scale[:, None] * (code - zero[:, None])
    return q


def plain_awq(w, h, bits, group, o):
    """Lin et al. 2023: s = rms(x)^a, normed by sqrt(greatest * least), a of 20 in [0, 1).
    W is all matrices with that input, one below the other."""
    w = w.astype(np.float64)
    x = np.sqrt(np.maximum(np.diag(h), 1e-12 * np.diag(h).max()))
    best, least = None, np.inf
    for a in np.arange(20) / 20:
        s = x**a
        s /= np.sqrt(s.max() * s.min())
        q = round_to_nearest(w * s, bits, group) / s
        loss = np.einsum("ij,jk,ik->", w - q, h, w - q, optimize=True)
        if loss < least:
            best, least = q, loss
    return best


def values(t):
    return gguf.quants.dequantize(t.data, t.tensor_type).reshape(-1, int(t.shape[0]))


def compare(method, spec, program, grams, model, ours, o):
    bits, group = (int(x) for x in re.match(r"int(\d)g(\d+)", spec).groups())
    total, worst = np.zeros(2), (0, "")
    for key, gram in grams.items():
        first = key.removesuffix(".gram")
        h = np.triu(gram.astype(np.float64))
        h += np.triu(h, 1).T
        names = [n for n in model if n.endswith(".weight") and n.startswith("blk.")
                 and len(model[n].shape) > 1 and sharer(n.removesuffix(".weight")) == first]
        if o.layers and int(first.split(".")[1]) >= o.layers:
            continue
        w = np.concatenate([values(model[n]) for n in names]).astype(np.float64)
        theirs = program(w, h, bits, group, o)
        mine = np.concatenate([ours[n].reshape(-1, w.shape[1]) for n in names]).astype(
            np.float64)
        if method == "awq":  # undo the scales that others took over
            at = 0
            for n in names:
                rows = values(model[n]).shape[0]
                mine[at : at + rows] *= row_scales(n, model, ours, o.head_dim)[:, None]
                at += rows
            mine = mine / awq_scales(first, model, ours, w, mine)
        loss = [np.einsum("ij,jk,ik->", e, h, e, optimize=True) for e in (w - mine, w - theirs)]
        total += loss
        if loss[0] / loss[1] > worst[0]:
            worst = (loss[0] / loss[1], first)
    print(f"{method}\t{spec}\t{total[0] / total[1]:.4f}\t{worst[0]:.4f}\t{worst[1]}",
          flush=True)


def column_scales(w, mine):
    """Of the columns of W in MINE, by least squares."""
    s = np.einsum("ij,ij->j", w, mine) / np.maximum(np.einsum("ij,ij->j", w, w), 1e-30)
    return np.where(s > 0, s, 1)


def awq_scales(first, model, ours, w, mine):
    """Of each column: from the norm before it, or by least squares, where rows of
    another matrix took them over."""
    layer, _, base = first.rpartition(".")
    norm = {"attn_q": "attn_norm", "ffn_gate": "ffn_norm"}.get(base)
    if not norm:
        return column_scales(w, mine)
    name = f"{layer}.{norm}.weight"
    return values(model[name])[0].astype(np.float64) / ours[name].astype(np.float64)


def row_scales(name, model, ours, head):
    """What the rows of NAME were divided by: the scales of the columns that they make."""
    layer, _, base = name.removesuffix(".weight").rpartition(".")
    rows = values(model[name]).shape[0]
    after = {"attn_v": "attn_output", "ffn_up": "ffn_down"}.get(base)
    if not after:
        return np.ones(rows)
    w = values(model[f"{layer}.{after}.weight"]).astype(np.float64)
    mine = ours[f"{layer}.{after}.weight"].reshape(w.shape).astype(np.float64)
    s = column_scales(w, mine)
    if base == "ffn_up":
        return s
    # query heads of a group share theirs
    return s.reshape(rows // head, -1, head).mean(axis=1).reshape(-1)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("calib")
    p.add_argument("eval")
    p.add_argument("--parts", default="kl,plain,speed,memory")
    p.add_argument("--peer")
    p.add_argument("--bin", default="bin")
    p.add_argument("--dither", type=int)
    p.add_argument("--types", default="q4_0,iq4_nl,q4_k:q4_0")
    p.add_argument("--native", default="int3g64,int2g64")
    p.add_argument("--methods", default="rtn,hqq,awq,gptq")
    p.add_argument("--samples", type=int, default=128)
    p.add_argument("--chunks", type=int, default=20)
    p.add_argument("--layers", type=int, default=0, help="plain: the first so many")
    p.add_argument("--damp", type=float, default=0.01)
    p.add_argument("-j", type=int, default=os.cpu_count())
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        b = Bench(o, d)
        for part in o.parts.split(","):
            if part == "speed" and not o.peer:
                print("speed: skipped, no --peer", flush=True)
                continue
            getattr(b, part)()


main()
