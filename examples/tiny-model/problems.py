#!/usr/bin/env python3
"""Arithmetic word problems of one to three steps, with worked answers.

    problems.py --split eval --seed 1 --n 1000 > problems.eval.jsonl

Problems are made without end from a seed. A problem belongs to one split, which the checksum of its prompt decides:
whatever the seeds are, no prompt of one split is ever made in another.
"""
import argparse
import json
import random
import sys
import zlib

TOP = 50  # the largest number in a question
LIMIT = 99  # the largest result of a step
STEP_WEIGHTS = (30, 40, 30)  # one, two, three steps

BOYS = "Tom Ben Sam Max Leo Jack Omar Paul Ivan Noah".split()
GIRLS = "Ann Mia Eva Lily Zoe Sara Nina Kate Rosa Emma".split()
THINGS = ("apples pens books coins cards shells stamps marbles stickers cookies eggs beads "
          "balls stones flowers toys").split()
BOXES = "box bag jar case pack".split()
GAINS = ("buys {n} more {o}", "finds {n} more {o}", "gets {n} {o} from {f}", "wins {n} {o}", "makes {n} {o}",
         "picks up {n} {o}")
LOSSES = ("loses {n} {o}", "gives {n} {o} to {f}", "sells {n} {o}", "breaks {n} {o}", "throws away {n} {o}",
          "uses {n} of the {o}")
OPENINGS = ("{p} has {n} {o}.", "{p} starts with {n} {o}.", "There are {n} {o} on the table of {p}.",
            "In the morning {p} has {n} {o}.")
QUESTIONS = ("How many {o} does {p} have now?", "How many {o} does {s} have in the end?",
             "How many {o} are left for {p}?", "What is the number of {o} {p} has now?")


class Story:
    """Sentences, steps of the answer and the running total of one problem."""

    def __init__(self, rng, top):
        self.rng, self.top = rng, top
        self.person, self.friend = rng.sample(BOYS + GIRLS, 2)
        self.pronoun = "he" if self.person in BOYS else "she"
        self.things = rng.choice(THINGS)
        self.sentences, self.steps, self.total = [], [], 0

    def fill(self, template, n=0, **more):
        return template.format(n=n, o=self.things, p=self.person, s=self.pronoun, f=self.friend, **more)

    def say(self, template, n=0, **more):
        text = self.fill(template, n, **more)
        self.sentences.append(text[0].upper() + text[1:])

    def step(self, a, op, b):
        self.total = {"+": a + b, "-": a - b, "*": a * b}[op]
        self.steps.append(f"{a}{op}{b}={self.total}.")

    def number(self, low=2, high=None):
        return self.rng.randint(low, max(low, min(self.top, high or self.top)))


def open_plain(story):
    """No step yet: "Tom has 12 apples."."""
    story.total = story.number()
    story.say(story.rng.choice(OPENINGS), story.total)


def open_boxes(story):
    """One step: so many boxes of so many things."""
    each, boxes = story.rng.randint(2, 9), story.rng.randint(2, 9)
    box = story.rng.choice(BOXES)
    plural = box + ("es" if box == "box" else "s")
    story.say(story.rng.choice(("Each {b} holds {e} {o}. {p} has {n} {bs}.",
                                "{p} buys {n} {bs} with {e} {o} in each {b}.")), boxes, b=box, bs=plural, e=each)
    story.step(boxes, "*", each)


def open_compare(story):
    """Two steps: what the friend has follows from what the person has, then the two are put together."""
    mine = story.number(high=40)
    kind = story.rng.choice(("more", "fewer", "times")) if mine < 20 else story.rng.choice(("more", "fewer"))
    story.say("{p} has {n} {o}.", mine)
    if kind == "times":
        n, op, text = story.rng.randint(2, 4), "*", "{f} has {n} times as many."
    elif kind == "more":
        n, op, text = story.number(high=min(30, LIMIT - 2 * mine)), "+", "{f} has {n} more {o} than {p}."
    else:
        n, op, text = story.rng.randint(2, mine), "-", "{f} has {n} fewer {o} than {p}."
    story.say(text, n)
    story.step(n if op == "*" else mine, op, mine if op == "*" else n)
    story.say(story.rng.choice(("{f} gives all of them to {p}.", "They put their {o} together.")))
    story.step(mine, "+", story.total)


def event(story):
    """One step: something is gained or lost."""
    room = LIMIT - story.total
    if story.total < 3 or (room >= 2 and story.rng.random() < 0.5):
        op, n, verb = "+", story.number(high=room), story.rng.choice(GAINS)
    else:
        op, n, verb = "-", story.number(high=story.total), story.rng.choice(LOSSES)
    start = story.rng.choice(("{s} ", "Then {s} ", "{p} ", "Later {s} "))
    story.say(start + verb + ".", n)
    story.step(story.total, op, n)


OPENERS = ((open_plain, 0), (open_boxes, 1), (open_compare, 2))


def make(rng, steps, top=TOP):
    """One problem of exactly STEPS steps: prompt, answer and final number."""
    story = Story(rng, top)
    opener, done = rng.choice([o for o in OPENERS if o[1] <= steps])
    opener(story)
    for _ in range(steps - done):
        event(story)
    together = opener is open_compare and story.sentences[2].startswith("They")
    story.say("How many {o} do they have now?" if together and steps == 2 else rng.choice(QUESTIONS))
    prompt = "Question: " + " ".join(story.sentences) + "\nAnswer:"
    return prompt, " " + " ".join(story.steps) + f" #### {story.total}", str(story.total)


def split_of(prompt):
    part = zlib.crc32(prompt.encode()) % 16
    return {0: "eval", 1: "calib"}.get(part, "train")


def stream(split, seed, weights=STEP_WEIGHTS, top=TOP):
    """Problems of one split without end; a prompt may come again."""
    rng = random.Random(f"{split} {seed}")
    while True:
        steps = rng.choices((1, 2, 3), weights)[0]
        problem = make(rng, steps, top)
        if split_of(problem[0]) == split:
            yield problem


def distinct(split, seed, n):
    """The first N problems of the stream that have different prompts."""
    seen = {}
    for prompt, answer, gold in stream(split, seed):
        seen[prompt] = (prompt, answer, gold)
        if len(seen) == n:
            return list(seen.values())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("train", "calib", "eval"), required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=100)
    args = parser.parse_args()
    for i, (prompt, answer, gold) in enumerate(distinct(args.split, args.seed, args.n)):
        row = {"id": f"tiny-{args.split}-{args.seed}-{i:05d}", "prompt": prompt, "answer": answer, "gold": gold}
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
