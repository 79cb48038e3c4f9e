#!/usr/bin/env python3
"""Writes tests/data/tokens/: small vocabularies, texts that are hard to tokenize, and the ids that llama.cpp's
llama-tokenize and the PyPI package tokenizers give for them. For tests/unit/t_tokenizer*.c.

usage: gen_tokens.py LLAMA_TOKENIZE      (packages: gguf, numpy, tokenizers)

texts.json     the texts
pre.tsv        tokenizer.ggml.pre, number of the text, length of each token in bytes (1 or 2): of a vocabulary in which
               any two bytes of a word merge, the lower pair first, so that every cut of the pre-tokenizer shows. It
               has 65,793 tokens and is therefore made anew by the test (make_pairs here).
NAME.gguf      SentencePiece vocabularies with scores, no weights
NAME.json      tokenizer.json of several designs
ids.tsv        model, flags (s: special tokens in the text are parsed; a: those around it are added), number of the
               text, ids

Letters that Unicode assigned after version 14 are avoided: what they are depends on the PCRE2 that is installed.
"""
import json, pathlib, subprocess, sys, tempfile
from collections import Counter

import gguf, numpy
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = pathlib.Path("tests/data/tokens")
TEXTS = [
    "", " ", "a", "Hello world", "  two  blanks  and\ttabs\t\tx\n\n\n  lines \r\n\r\n end  ",
    "It's we'll I'VE don'T 's ''re 'LL\n'd",
    "1 22 333 4444 55555 1234567890 3.14 1,000,000 x1234y56789 \u00b2\u00b3\u00b9 1\u00b2345 \u0663\u0664\u0665",
    "for (int i = 0; i < 10; i++) {\n\t\tprintf(\"%d\\n\", x[i]->y);\n    }\n// <b>bold</b>/path/to\n\n\n\n",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea ok\U0001f44d\U0001f3fd! 1\ufe0f\u20e3 \u2764\ufe0f",
    "\u4eca\u65e5\u306f\u3001\u4e16\u754c\uff01\u6771\u4eac\u3002\uc548\ub155 \uff46\uff55\u3000\uff11\u3010x\u3011\u2026",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u06a9\u060c \u05e9\u05dc\u05d5\u05dd \u200fabc\u200e \u0939\u093f\u0928\u094d"
    "\u0926\u0940 \u0e44\u0e17\u0e22 \u1019\u103c\u1014\u103a",
    "\u00e9 e\u0301 n\u0303o \u0301lead \u01c5 \ufb01 \u017f '\u017f \u03a9\u2126 HTMLParser \u00c9COLE\u00e9cole "
    "\u041f\u0420\u0418\u0412\u0415\u0422\u043c\u0438\u0440",
    "a\u0000b\u0001 \u001b[0m\u007f\u0085x\u00a0\u00a0y\u00ad\u200b\u180e\u2028\u3000 \u1680a\u2003b\u202f \u001cc\ufeff",
    "!!! ??? ... ((())) [[]] <<>> \"'`~@#$%^&*_+|\\/ \u201cq\u201d \u2014 \u20ac\u00b1\u2264 \u2192x",
    "<|endoftext|><s></s><unk> <start>user\nab<end_of_turn> aabcde abc <|endoftext|  <0x0A> \u2581 \u2581\u2581x \t<mask> y",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + " " * 40 + "\n" * 9 + "the other thing and another",
]
PRES = ("default gpt-2 smollm llama-bpe jais-2 qwen2 qwen35 ufakzeka laguna minicpm5 bailingmoe seed-coder exaone-moe "
        "deepseek-llm deepseek-coder deepseek-v3 spark2_5 youtu falcon poro-chat viking tekken gpt-4o "
        "granite-embed-multi-97m tiny_aya superbpe afmoe chameleon glm4 chatglm-bpe").split()
SAMPLE = ("The other day the boy and his brother gathered another thing from the river, and they were there with their "
          "mother. It's 10 or 20 things: don't ask! What is this, then? The theory of the weather, neither here nor "
          "there; rather a matter of gathering. for (int i = 0; i < n; i++) return x; \n\n    def f(self):\n")


def alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def writer(path):
    w = gguf.GGUFWriter(path, "llama")
    for add, value in ((w.add_context_length, 64), (w.add_embedding_length, 32), (w.add_block_count, 1),
                       (w.add_feed_forward_length, 32), (w.add_head_count, 1), (w.add_layer_norm_rms_eps, 1e-5)):
        add(value)
    return w


def finish(w):
    w.add_tensor("token_embd.weight", numpy.zeros((4, 32), dtype=numpy.float32))
    w.add_tensor("blk.0.attn_norm.weight", numpy.zeros(32, dtype=numpy.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def make_pairs(path, pre):
    """<|endoftext|>, the 256 bytes, then all pairs of bytes in order."""
    a = alphabet()
    one = [a[b] for b in range(256)]
    pairs = [(x, y) for x in one for y in one]
    w = writer(path)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list(["<|endoftext|>", *one, *(x + y for x, y in pairs)])
    w.add_token_types([3] + [1] * (256 + len(pairs)))
    w.add_token_merges([x + " " + y for x, y in pairs])
    w.add_bos_token_id(0)
    w.add_eos_token_id(0)
    finish(w)


def make_spm(path, prefix, eos):
    """All the substrings of the sample's words that come twice, the longer and the more frequent the better."""
    text = SAMPLE.replace(" ", "\u2581")
    count = Counter(text[i:i + n] for n in range(2, 8) for i in range(len(text) - n)
                    if "\n" not in text[i:i + n] and "\u2581" not in text[i + 1:i + n - 1])
    some = sorted((t for t, n in count.items() if n > 1), key=lambda t: (-count[t] * len(t), t))[:400]
    user = ["\n\n", "\n\n\n", "<b>", "</b>", "aab", "bcde", "abc"]
    tokens = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("<start>", -1000, 3), ("<end_of_turn>", -1000, 1)]
    tokens += [(t, -1000, 4) for t in user] + [(f"<0x{b:02X}>", 0, 6) for b in range(256)]
    tokens += [(t, -i / 4, 1) for i, t in enumerate(some)]  # -0.0 and scores with fractions among them
    tokens += [(c, -500 - i, 1) for i, c in enumerate(dict.fromkeys(text + "\u2581\u00e9\u4eca")) if c != "\n"]
    w = writer(path)
    w.add_tokenizer_model("llama")
    w.add_token_list([t for t, _, _ in tokens])
    w.add_token_scores([float(s) for _, s, _ in tokens])
    w.add_token_types([k for _, _, k in tokens])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)
    w.add_add_space_prefix(prefix)
    w.add_add_eos_token(eos)
    finish(w)


