#!/usr/bin/env python3
"""Squared error, time and KL divergence of mpq-pack's encoders beside llama-quantize's,
for every type that both write.

    encoder.py PEER MODEL.gguf [TEXT] [--kl-text FILE] [--dither SEED] [--bin DIR]
               [--types LIST] [--efforts LIST] [--imatrix LIST] [--chunks N]
               [--kl-chunks N] [--repeat N] [-j N]

PEER has llama.cpp's programs in bin/. The model is first made f32, so that both begin
with the same numbers; then each type is written by both, without and (given TEXT) with
an importance matrix of --chunks chunks of TEXT. mpq-pack gets the very types that
llama-quantize --pure ended up with, and what stays f32 must be the same bytes in both
files. Errors are compared over the tensors of the type in question, weighted by the
importance where there is one. Time is processor time (user and system) of the whole
program, the least of --repeat runs.

With --kl-chunks, the mean KL divergence of the f32 model's next-token distributions from
the whole file's, on that many chunks of 512 tokens of --kl-text (by default TEXT's second
half, while its first half makes the importance): computed from the logits that
llama-perplexity saves, it is the "Mean KLD" that its --kl-divergence prints. The ratio's
standard error takes the chunks as the samples, and for each chunk both files together.

--dither is for a model that is itself quantized: its weights lie on a grid that one type
or another has by accident. To each weight uniform noise of one step of its block is added
first.

One line a case; ratios are ours / theirs, so below 1 is ours. Needs Python's gguf and
numpy.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile

import gguf
import numpy as np

TYPES = "q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 iq4_nl iq4_xs q3_k q2_k".split()


def run(command, **kwargs):
    """Processor seconds of COMMAND and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    r = subprocess.run(command, capture_output=True, text=True, errors="replace", **kwargs)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if r.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {r.returncode}\n{r.stderr[-2000:]}")
    seconds = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
    return seconds, r.stdout + r.stderr


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def importance(path):
    """Mean importance of each column, by tensor name."""
    all_tensors = tensors(path)
    out = {}
    for name, t in all_tensors.items():
        if name.endswith(".in_sum2"):
            count = all_tensors[name[:-8] + ".counts"].data.reshape(-1)
            if count.size == 1 and count[0] > 0:
                out[name[:-8]] = t.data.reshape(-1).astype(np.float64) / count[0]
    return out


def squared_error(reference, path, type_name, weights):
    total = 0.0
    for name, t in tensors(path).items():
        if t.tensor_type.name.lower() != type_name or len(t.shape) < 2:
            continue
        if weights is not None and name not in weights:
            continue
        x = reference[name].data.reshape(-1, int(t.shape[0]))
        y = gguf.quants.dequantize(t.data, t.tensor_type).reshape(x.shape)
        d = (x - y).astype(np.float64)
        by_column = np.einsum("ij,ij->j", d, d)
        total += float(by_column @ weights[name] if weights is not None else by_column.sum())
    return total


def write_plan(path, types_of):
    with open(path, "w") as f:
        f.write("#unit\ttype\n")
        for name, t in tensors(types_of).items():
            if len(t.shape) > 1:
                short = name[:-7] if name.endswith(".weight") else name
                f.write(f"{short}\t{t.tensor_type.name.lower()}\n")


