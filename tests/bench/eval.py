#!/usr/bin/env python3
"""mpq-eval beside llama.cpp: perplexity, divergence, picks of multiple choice, speed; and
the memory that a model of a 7B's shape takes.

    eval.py PEER MODEL.gguf... [--text FILE] [--task FILE] [--parts LIST] [--bin DIR]
            [--chunks N] [--speed-chunks N] [--memory-chunks N] [--memory-layers N]
            [--limit N] [--types LIST] [--shape-types LIST] [--shape-layers N]
            [--clock wall|cpu] [--repeat N] [-j N]

PEER has llama.cpp's programs in bin/ ("-": memory alone). Parts:

ppl     Perplexity of f32 and f16 copies and of MODEL itself, by llama-perplexity with keys
        and values in f32 and by mpq-eval, of MODEL with --int8 too, on the first --chunks chunks of 512 tokens.
kld     Mean divergence of an f32 copy of MODEL rounded to q4_0 from the f32 copy: both
        programs then compute with the same numbers. llama-perplexity keeps its reference
        in 16 bits a logit. And what a reference of 64 tokens (--save-ref) leaves of it.
mc      --task: items whose choice of greatest summed log-probability is the same, and the
        largest difference of loss, against sums in double over logits of llama.cpp (Python's
        llama_cpp, LLAMA_CPP_LIB_PATH=PEER/bin; skipped without it), from the f32 copy.
speed   Tokens a second, mpq-eval and mpq-eval --int8 (which is not for f32 and f16) /
        llama-perplexity, all with -j threads, one after the
        other, the best of --repeat runs each, for each of --types; loading is left out by
        the difference of two runs of unlike length. And the share that mpq-eval has of the
        rate of a large single-precision matrix product (numpy's) on as many threads.
        --clock cpu takes processor time, for -j 1 on a machine that has other work, too.
shape   The same for --shape-types of --shape-layers layers of Llama 2 7B's shapes, all weights zero.
memory  Most memory of its own (VmHWM's anonymous part) on a q4_0 file of Llama 2 7B's
        shapes (--memory-layers of them), all weights zero, for --memory-chunks (8) chunks of 512 tokens; MODEL
        gives the tokenizer. And multiplications and additions of the matrices a processor second, beside MODEL's.

One line a case. Needs Python's gguf and numpy.
"""

import argparse
import ctypes
import os
import re
import resource
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np

import shapes


def run(command, env=None):
    r = subprocess.run(command, capture_output=True, text=True, errors="replace",
                       env={**os.environ, **(env or {})})
    if r.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {r.returncode}\n{r.stderr[-2000:]}")
    return r.stdout + r.stderr


def rows(command):
    """Rows of mpq-eval's table by metric: value and standard error."""
    out = {}
    for line in run(command).splitlines():
        cells = line.split("\t")
        if len(cells) >= 6 and not line.startswith("#") and (len(cells) == 6 or cells[6] == "."):
            out[cells[2]] = (float(cells[3]), float(cells[4]))
    return out


