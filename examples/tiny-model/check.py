#!/usr/bin/env python3
"""Solves problems by greedy decoding, from the safetensors file and, if asked, from the GGUF file by llama.cpp.

    check.py --model DIR --problems problems.eval.jsonl [--n 500] [--text text.valid.txt ...]
             [--gguf tiny-model.gguf] [--llama-bin DIR]

--gguf solves the first --n problems once more through the package xllamacpp and compares the completions letter by
letter; --llama-bin names the folder of llama-tokenize, whose tokens are compared with those of tokenizer.json.
"""
import argparse
import collections
import itertools
import json
import math
import re
import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer

from model import Config, Llama
from train import END

MAX_NEW = 64


def load(folder):
    model = Llama(Config.from_hf(json.loads((folder / "config.json").read_text())))
    state = {name: w.float() for name, w in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(state)
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


@torch.no_grad()
def complete_batch(model, ids):
    """Greedy decoding of prompts of one length; each completion ends before its END."""
    cache = [[] for _ in model.model.layers]
    new, logits = [], model(ids, cache=cache)
    for _ in range(MAX_NEW):
        new.append(logits[:, -1].argmax(-1, keepdim=True))
        if (torch.cat(new, 1) == END).any(1).all():
            break
        logits = model(new[-1], cache=cache)
    rows = torch.cat(new, 1).tolist()
    return [row[:row.index(END)] if END in row else row for row in rows]


def complete(model, tokenizer, prompts):
    encoded = [[END, *tokenizer.encode(p, add_special_tokens=False).ids] for p in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(encoded[i]))
    done = {}
    for _, same in itertools.groupby(order, lambda i: len(encoded[i])):
        same = list(same)
        rows = complete_batch(model, torch.tensor([encoded[i] for i in same]))
        done.update((i, tokenizer.decode(row)) for i, row in zip(same, rows))
    return [done[i] for i in range(len(prompts))]


def complete_llama_cpp(path, prompts):
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.warmup = str(path), 512, 1, False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    ask = lambda prompt: server.handle_completions({"prompt": prompt, "temperature": 0, "max_tokens": MAX_NEW})
    return [ask(p)["choices"][0]["text"] for p in prompts]


def final_number(text):
    found = re.search(r"#### (-?\d+)", text)
    return found and found.group(1)


def print_solved(label, items, completions):
    by_steps = collections.defaultdict(list)
    for item, text in zip(items, completions):
        right = final_number(text) == item["gold"]
        by_steps[f"{item['answer'].count('=')} steps"].append(right)
        by_steps["all"].append(right)
    print(label + ":", ", ".join(f"{name} {sum(r)}/{len(r)} = {100 * sum(r) / len(r):.1f}%"
                                 for name, r in sorted(by_steps.items())))


@torch.no_grad()
def print_perplexity(model, tokenizer, path, length=512):
    """As llama-perplexity takes it: windows of 512 tokens that begin with END, of which the second half counts."""
    ids = [END, *tokenizer.encode(path.read_text(), add_special_tokens=False).ids]
    rows = torch.tensor(ids[:len(ids) // length * length]).view(-1, length)
    rows[:, 0] = END
    nats = []
    for row in rows.split(1):
        logits = model(row)[0, length // 2:-1]
        nats.append(F.cross_entropy(logits, row[0, length // 2 + 1:]).item())
    mean = sum(nats) / len(nats)
    bits = mean / math.log(2) * len(ids) / path.stat().st_size
    print(f"{path.name}: perplexity {math.exp(mean):.3f} a token, {bits:.3f} bits a byte, {len(nats)} windows")


def compare_tokens(binary, gguf, tokenizer, texts):
    differ = 0
    for text in texts:
        command = [binary, "-m", gguf, "--ids", "--stdin", "--no-escape", "--log-disable"]
        out = subprocess.run(command, input=text.encode(), capture_output=True, check=True).stdout
        differ += json.loads(out) != [END, *tokenizer.encode(text, add_special_tokens=False).ids]
    print(f"llama-tokenize: {differ} of {len(texts)} texts differ")
    return differ


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(__file__).parent)
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--text", type=Path, nargs="*", default=[])
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--llama-bin", type=Path)
    args = parser.parse_args()
    model, tokenizer = load(args.model)
    items = [json.loads(line) for line in args.problems.open()][:args.n]
    prompts = [item["prompt"] for item in items]

    ours = complete(model, tokenizer, prompts)
    print_solved("safetensors, PyTorch", items, ours)
    for path in args.text:
        print_perplexity(model, tokenizer, path)
    if args.gguf:
        theirs = complete_llama_cpp(args.gguf, prompts)
        print_solved("GGUF, llama.cpp", items, theirs)
        print(f"completions that differ: {sum(a != b for a, b in zip(ours, theirs))} of {len(items)}")
    if args.gguf and args.llama_bin:
        texts = prompts[:20] + [piece for path in args.text for piece in path.read_text().split("\n\n")[:20]]
        return compare_tokens(args.llama_bin / "llama-tokenize", args.gguf, tokenizer, texts) > 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
