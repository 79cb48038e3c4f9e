#!/usr/bin/env python3
"""Writes tests/data/tokens/models.tsv: ids that llama-tokenize gives with the vocabularies of real models, for
tests/unit/t_tokenizer.c, which looks for these models in $MPQ_TEST_MODELS.

usage: gen_model_ids.py LLAMA_TOKENIZE MODEL.gguf...

model   how the file's name begins: up to the second "-"
text    number of a text of texts.json, whose ids follow; or "letters" (100,000 without a blank), "digits" (20,000) or
        "valid" (examples/tiny-model/text.valid.txt), for which there are a number of ids and a checksum
ids     parted by blanks
"""
import json, pathlib, subprocess, sys, tempfile

OUT = pathlib.Path("tests/data/tokens")


def letters(n, first, choices):
    state, out = 1, []
    for _ in range(n):
        state = (state * 1103515245 + 12345) % 2**31
        out.append(chr(ord(first) + (state >> 16) % choices))
    return "".join(out)


def checksum(ids):
    h = 0
    for i in ids:
        h = (h * 1000003 + i) % 2**32
    return h


def main():
    tool, *models = sys.argv[1:]
    texts = dict(enumerate(json.loads((OUT / "texts.json").read_text())))
    texts |= {"letters": letters(100000, "a", 26), "digits": letters(20000, "0", 10),
              "valid": pathlib.Path("examples/tiny-model/text.valid.txt").read_text()}
    with open(OUT / "models.tsv", "w") as out, tempfile.NamedTemporaryFile() as f:
        for model in map(pathlib.Path, models):
            for name, text in texts.items():
                if not text:
                    continue
                pathlib.Path(f.name).write_bytes(text.encode())
                r = subprocess.run([tool, "-m", str(model), "-f", f.name, "--ids", "--no-parse-special", "--no-bos",
                                    "--no-escape", "--log-disable"], capture_output=True, check=True)
                ids = json.loads(r.stdout.decode().strip().splitlines()[-1])
                if isinstance(name, str):
                    ids = [len(ids), checksum(ids)]
                print("-".join(model.stem.split("-")[:2]), name, " ".join(map(str, ids)), sep="\t", file=out)


main()
