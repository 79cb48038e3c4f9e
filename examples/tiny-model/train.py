#!/usr/bin/env python3
"""Trains the tiny model from scratch: half general text, half arithmetic problems made as they are needed.

    train.py --out WORK --text c4.txt wikipedia.txt ... [--steps 3600] [--decay 1100]

WORK receives tokenizer.json, the held-out texts, a log and checkpoint.pt. A run that was stopped goes on from its
checkpoint; with other --steps and --decay it can be brought to its end earlier or later.
"""
import argparse
import itertools
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import problems
from model import Config, Llama

END = 0  # <|endoftext|> begins every sequence and ends every problem
TEXT_ROWS, TEXT_LENGTH = 4, 512
PROBLEM_ROWS, PROBLEM_LENGTH = 8, 256
EASY_STEPS = 1200  # from short problems with small numbers to the full ones
ANSWER_WEIGHT, QUESTION_WEIGHT = 2.0, 0.2  # against 1 for text; a question's numbers cannot be foreseen


# --- data ---

def split_text(paths, share=0.02):
    """The end of every file is held out, at borders of documents: one share for calibration, one for validation."""
    parts = {"train": [], "calib": [], "valid": []}
    for path in paths:
        text = Path(path).read_text()
        calib = text.index("\n\n", int(len(text) * (1 - 2 * share)))
        valid = text.index("\n\n", int(len(text) * (1 - share)))
        for name, piece in (("train", text[:calib]), ("calib", text[calib:valid]), ("valid", text[valid:])):
            parts[name].append(piece.strip("\n") + "\n")
    return {name: "\n\n".join(pieces) for name, pieces in parts.items()}


def train_tokenizer(text, vocab_size):
    """Byte-level BPE; every digit is a token of its own, so that carries are visible to the model."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    some = (p + a for p, a, _ in itertools.islice(problems.stream("train", "tokenizer"), 3000))
    tokenizer.train_from_iterator(itertools.chain(text.split("\n\n"), some), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|endoftext|> $A", pair="<|endoftext|> $A <|endoftext|>:1 $B:1",
        special_tokens=[("<|endoftext|>", END)])
    return tokenizer


def text_batch(ids, rng):
    starts = rng.integers(0, len(ids) - TEXT_LENGTH, TEXT_ROWS)
    rows = np.stack([ids[s:s + TEXT_LENGTH + 1] for s in starts])
    rows[:, 0] = END
    return torch.from_numpy(rows)


def encode_problems(tokenizer, items):
    """Tokens of problems, each after an END, and for each token 1 where it is part of the answer."""
    prompts = tokenizer.encode_batch_fast([p for p, _, _ in items], add_special_tokens=False)
    answers = tokenizer.encode_batch_fast([a for _, a, _ in items], add_special_tokens=False)
    ids, is_answer = [], []
    for prompt, answer in zip(prompts, answers):
        ids += [END, *prompt.ids, *answer.ids]
        is_answer += [0] * (1 + len(prompt.ids)) + [1] * len(answer.ids)
    return ids, is_answer


def problem_batch(tokenizer, step):
    """Rows of problems, which tokens are answers, and a mask that lets a token see its own problem only."""
    ease = max(0.0, 1 - step / EASY_STEPS)
    weights = [w + 60 * ease * (steps == 1) for steps, w in enumerate(problems.STEP_WEIGHTS, 1)]
    stream = problems.stream("train", step, weights, round(problems.TOP - 30 * ease))
    rows, answers = [], []
    for _ in range(PROBLEM_ROWS):
        ids, is_answer = [], []
        while len(ids) <= PROBLEM_LENGTH:
            more = encode_problems(tokenizer, [next(stream)])
            ids, is_answer = ids + more[0], is_answer + more[1]
        # The END after an answer is to be foreseen too: it is what stops the model.
        is_answer = [now or before for now, before in zip(is_answer, [0] + is_answer)]
        rows.append(ids[:PROBLEM_LENGTH + 1])
        answers.append(is_answer[:PROBLEM_LENGTH + 1])
    rows = torch.tensor(rows)
    return rows, torch.tensor(answers), own_problem_mask(rows[:, :-1])


def own_problem_mask(ids):
    number = (ids == END).cumsum(1)
    same = number[:, :, None] == number[:, None, :]
    return (same & torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril())[:, None]


# --- optimizer ---

def orthogonalize(g):
    """Newton-Schulz iteration: the nearest matrix with all singular values near 1, for a stack of matrices."""
    x = (g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    if tall := g.shape[-2] > g.shape[-1]:
        x = x.mT
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (2.0315 * a @ a - 4.7750 * a) @ x
    return (x.mT if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum whose step is made orthogonal (Jordan et al. 2024); matrices of one shape are taken together."""

    def __init__(self, params, lr, momentum=0.95, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for _, same in itertools.groupby(sorted(group["params"], key=lambda p: p.shape), lambda p: p.shape):
                self.step_stack(list(same), group)

    def step_stack(self, params, group):
        grads = torch.stack([p.grad for p in params])
        state = self.state[params[0]]
        velocity = state.setdefault("velocity", torch.zeros_like(grads))
        velocity.lerp_(grads, 1 - group["momentum"])
        update = orthogonalize(grads.lerp(velocity, group["momentum"]))
        scale = max(1, update.shape[-2] / update.shape[-1]) ** 0.5
        for p, u in zip(params, update):
            p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(u, alpha=group["lr"] * scale)


def make_optimizers(model):
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    norms = [p for p in model.parameters() if p.ndim == 1]
    adam = torch.optim.AdamW([{"params": [model.model.embed_tokens.weight], "lr": 3e-3},
                              {"params": norms, "lr": 2e-3}], betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(matrices, lr=0.02, weight_decay=0.05), adam]


def rate(step, steps, decay, warmup=100):
    """Warm-up, constant, linear decay: the share of the peak learning rate."""
    return min(1.0, (step + 1) / warmup, (steps - step) / decay)


# --- training ---

def initialize(model):
    for name, p in model.named_parameters():
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.02 if "embed" in name else p.shape[1] ** -0.5)
        if "o_proj" in name or "down_proj" in name:
            torch.nn.init.zeros_(p)  # every layer begins as the identity