def logits_of(path):
    """Log probabilities as llama-perplexity saves them, a row of n_vocab for each token
    that counts, and the number of chunks. A row is scale and least value (f32), then
    u16 steps."""
    with open(path, "rb") as f:
        if f.read(8) != b"_logits_":
            sys.exit(f"{path}: not a file of logits")
        n_ctx, n_vocab, n_chunks = np.fromfile(f, np.int32, 3)
        rows = n_chunks * (n_ctx - 1 - n_ctx // 2)
        width = 2 * ((n_vocab + 1) // 2) + 4
        data = np.memmap(f, np.uint16, "r", 20 + 4 * n_chunks * n_ctx, (rows, width))
    return data, int(n_vocab), int(n_chunks)


def log_probabilities(row, n_vocab):
    scale, least = row[:4].view(np.float32)
    x = scale * row[4 : 4 + n_vocab].astype(np.float32) + least
    return x - np.log(np.exp(x).sum(dtype=np.float64)).astype(np.float32)


def save_logits(o, model, text, path):
    run([f"{o.peer}/bin/llama-perplexity", "-m", model, "-f", text, "-t", str(o.j),
         "--kl-divergence-base", path, "--chunks", str(o.kl_chunks)])


def kl_by_chunk(o, d, model, base, text):
    """Mean KL divergence of each chunk."""
    path = os.path.join(d, "logits")
    save_logits(o, model, text, path)
    (p_rows, n_vocab, n_chunks), (q_rows, *_) = logits_of(base), logits_of(path)
    kl = np.empty(len(p_rows))
    for i, (p_row, q_row) in enumerate(zip(p_rows, q_rows, strict=True)):
        p = log_probabilities(p_row, n_vocab)
        kl[i] = np.dot(np.exp(p), p - log_probabilities(q_row, n_vocab))
    os.remove(path)
    return kl.reshape(n_chunks, -1).mean(axis=1)


def ratio_error(ours, theirs):
    """Standard error of sum(ours) / sum(theirs), the chunks being the samples."""
    n = len(ours)
    rest = ours - ours.sum() / theirs.sum() * theirs
    return np.sqrt(n / (n - 1) * (rest @ rest)) / theirs.sum() if n > 1 else np.nan


def check_alike(ours, theirs):
    """The same tensors of the same types, and the same bytes in what is not encoded."""
    a, b = tensors(ours), tensors(theirs)
    if a.keys() != b.keys():
        sys.exit("the two files have different tensors")
    for name, t in a.items():
        if t.tensor_type != b[name].tensor_type:
            sys.exit(f"{name}: {t.tensor_type.name} and {b[name].tensor_type.name}")
        if t.tensor_type.name in ("F32", "F16", "BF16"):
            if not np.array_equal(t.data, b[name].data):
                sys.exit(f"{name}: not encoded, yet not the same in both files")


def dither(source, f32, seed):
    """Adds uniform noise of one step of its block to each weight of F32, whose weights
    are those of SOURCE; for types that begin with the step and have blocks of 32."""
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


def ratio(ours, theirs):
    return 1.0 if ours == theirs else ours / theirs if theirs > 0 else float("inf")


def least_time(o, command):
    return min(run(command)[0] for _ in range(o.repeat))


def compare(o, d, f32, reference, name, imatrix, weights, base, kl_text):
    theirs, ours, plan = (os.path.join(d, x) for x in ("theirs.gguf", "ours.gguf", "plan"))
    extra = ["--imatrix", imatrix] if imatrix else []
    their_time = least_time(o, [f"{o.peer}/bin/llama-quantize", *extra, "--pure", f32,
                                theirs, name, str(o.j)])
    write_plan(plan, theirs)
    their_error = squared_error(reference, theirs, name, weights)
    their_kl = kl_by_chunk(o, d, theirs, base, kl_text) if base else None
    for effort in o.efforts.split(","):
        our_time = least_time(o, [f"{o.bin}/mpq-pack", "-q", *extra, "-p", plan, "--effort",
                                  effort, "-j", str(o.j), "-o", ours, f32])
        check_alike(ours, theirs)
        our_error = squared_error(reference, ours, name, weights)
        line = (f"{name}\t{'yes' if imatrix else 'no'}\t{effort}"
                f"\t{ratio(our_error, their_error):.4f}\t{our_time / their_time:.2f}")
        if base:
            kl = kl_by_chunk(o, d, ours, base, kl_text)
            line += (f"\t{kl.mean():.6f}\t{their_kl.mean():.6f}"
                     f"\t{kl.mean() / their_kl.mean():.3f}"
                     f"\t{ratio_error(kl, their_kl):.3f}")
        print(line, flush=True)


def prepare_text(o, d):
    """The text for the importance and that for KL."""
    if o.kl_text:
        return o.text, o.kl_text
    with open(o.text, encoding="utf-8") as f:
        lines = f.readlines()
    paths = []
    for part, half in enumerate((lines[: len(lines) // 2], lines[len(lines) // 2 :])):
        paths.append(os.path.join(d, f"text{part}"))
        with open(paths[-1], "w", encoding="utf-8") as f:
            f.writelines(half)
    return paths


def main():
    p = argparse.ArgumentParser()
    p.add_argument("peer")
    p.add_argument("model")
    p.add_argument("text", nargs="?")
    p.add_argument("--kl-text")
    p.add_argument("--dither", type=int)
    p.add_argument("--bin", default="bin")
    p.add_argument("--types", default=",".join(TYPES))
    p.add_argument("--efforts", default="fast,default")
    p.add_argument("--imatrix", default="no,yes")
    p.add_argument("--chunks", type=int, default=16)
    p.add_argument("--kl-chunks", type=int, default=0)
    p.add_argument("--repeat", type=int, default=1)
    p.add_argument("-j", type=int, default=1)
    o = p.parse_args()
    if o.kl_chunks and not o.text:
        p.error("--kl-chunks needs TEXT")
    with tempfile.TemporaryDirectory() as d:
        f32, imatrix, base = (os.path.join(d, x) for x in ("f32.gguf", "im.gguf", "base"))
        calib, kl_text = prepare_text(o, d) if o.text else (None, None)
        run([f"{o.peer}/bin/llama-quantize", "--allow-requantize", "--pure", o.model, f32,
             "F32"])
        if o.dither is not None:
            dither(tensors(o.model), f32, o.dither)
        ways = [w == "yes" for w in o.imatrix.split(",") if w == "no" or o.text]
        if any(ways):
            run([f"{o.peer}/bin/llama-imatrix", "-m", f32, "-f", calib, "-o", imatrix,
                 "-t", str(o.j), "--chunks", str(o.chunks), "--no-ppl"])
        if o.kl_chunks:
            save_logits(o, f32, kl_text, base)
        reference = tensors(f32)
        print("type\timatrix\teffort\terror\ttime" +
              ("\tkl\tkl_theirs\tkl_ratio\tkl_ratio_se" if o.kl_chunks else ""),
              flush=True)
        for name in o.types.split(","):
            for way in ways:
                compare(o, d, f32, reference, name, imatrix if way else None,
                        importance(imatrix) if way else None,
                        base if o.kl_chunks else None, kl_text)


main()