def train(tokenizer, size, special, alphabet=()):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                  initial_alphabet=list(alphabet))
    tokenizer.train_from_iterator([SAMPLE, *TEXTS[:8]], trainer)


def with_bytes(tokenizer, **more):
    """The same with byte fallback: <0xXX> for all bytes, merges as they were."""
    data = json.loads(tokenizer.to_str())
    vocab = data["model"]["vocab"]
    for b in range(256):
        vocab.setdefault(f"<0x{b:02X}>", len(vocab))
    data["model"].update(byte_fallback=True, unk_token="<unk>", **more)
    return Tokenizer.from_str(json.dumps(data))


def llama2():
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")  # for the training only
    train(t, 330, ["<unk>", "<s>", "</s>"])
    t.pre_tokenizer = None
    t = with_bytes(t, fuse_unk=True)
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                   decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    return t


def gemma():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    train(t, 400, ["<unk>", "<bos>", "<eos>"])
    t.add_tokens([AddedToken(x, normalized=False) for x in ("\n\n", "\n\n\n", "<b>", "  ")])
    return with_bytes(t)


def llama3():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
            r"\s*[\r\n]+|\s+(?!\S)|\s+"), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    train(t, 500, ["<|endoftext|>", "<start>"], sorted(pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True)])
    t.add_tokens([AddedToken("abc", single_word=True), AddedToken("aab")])
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.Sequence([processors.ByteLevel(), processors.TemplateProcessing(
        "<|endoftext|> $A <start>", None, [("<|endoftext|>", 0), ("<start>", 1)])])
    return t


def gpt2():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False),
                                               pre_tokenizers.ByteLevel(add_prefix_space=True)])
    train(t, 400, ["<|endoftext|>"], sorted(pre_tokenizers.ByteLevel.alphabet())[:200])  # not all
    return t


def metaspace(scheme, split):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=False))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    train(t, 300, ["<unk>", "<s>", "</s>"])
    t.decoder = decoders.Metaspace(prepend_scheme=scheme, split=split)
    return t


def splits():
    t = Tokenizer(models.BPE())  # no unknown token: what is unknown vanishes
    t.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Replace(Regex(r"\s\s+"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[aeiou]"), "merged_with_next"), pre_tokenizers.Split("r", "merged_with_previous"),
        pre_tokenizers.Split(Regex(r"th+"), "contiguous"), pre_tokenizers.Split(Regex(r"\d+"), "removed"),
        pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Whitespace()])
    train(t, 300, ["<s>"])
    return t


def main():
    binary = sys.argv[1]
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "texts.json").write_text(json.dumps(TEXTS, indent=0) + "\n")

    def llama(path, text, *flags):
        out = subprocess.run([binary, "-m", str(path), "--stdin", "--ids", "--no-escape", "--log-disable", *flags],
                             input=text.encode(), capture_output=True, check=True).stdout
        return json.loads(out.decode().strip().splitlines()[-1])

    with tempfile.TemporaryDirectory() as tmp, open(OUT / "pre.tsv", "w") as f:
        for pre in PRES:
            path = pathlib.Path(tmp) / "pairs.gguf"
            make_pairs(path, pre)
            for i, text in enumerate(TEXTS):
                ids = llama(path, text, "--no-bos", "--no-parse-special")
                f.write(f"{pre}\t{i}\t{''.join('1' if 0 < n < 257 else '2' for n in ids)}\n")

    with open(OUT / "ids.tsv", "w") as f:
        def put(name, flags, i, ids):
            f.write(f"{name}\t{flags or '-'}\t{i}\t{' '.join(map(str, ids))}\n")

        for name, prefix, eos in (("spm-prefix.gguf", True, False), ("spm-plain.gguf", False, True)):
            make_spm(OUT / name, prefix, eos)
            for i, text in enumerate(TEXTS):
                put(name, "", i, llama(OUT / name, text, "--no-bos", "--no-parse-special"))
                put(name, "sa", i, llama(OUT / name, text))
        made = {"llama2": llama2(), "gemma": gemma(), "llama3": llama3(), "gpt2": gpt2(),
                "metaspace-first": metaspace("first", True), "metaspace-whole": metaspace("always", False),
                "splits": splits()}
        for name, t in made.items():
            t.save(str(OUT / f"{name}.json"), pretty=False)
            for i, text in enumerate(TEXTS):
                if name == "gpt2" and i == 11:
                    continue  # not in NFC, which is not applied
                t.encode_special_tokens = True
                put(f"{name}.json", "", i, t.encode(text, add_special_tokens=False).ids)
                t.encode_special_tokens = False
                put(f"{name}.json", "sa", i, t.encode(text).ids)


if __name__ == "__main__":
    main()