def text_loss(model, rows):
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(rows[:, :-1])
    return F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())


def problem_loss(model, rows, answers, mask):
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(rows[:, :-1], mask)
    loss = F.cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
    answer = answers[:, 1:].flatten().float()
    return (loss * answer).sum() / answer.sum(), (loss * (1 - answer)).mean()


@torch.no_grad()
def solved(model, tokenizer, items):
    """Share of problems whose whole answer is foreseen token by token, which is what greedy decoding would write."""
    right = 0
    for item in items:
        ids, is_answer = encode_problems(tokenizer, [item])
        best = model(torch.tensor([ids]))[0].argmax(-1)[:-1]
        wanted = torch.tensor(ids[1:])
        right += bool(((best == wanted) | (torch.tensor(is_answer[1:]) == 0)).all())
    return right / len(items)


@torch.no_grad()
def valid_loss(model, ids):
    rows = torch.from_numpy(ids[:len(ids) // TEXT_LENGTH * TEXT_LENGTH].reshape(-1, TEXT_LENGTH).copy())
    rows[:, 0] = END
    return sum(F.cross_entropy(model(r[None, :-1])[0], r[1:]).item() for r in rows) / len(rows)


def report(model, tokenizer, valid_ids, valid_bytes, step):
    nats = valid_loss(model, valid_ids)
    dev = problems.distinct("calib", "watch", 200)  # the eval split is kept for the end
    return {"step": step, "valid_nats": round(nats, 4), "valid_ppl": round(math.exp(nats), 2),
            "bits_per_byte": round(nats * len(valid_ids) / valid_bytes / math.log(2), 4),
            "solved": solved(model, tokenizer, dev)}


def prepare(args):
    """Splits the texts and trains the tokenizer, or takes what an earlier run left."""
    parts = split_text(args.text)
    for name in ("calib", "valid"):
        (args.out / f"text.{name}.txt").write_text(parts[name])
    path = args.out / "tokenizer.json"
    if not path.exists():
        train_tokenizer(parts["train"], Config.vocab_size).save(str(path))
    tokenizer = Tokenizer.from_file(str(path))
    encode = lambda text: np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
    return tokenizer, encode(parts["train"]), encode(parts["valid"]), len(parts["valid"].encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--text", nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=3600)
    parser.add_argument("--decay", type=int, default=1100, help="the last steps, in which the learning rate falls to 0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save-every", type=int, default=500)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)

    tokenizer, train_ids, valid_ids, valid_bytes = prepare(args)
    model = Llama(Config())
    initialize(model)
    optimizers = make_optimizers(model)
    peaks = [group["lr"] for o in optimizers for group in o.param_groups]
    first, seconds, checkpoint = 0, 0.0, args.out / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        for o, state in zip(optimizers, saved["optimizers"]):
            o.load_state_dict(state)
        first, seconds = saved["step"], saved["seconds"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(train_ids)} tokens of text, "
          f"from step {first} to {args.steps}", flush=True)

    fast_text, fast_problem = torch.compile(text_loss), torch.compile(problem_loss)
    start, recent = time.time() - seconds, []
    for step in range(first, args.steps):
        rng = np.random.default_rng((1, step))  # from the step, so that a resumed run repeats nothing
        for group, peak in zip((g for o in optimizers for g in o.param_groups), peaks):
            group["lr"] = peak * rate(step, args.steps, args.decay)
        text = fast_text(model, text_batch(train_ids, rng))
        text.backward()
        answer, question = fast_problem(model, *problem_batch(tokenizer, step))
        (ANSWER_WEIGHT * answer + QUESTION_WEIGHT * question).backward()
        for o in optimizers:
            o.step()
            o.zero_grad()
        recent.append((text.item(), answer.item(), question.item()))
        if (step + 1) % 50 == 0:
            means = [round(float(x), 4) for x in np.mean(recent, 0)]
            print(f"step {step + 1} text {means[0]} answer {means[1]} question {means[2]} "
                  f"seconds {time.time() - start:.0f}", flush=True)
            recent = []
        if (step + 1) % args.save_every == 0 or step + 1 == args.steps:
            print(json.dumps(report(model, tokenizer, valid_ids, valid_bytes, step + 1)), flush=True)
            torch.save({"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
                        "step": step + 1, "seconds": time.time() - start, "config": asdict(model.config)}, checkpoint)


if __name__ == "__main__":
    main()
