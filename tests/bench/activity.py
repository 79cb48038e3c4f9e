#!/usr/bin/env python3
"""mpq-stats -c beside llama-imatrix: the same figures, and how long they take.

    activity.py PEER MODEL.gguf --text FILE [--bin DIR] [--chunks N] [--repeat N] [-j N]

PEER has llama.cpp's programs in bin/. First both make an importance matrix of an f32 copy
of the model, so that llama.cpp does not round what it multiplies: of each tensor, the
largest difference of a column relative to its own value, and the largest of all. Then the
diagonals of mpq-stats -f hessian must be those of its -f imatrix. Last, times of the whole
programs on the model as it is, by turns: llama-imatrix (--no-ppl), and mpq-stats with full
Gram matrices, with diagonals, and as a table; seconds and processor seconds of each run,
ratios theirs / ours, so above 1 we are faster.

Needs Python's gguf and numpy.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np


def run(command):
    """Seconds and processor seconds of COMMAND."""
    env = dict(os.environ)
    env["LD_LIBRARY_PATH"] = os.path.dirname(command[0])
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    r = subprocess.run(command, capture_output=True, text=True, errors="replace", env=env)
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if r.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit {r.returncode}\n{r.stderr[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def importance(path):
    return {t.name: np.array(t.data, np.float64).reshape(-1)
            for t in gguf.GGUFReader(path).tensors}  # fmt: skip


def compare(theirs, ours):
    a, b = importance(theirs), importance(ours)
    missing = sorted(set(a) - set(b))
    if missing:
        sys.exit("not in ours: " + " ".join(missing))
    worst = []
    for name, x in a.items():
        off = np.abs(x - b[name]) / np.maximum(np.abs(x), 1e-30)
        worst.append((off.max(), name))
    worst.sort()
    print(f"importance of {len(a) // 2} tensors: a column differs by "
          f"{worst[-1][0]:.2g} at most ({worst[-1][1]}), in the median tensor by "
          f"{worst[len(worst) // 2 + len(worst) // 4][0]:.2g}")  # fmt: skip
    if extra := sorted(set(b) - set(a)):
        print("only in ours:", " ".join(extra))


def diagonals(stream, imatrix):
    """The largest difference of the Gram matrices' diagonals from the sums of squares,
    relative to the tensor's largest."""
    sums, worst = importance(imatrix), 0
    with open(stream, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        head = json.loads(f.read(n))
        for name, t in head.items():
            if name == "__metadata__":
                continue
            assert t["dtype"] == "F32" and name.endswith(".gram")
            f.seek(8 + n + t["data_offsets"][0])
            cols = t["shape"][0]
            gram = np.fromfile(f, "<f4", cols * cols).reshape(cols, cols)
            assert (gram == gram.T).all()
            want = sums[name[:-5] + ".weight.in_sum2"]
            worst = max(worst, np.abs(gram.diagonal() - want).max() / want.max())
    print(f"diagonals of {len(head) - 1} Gram matrices: within {worst:.2g} of the "
          "largest sum of squares")  # fmt: skip


def main():
    p = argparse.ArgumentParser()
    p.add_argument("peer")
    p.add_argument("model")
    p.add_argument("--text", required=True)
    p.add_argument("--bin", default="bin")
    p.add_argument("--chunks", type=int, default=8)
    p.add_argument("--repeat", type=int, default=1)
    p.add_argument("-j", type=int, default=2)
    a = p.parse_args()
    stats = os.path.join(os.path.abspath(a.bin), "mpq-stats")
    peer = os.path.join(os.path.abspath(a.peer), "bin")
    with tempfile.TemporaryDirectory() as tmp:

        def at(name):
            return os.path.join(tmp, name)

        def ours(form, model):
            return run([stats, "-q", "-c", a.text, "--samples", str(a.chunks), "-f", form,
                        "-j", str(a.j), "-o", at(form), model])  # fmt: skip

        def theirs(model, *more):
            return run([peer + "/llama-imatrix", "-m", model, "-f", a.text, "-c", "512",
                        "--chunks", str(a.chunks), "-t", str(a.j), "-o",
                        at("theirs.gguf"), "--no-ppl", *more])  # fmt: skip

        f32 = at("f32.gguf")
        run([peer + "/llama-quantize", "--allow-requantize", a.model, f32, "F32"])
        theirs(f32, "--process-output")
        ours("imatrix", f32)
        compare(at("theirs.gguf"), at("imatrix"))
        ours("hessian", f32)
        diagonals(at("hessian"), at("imatrix"))
        os.unlink(f32)
        for form in "hessian", "imatrix", "tsv":
            for _ in range(a.repeat):
                b, t = theirs(a.model), ours(form, a.model)
                print(f"{form:8} {t[0]:6.1f} s, processor {t[1]:6.1f}; llama-imatrix "
                      f"{b[0]:6.1f}, {b[1]:6.1f}: {b[0] / t[0]:.2f}, {b[1] / t[1]:.2f} "
                      "times as fast")  # fmt: skip


if __name__ == "__main__":
    main()
