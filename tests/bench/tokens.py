#!/usr/bin/env python3
"""mpq-eval --tokens beside llama.cpp's llama-tokenize: the same ids, and how fast.

    tokens.py PEER MODEL.gguf... [--text FILE_OR_FOLDER]... [--tasks FOLDER] [--bin DIR]

PEER has llama.cpp's programs in bin/. Compared are the files of --text (of a folder its
*.txt), the questions of --tasks (the "prompt" of every line of its *.jsonl), the texts
of tests/data/tokens/texts.json, and long ones made here: 100 kB without a blank, of
blanks, of newlines, numbers of 9,000 digits, 50,000 pieces of many scripts in any order.

One line a text: tokens, "same" or the first difference; then megabytes a second of both
programs on the largest text, the time for one letter taken off. Exit status 1 if any
ids differ. Needs nothing but Python.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

PIECES = [" ", "  ", "\n", "\t", "a", "B", "\u00e9", "1", "\u00b2", "!", "?", "'s", "'LL", "\u4e2d", "\u0e01",
          "\U0001f642", "\u00a0", "\u3000", "\r\n", "_", "-", "\u0301", "\u180e", "\x1c", "\u0085", "<b>", "<|im_end|>",
          "\u2581", "\u0645\u0631\u062d\u0628\u0627", "the", " and", "{}", "\u200d"]


def made():
    """Texts that are slow or hard where a tokenizer is careless."""
    chance = random.Random(1)
    yield "letters", "".join(chance.choice("abcdefghijklmnopqrstuvwxyzABCXYZ") for _ in range(100000))
    yield "blanks", " " * 100000
    yield "newlines", "\n" * 20000 + "a\n\nb\r\n\r\nc\n \n\n  d\n\n\n"
    yield "digits", "1234567890" * 900 + " 1 22 333 4444 " + "9" * 9000
    yield "mixture", "".join(chance.choice(PIECES) for _ in range(50000))


def gather(args, folder):
    """Name and file of each text; those that are no files yet are written to FOLDER."""
    files = []
    for path in map(pathlib.Path, args.text or ["examples/tiny-model"]):
        files += [(p.name, p) for p in (sorted(path.glob("*.txt")) if path.is_dir() else [path])]
    texts = [(f"hard-{i}", t) for i, t in enumerate(json.loads(pathlib.Path("tests/data/tokens/texts.json").read_text()))]
    texts += made()
    for path in sorted(pathlib.Path(args.tasks or "/nonexistent").glob("*.jsonl")):
        lines = map(json.loads, path.read_text().splitlines())
        texts.append((path.name, "\n".join(str(x.get("prompt", "")) for x in lines)))
    for name, text in texts:
        if not text:
            continue  # mpq-eval has nothing to say about it
        path = folder / f"{name}.txt"
        path.write_bytes(text.encode())
        files.append((name, path))
    return files


def ours(args, model, path):
    command = [f"{args.bin}/mpq-eval", "--tokens", "-q", "-x", str(path), str(model)]
    out = subprocess.run(command, capture_output=True, check=True).stdout
    return [int(line.split(b"\t")[2]) for line in out.splitlines() if not line.startswith(b"#")]


def theirs(args, model, path):
    command = [f"{args.peer}/bin/llama-tokenize", "-m", str(model), "--stdin", "--ids", "--no-parse-special",
               "--no-escape", "--log-disable"]
    with open(path, "rb") as f:
        r = subprocess.run(command, stdin=f, capture_output=True)
    return json.loads(r.stdout.decode().strip().splitlines()[-1]) if r.returncode == 0 else None


def seconds(call, *args):
    best = float("inf")
    for _ in range(3):
        start = time.monotonic()
        call(*args)
        best = min(best, time.monotonic() - start)
    return best


def compare(name, a, b):
    if b is None:
        print(f"{name}\t{len(a)}\tllama-tokenize fails")
        return True
    if a == b:
        print(f"{name}\t{len(a)}\tsame")
        return True
    i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    print(f"{name}\t{len(a)}\tdiffers at {i}: {a[i:i + 5]}, llama-tokenize {b[i:i + 5]} of {len(b)}")
    return False


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("peer")
    p.add_argument("models", nargs="+", type=pathlib.Path)
    p.add_argument("--text", action="append")
    p.add_argument("--tasks")
    p.add_argument("--bin", default="bin")
    args = p.parse_args()
    same = True
    with tempfile.TemporaryDirectory() as folder:
        files = gather(args, pathlib.Path(folder))
        short = pathlib.Path(folder) / "short.txt"
        short.write_bytes(b"a")
        largest = max((path for _, path in files), key=lambda path: path.stat().st_size)
        for model in args.models:
            print(model.name)
            for name, path in files:
                same &= compare(name, ours(args, model, path), theirs(args, model, path))
            rate = [largest.stat().st_size / 1e6 / max(1e-9, seconds(run, args, model, largest) -
                                                       seconds(run, args, model, short)) for run in (ours, theirs)]
            print(f"{largest.name}: mpq-eval --tokens (its table and reading it included) {rate[0]:.2f} MB/s, "
                  f"llama-tokenize {rate[1]:.2f} MB/s")
            sys.stdout.flush()
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
