#!/usr/bin/env python3
"""What mpq-eval --each takes beside plain evaluation.

    each.py MODEL.gguf [--text FILE] [--types LIST] [--by UNIT] [--layers A-B] [--only LIST]
            [--chunks N] [--bin DIR] [-j N] [--cpu]

Plain evaluation's rate is that of `mpq-eval --only ppl` on --chunks chunks, less what one
chunk takes: seconds for each multiply-add of the linear weights (every token) and of the
unembedding (scored tokens). Rows of the probe are timed as they appear:

unit    seconds of each (unit, type), quantizing included, by those of the multiply-adds
        that remain (its layer and all above it, and the head) at that rate: median,
        greatest. Of the first no figure: the unchanged model is run there too.
whole   all of the probe, start and unchanged model included, by as many plain evaluations
        as it has pairs of unit and type.

Wall-clock seconds of -j threads, or with --cpu the processor's, for machines that have
other work too.
"""

import argparse
import os
import statistics
import subprocess
import time

CLOCK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        cells = f.read().rsplit(")", 1)[1].split()
    return (int(cells[11]) + int(cells[12])) / CLOCK


class Bench:
    def __init__(self, o):
        self.o = o

    def command(self, chunks, *more):
        o = self.o
        return [f"{o.bin}/mpq-eval", "-q", "-j", str(o.j), "-x", o.text, "--chunks",
                str(chunks), *more, o.model]

    def timed(self, command):
        """The seconds at which each row appeared, and all of them; the lines."""
        start = time.monotonic()
        p = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        at, lines = [], []
        for line in p.stdout:
            try:
                now = cpu_of(p.pid) if self.o.cpu else time.monotonic() - start
            except (OSError, IndexError):
                now = at[-1]
            at.append(now)
            lines.append(line.rstrip("\n").split("\t"))
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = status
        if status:
            raise SystemExit(f"{' '.join(command)}: status {status}")
        whole = used.ru_utime + used.ru_stime if self.o.cpu else time.monotonic() - start
        return at, lines, whole

    def run(self):
        o = self.o
        plain = {n: min(self.timed(self.command(n, "--only", "ppl"))[2]
                        for _ in range(o.repeat)) for n in (1, o.chunks)}
        probe = self.command(o.chunks, "--only", o.only, "--each", o.types, "--by", o.by,
                             *(["-l", o.layers] if o.layers else []))
        at, lines, whole = self.timed(probe)
        layer, head = {}, 0
        for cells in lines:
            words = cells[0].split(" ")
            if words[0] != "##tensor":
                continue
            n = int(words[3]) * int(words[4])
            if words[1].startswith("blk."):
                k = int(words[1].split(".")[1])
                layer[k] = layer.get(k, 0) + n
            elif words[1] == "output" or head == 0:
                head = n
        tokens, scored = 511, 255

        def macs(first):
            return tokens * sum(layer[k] for k in layer if k >= first) + scored * head

        rate = (plain[o.chunks] - plain[1]) / ((o.chunks - 1) * macs(0))
        ratios, before = [], None
        rows = [(t, c) for t, c in zip(at, lines) if not c[0].startswith("#")]
        pairs = 0
        for i, (t, c) in enumerate(rows):
            if i + 1 < len(rows) and rows[i + 1][1][:2] == c[:2]:
                continue  # not the last row of the pair
            pairs += 1
            first = int(c[0].split(".")[1]) if c[0].startswith("blk.") else 0
            if before is not None and c[0] != "output":
                ratios.append((t - before) / (rate * o.chunks * macs(first)))
            before = t
        unit = "processor" if o.cpu else "wall-clock"
        print(f"{os.path.basename(o.model)}: {o.types} by {o.by}, {o.only}, {o.chunks} chunks,"
              f" -j {o.j}, {unit} seconds")
        print(f"plain evaluation\t{plain[o.chunks]:.2f} s\t{1e-9 / rate:.1f} G multiply-adds/s")
        print(f"unit\tmedian {statistics.median(ratios):.3f}\tgreatest {max(ratios):.3f}"
              f"\tof {len(ratios)}")
        print(f"whole\t{whole:.1f} s\t{whole / (pairs * plain[o.chunks]):.3f} of {pairs}"
              " evaluations", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--text", default="examples/tiny-model/text.calib.txt")
    p.add_argument("--types", default="q4_0,q8_0")
    p.add_argument("--by", default="layer")
    p.add_argument("--layers")
    p.add_argument("--only", default="ppl,kld")
    p.add_argument("--chunks", type=int, default=8)
    p.add_argument("--repeat", type=int, default=2)
    p.add_argument("--bin", default="bin")
    p.add_argument("-j", type=int, default=os.cpu_count())
    p.add_argument("--cpu", action="store_true")
    Bench(p.parse_args()).run()


if __name__ == "__main__":
    main()
