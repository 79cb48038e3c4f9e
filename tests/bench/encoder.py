#!/usr/bin/env python3
"""Squared error, time and KL divergence of mpq-pack's encoders beside llama-quantize's,
for every type that both write.

    encoder.py PEER MODEL.gguf [TEXT] [--bin DIR] [--types LIST] [--efforts LIST]
               [--chunks N] [--kl-chunks N] [--repeat N] [-j N]

PEER has llama.cpp's programs in bin/. The model is first made f32, so that both begin
with the same numbers; then each type is written by both, without and (given TEXT) with
an importance matrix of --chunks chunks of TEXT. mpq-pack gets the very types that
llama-quantize --pure ended up with, so sizes are equal; errors are compared over the
tensors of the type in question. Squared errors are weighted by the importance where
there is one. Time is processor time (user and system) of the whole program, the least of
--repeat runs. With --kl-chunks, mean KL divergence to the f32 model by llama-perplexity
on that many chunks of TEXT, from its second half.

One line a case: type, imatrix, effort, error ratio, time ratio (ours / theirs), KL of
both and their ratio. Below 1 is ours. Needs Python's gguf and numpy.
"""

import argparse
import os
import re
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


def mean_kl(o, model, base, text):
    command = [f"{o.peer}/bin/llama-perplexity", "-m", model, "-f", text, "-t", str(o.j),
               "--kl-divergence", "--kl-divergence-base", base,
               "--chunks", str(o.kl_chunks)]
    for _ in range(5):  # now and then it ends before the last lines are out
        said = run(command)[1]
        found = re.search(r"Mean +KLD: +([0-9.eE+-]+)", said)
        if found:
            return float(found.group(1))
    sys.exit(f"llama-perplexity: no mean KLD in its output\n{said[-2000:]}")


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
    their_kl = mean_kl(o, theirs, base, kl_text) if base else 0
    for effort in o.efforts.split(","):
        our_time = least_time(o, [f"{o.bin}/mpq-pack", "-q", *extra, "-p", plan, "--effort",
                                  effort, "-j", str(o.j), "-o", ours, f32])
        our_error = squared_error(reference, ours, name, weights)
        line = (f"{name}\t{'yes' if imatrix else 'no'}\t{effort}"
                f"\t{ratio(our_error, their_error):.4f}\t{our_time / their_time:.2f}")
        if base:
            kl = mean_kl(o, ours, base, kl_text)
            line += f"\t{kl:.6f}\t{their_kl:.6f}\t{kl / their_kl:.3f}"
        print(line, flush=True)


def prepare_text(o, d):
    """The two halves of the text: one for the importance, one for KL."""
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
    p.add_argument("--bin", default="bin")
    p.add_argument("--types", default=",".join(TYPES))
    p.add_argument("--efforts", default="fast,default")
    p.add_argument("--chunks", type=int, default=16)
    p.add_argument("--kl-chunks", type=int, default=0)
    p.add_argument("--repeat", type=int, default=1)
    p.add_argument("-j", type=int, default=1)
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        f32, imatrix, base = (os.path.join(d, x) for x in ("f32.gguf", "im.gguf", "base"))
        halves = prepare_text(o, d) if o.text else None
        run([f"{o.peer}/bin/llama-quantize", "--allow-requantize", "--pure", o.model, f32,
             "F32"])
        if o.text:
            run([f"{o.peer}/bin/llama-imatrix", "-m", f32, "-f", halves[0], "-o", imatrix,
                 "-t", str(o.j), "--chunks", str(o.chunks), "--no-ppl"])
        if o.kl_chunks:
            run([f"{o.peer}/bin/llama-perplexity", "-m", f32, "-f", halves[1], "-t",
                 str(o.j), "--kl-divergence-base", base, "--chunks", str(o.kl_chunks)])
        reference = tensors(f32)
        weights = importance(imatrix) if o.text else None
        print("type\timatrix\teffort\terror\ttime" +
              ("\tkl\tkl_theirs\tkl_ratio" if o.kl_chunks else ""))
        for name in o.types.split(","):
            compare(o, d, f32, reference, name, None, None,
                    base if o.kl_chunks else None, halves and halves[1])
            if o.text:
                compare(o, d, f32, reference, name, imatrix, weights,
                        base if o.kl_chunks else None, halves[1])


main()