class Bench:
    def __init__(self, args, work):
        self.a, self.work = args, work
        self.eval = os.path.join(args.bin, "mpq-eval")
        self.copies = {}

    def peer(self, name):
        return os.path.join(self.a.peer, "bin", "llama-" + name)

    def copy(self, model, kind):
        """MODEL as another type, by llama-quantize; always from the f32 copy."""
        key = model, kind
        if key not in self.copies:
            path = os.path.join(self.work, f"{len(self.copies)}.{kind}.gguf")
            source = model if kind == "f32" else self.copy(model, "f32")
            run([self.peer("quantize"), "--allow-requantize", source, path, kind])
            self.copies[key] = path
        return self.copies[key]

    def perplexity(self, *more):
        # a batch of one chunk and no flash attention: the plainest of its ways
        return run([self.peer("perplexity"), "-t", str(self.a.threads), "-ctk", "f32", "-ctv", "f32",
                    "-fa", "off", *more])

    def ppl(self, model):
        for kind in ("f32", "f16", "as it is"):
            path = model if kind == "as it is" else self.copy(model, kind)
            text = self.perplexity("-m", path, "-f", self.a.text, "--chunks", str(self.a.chunks))
            theirs, error = map(float, re.search(r"PPL = ([\d.]+) \+/- ([\d.]+)", text).groups())
            for more in ([], ["--int8"]) if kind == "as it is" else ([],):
                ours = rows([self.eval, *more, "-j", str(self.a.threads), "-x", self.a.text, "--chunks",
                             str(self.a.chunks), path])["ppl"]
                print(f"ppl\t{' '.join([kind, *more])}\tllama {theirs:.4f} +- {error:.4f}"
                      f"\tmpq {ours[0]:.4f} +- {ours[1]:.4f}"
                      f"\tdifference {100 * (ours[0] / theirs - 1):+.4f}%", flush=True)

    def kld(self, model):
        f32 = self.copy(model, "f32")
        rough = os.path.join(self.work, "rough.gguf")
        run([self.peer("quantize"), "--allow-requantize", self.copy(model, "q4_0"), rough, "f32"])
        base = os.path.join(self.work, "base.kld")
        chunks = str(self.a.chunks)
        self.perplexity("-m", f32, "-f", self.a.text, "--chunks", chunks, "--kl-divergence-base", base)
        text = self.perplexity("-m", rough, "--kl-divergence-base", base, "--kl-divergence")
        os.unlink(base)

        def find(name):
            return float(re.search(name + r"\s*:\s*(-?[\d.]+)", text).group(1))

        theirs = {"kld": find("Mean +KLD"), "top1": find("Same top p") / 100,
                  "nll_diff": find(r"Mean ln\(PPL\(Q\)/PPL\(base\)\)"),
                  "dp_rms": find("RMS .p") / 100}
        common = [self.eval, "-j", str(self.a.threads), "-x", self.a.text]
        ours = rows([*common, "--chunks", chunks, "--ref", f32, rough])
        for metric, value in theirs.items():
            print(f"kld\t{metric}\tllama {value:.6f}\tmpq {ours[metric][0]:.6f} +- {ours[metric][1]:.6f}"
                  f"\tdifference {100 * (ours[metric][0] / value - 1):+.3f}%", flush=True)
        saved = os.path.join(self.work, "saved.ref")
        run([*common, "--chunks", chunks, "--save-ref", saved, f32])
        part = rows([*common, "--load-ref", saved, rough])["kld"][0]
        print(f"kld\tof 64 tokens\t{100 * part / ours['kld'][0]:.1f}% of the whole"
              f"\t{os.path.getsize(saved) / 1e6:.1f} MB", flush=True)

    def mc(self, model):
        os.environ.setdefault("LLAMA_CPP_LIB_PATH", os.path.join(self.a.peer, "bin"))
        try:
            import llama_cpp as lib
        except Exception as e:  # not there, or for another llama.cpp
            print(f"mc\tskipped: Python's llama_cpp: {e}")
            return
        import json
        f32 = self.copy(model, "f32")
        picks, losses = {}, {}
        out = run([self.eval, "-j", str(self.a.threads), "--per-item", "--limit", str(self.a.limit),
                   "-k", self.a.task, f32])
        for line in out.splitlines():
            c = line.split("\t")
            if len(c) == 8 and c[6] != ".":
                if c[2] == "pick":
                    picks[c[6]] = int(float(c[3]))
                elif c[2] == "loss":
                    losses[c[6]] = float(c[3])
        quiet = lib.llama_log_callback(lambda *_: None)
        lib.llama_log_set(quiet, ctypes.c_void_p(0))
        lib.llama_backend_init()
        loaded = lib.llama_model_load_from_file(f32.encode(), lib.llama_model_default_params())
        p = lib.llama_context_default_params()
        p.n_ctx = p.n_batch = p.n_ubatch = 1024
        p.n_threads = p.n_threads_batch = self.a.threads
        p.type_k = p.type_v = 0  # f32
        p.flash_attn_type = 0
        ctx = lib.llama_init_from_model(loaded, p)
        vocab = lib.llama_model_get_vocab(loaded)
        n_vocab = lib.llama_vocab_n_tokens(vocab)

        def tokens(text):
            raw = text.encode()
            ids = (lib.llama_token * (len(raw) + 8))()
            n = lib.llama_tokenize(vocab, raw, len(raw), ids, len(ids), True, False)
            return list(ids[:n])

        def score(context, continuation):
            whole, n = tokens(context + continuation), len(tokens(context))
            lib.llama_memory_clear(lib.llama_get_memory(ctx), True)
            batch = lib.llama_batch_init(len(whole), 0, 1)
            batch.n_tokens = len(whole) - 1
            for i in range(batch.n_tokens):
                batch.token[i], batch.pos[i], batch.n_seq_id[i] = whole[i], i, 1
                batch.seq_id[i][0] = 0
                batch.logits[i] = i >= n - 1
            assert lib.llama_decode(ctx, batch) == 0
            total = 0.0
            for i in range(n - 1, len(whole) - 1):
                z = np.ctypeslib.as_array(lib.llama_get_logits_ith(ctx, i), (n_vocab,)).astype(np.float64)
                total += z[whole[i + 1]] - z.max() - np.log(np.exp(z - z.max()).sum())
            lib.llama_batch_free(batch)
            return total, len(whole) - n

        same = n_items = 0
        worst = 0.0
        with open(self.a.task, encoding="utf-8") as f:
            for line in f:
                item = json.loads(line)
                if item["id"] not in picks:
                    continue
                skip = item.get("score_from", [0] * len(item["choices"]))
                scores = [score(item["prompt"] + c[:k], c[k:]) for c, k in zip(item["choices"], skip)]
                n_items += 1
                same += int(np.argmax([s[0] for s in scores])) == picks[item["id"]]
                gold = scores[item["gold"]]
                worst = max(worst, abs(-gold[0] / gold[1] - losses[item["id"]]))
        lib.llama_free(ctx)
        lib.llama_model_free(loaded)
        print(f"mc\t{os.path.basename(self.a.task)}\t{same} of {n_items} picks the same"
              f" ({100 * same / n_items:.1f}%)\tloss differs by {worst:.1e} at most", flush=True)

    @staticmethod
    def spent():
        """Processor seconds of the commands so far."""
        r = resource.getrusage(resource.RUSAGE_CHILDREN)
        return r.ru_utime + r.ru_stime

    def seconds(self, command):
        clock = self.spent if self.a.clock == "cpu" else time.perf_counter
        best = float("inf")
        for _ in range(self.a.repeat):
            start = clock()
            run(command)
            best = min(best, clock() - start)
        return best

    @staticmethod
    def sizes(path):
        """Weights of the blocks, and of the output matrix."""
        blocks = vocab = 0
        for t in gguf.GGUFReader(path).tensors:
            if len(t.shape) > 1:
                n = int(np.prod(t.shape))
                blocks += n if t.name.startswith("blk.") else 0
                vocab = n if t.name in ("token_embd.weight", "output.weight") else vocab
        return blocks, vocab

    def peak(self):
        size = 4096
        x = np.ones((size, size), np.float32)
        x @ x
        return max(self.flops(x, self.a.clock) for _ in range(3))

    def beside(self, kind, path, n, few, peak):
        """The rates of both programs, from N chunks more than FEW."""
        j, rates = str(self.a.threads), []
        plain = [self.eval, "-j", j, "-x", self.a.text, "--only", "ppl", path]
        ways = [""] if kind in ("f32", "f16") else ["", " --int8"]
        for command in ([self.peer("perplexity"), "-t", j, "-m", path, "-f", self.a.text],
                        *([*plain, *way.split()] for way in ways)):
            a, b = (self.seconds([*command, "--chunks", str(c)]) for c in (few, n + few))
            rates.append(n * 512 / max(b - a, 1e-9))
        blocks, vocab = self.sizes(path)
        work = 2 * (blocks + 255 / 511 * vocab)  # a scored token passes the output matrix, the others do not
        for way, rate in zip(ways, rates[1:]):
            print(f"speed\t{kind}{way}\tmpq / llama {rate / rates[0]:.2f}"
                  f"\tshare of the product's rate {rate * work / peak:.2f}"
                  f"\t({rate:.0f} and {rates[0]:.0f} tokens/s)", flush=True)

    def speed(self, model):
        peak = self.peak()
        for kind in self.a.types.split(","):
            self.beside(kind, self.copy(model, kind), self.a.speed_chunks, 2, peak)

    def shape(self, model):
        peak = self.peak()
        for kind in self.a.shape_types.split(","):
            zero, path = (os.path.join(self.work, x) for x in ("zero.gguf", "shape.gguf"))
            shapes.llama7b(model, zero, self.a.shape_layers)
            run([self.peer("quantize"), "--allow-requantize", "--pure", zero, path, kind])
            os.unlink(zero)
            self.beside(f"{kind}, {self.a.shape_layers} layers of a 7B's", path, 2, 2, peak)
            os.unlink(path)

    @staticmethod
    def flops(x, clock):
        now = time.process_time if clock == "cpu" else time.perf_counter
        start = now()
        x @ x
        return 2 * len(x) ** 3 / (now() - start)

    def rate(self, path, command):
        """Operations of COMMAND's matrices a processor second."""
        blocks, vocab = self.sizes(path)
        start = self.spent()
        run(*command)
        return 2 * self.a.memory_chunks * (511 * blocks + 255 * vocab) / (self.spent() - start)

    def memory(self, model):
        path = os.path.join(self.work, "big.gguf")
        layers = self.a.memory_layers
        d, ff = shapes.llama7b(model, path, layers)
        peak = os.path.join(self.work, "peak")
        here = os.path.dirname(os.path.abspath(__file__))
        run([os.environ.get("CC", "cc"), "-O2", "-o", peak, os.path.join(here, "peak.c")])
        figures = os.path.join(self.work, "figures")
        command = [self.eval, "-j", str(self.a.threads), "-x", self.a.text, "--chunks", str(self.a.memory_chunks)]
        big = self.rate(path, ([peak, *command, path], {"PEAK": figures}))
        small = self.rate(model, ([*command, model],))
        with open(figures, encoding="ascii") as f:
            words = f.read().split()
        own = float(words[words.index("anonymous") + 1])
        layer = 4 * (4 * d * d + 3 * d * ff) / 1e6
        print(f"memory\t7B shape, {layers} layers, {self.a.memory_chunks} x 512 tokens\t{own:.0f} MB of its own"
              f"\t(a decoded layer {layer:.0f}, hidden states {self.a.memory_chunks * 511 * d * 4 / 1e6:.0f})"
              f"\t{float(words[words.index('wall') + 1]):.0f} s", flush=True)
        print(f"memory\toperations a processor second\t{big / 1e9:.1f} G, {small / 1e9:.1f} G for"
              f" {os.path.basename(model)}\tratio {big / small:.2f}", flush=True)
        os.unlink(path)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    top = os.path.join(here, "..", "..")
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("peer")
    p.add_argument("models", nargs="+")
    p.add_argument("--text", default=os.path.join(top, "examples/tiny-model/text.valid.txt"))
    p.add_argument("--task")
    p.add_argument("--parts", default="ppl,kld,mc,speed,shape,memory")
    p.add_argument("--bin", default=os.path.join(top, "bin"))
    p.add_argument("--chunks", type=int, default=20)
    p.add_argument("--speed-chunks", type=int, default=16)
    p.add_argument("--memory-chunks", type=int, default=8)
    p.add_argument("--memory-layers", type=int, default=32)
    p.add_argument("--limit", type=int, default=100)
    p.add_argument("--types", default="f32,f16,q4_0,q4_1,q8_0")
    p.add_argument("--shape-types", default="q4_k")
    p.add_argument("--shape-layers", type=int, default=2)
    p.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    p.add_argument("--repeat", type=int, default=2)
    p.add_argument("-j", dest="threads", type=int, default=os.cpu_count())
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(args, work)
        for model in args.models:
            print(os.path.basename(model))
            for part in args.parts.split(","):
                if args.peer == "-" and part != "memory":
                    continue
                if part == "mc" and not args.task:
                    print("mc\tskipped: needs --task FILE")
                    continue
                getattr(bench, part)(model)
            for path in bench.copies.values():
                os.unlink(path)
            bench.copies.clear()


if __name__ == "__main__":
    main()
