#!/usr/bin/env python3
"""Holds what mpq-pack makes of Hugging Face folders against GGUF files that other
programs wrote.

    convert.py --tokenizer FILE    writes tests/data/nets/tokenizer.json
    convert.py BIN [--tokens MODEL.gguf ...] [--llama DIR]

BIN is the folder of the programs. Checked are
  - tests/data/nets/NAME and examples/tiny-model: every tensor of the conversion equals
    the GGUF that the gguf package wrote from the same weights, every key of it has the
    same value, tensors are moved and rounded alike in any type (q8_0);
  - --tokens: the vocabulary of a real GGUF is put as a tokenizer.json by the package
    tokenizers, beside a model of one layer, and comes back: tokens, merges, types and
    pre-tokenizer equal, scores in the same order;
  - --llama: llama-perplexity of that folder loads every conversion and gives, within
    0.1%, the figure of mpq-eval on the folder; of the tiny model, that of the shipped
    GGUF to the last digit;
    llama-tokenize gives the same tokens for the files
    of --tokens and for their conversions.

Needs numpy, gguf and tokenizers.
"""

import argparse
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import gguf
import numpy as np

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NETS = os.path.join(TOP, "tests", "data", "nets")
TINY = os.path.join(TOP, "examples", "tiny-model")
failed = []


def check(ok, what):
    if not ok:
        failed.append(what)
        print("FAIL", what)


def contents(reader, key):
    return reader.fields[key].contents()


def values(tensor):
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def plan_for(binary, model, path, kind=None):
    """A plan that keeps every matrix, or gives each KIND where its rows allow."""
    table = subprocess.run([os.path.join(binary, "mpq-stats"), "-q", "--only", "rtn",
                            model], stdout=subprocess.PIPE, check=True).stdout  # fmt: skip
    rows = [x.split()[1:] for x in table.decode().splitlines()
            if x.startswith("##tensor ")]  # fmt: skip
    with open(path, "w") as f:
        f.write("##mpq plan 1\n#unit\ttype\tbits\tparams\tbytes\n")
        for name, now, _, cols in rows:
            to = kind if kind and (kind == "f32" or int(cols) % 32 == 0) else now
            f.write("%s\t%s\t0\t0\t0\n" % (name, to))
        f.write("##end %d\n" % len(rows))
    head = [x for x in table.decode().splitlines() if x.startswith("##file ")]
    return head[0].split()


def pack(binary, model, out, kind=None, more=()):
    plan = out + ".plan"
    head = plan_for(binary, model, plan, kind)
    subprocess.run([os.path.join(binary, "mpq-pack"), "-q", "-f", "gguf", "-p", plan,
                    "-o", out, *more, model], check=True)  # fmt: skip
    check("container=gguf" in head, "%s: ##file says gguf" % model)
    return gguf.GGUFReader(out)


def compare(what, got, want, kind=None, skip=()):
    names = {t.name: t for t in got.tensors}
    check(len(names) == len(want.tensors), what + ": number of tensors")
    for t in want.tensors:
        g = names.get(t.name)
        if g is None:
            check(False, "%s: %s is missing" % (what, t.name))
            continue
        a, b = values(g), values(t)
        check(a.shape == b.shape, "%s: %s: shape" % (what, t.name))
        if kind and g.tensor_type.name.lower() == kind:
            q = gguf.quants.quantize(b.astype(np.float32), g.tensor_type)
            b = gguf.quants.dequantize(q, g.tensor_type)
            # rounded alike up to what a scale may be, but in their places
            check(np.abs(a - b).max() <= 0.02 * np.abs(b).max() + 1e-6,
                  "%s: %s: rounded values" % (what, t.name))  # fmt: skip
        elif t.name == "rope_freqs.weight":
            check(np.abs(a / b - 1).max() < 1e-5, "%s: %s" % (what, t.name))
        else:
            check((a == b).all(), "%s: %s: values" % (what, t.name))
    for key, field in want.fields.items():
        if key.startswith("GGUF.") or key in skip:
            continue
        if key not in got.fields:
            check(False, "%s: key %s is missing" % (what, key))
            continue
        a, b = contents(got, key), contents(want, key)
        same = a == b if not isinstance(b, float) else abs(a - b) <= 1e-6 * abs(b)
        check(same, "%s: key %s: %.60s for %.60s" % (what, key, a, b))


def write_tokenizer(path, tokens, merges, byte_level, added=(), pre=None, post=None):
    """The vocabulary as the package tokenizers writes it."""
    import tokenizers
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    vocab = {t: i for i, t in enumerate(tokens)}
    model = models.BPE(vocab, merges, byte_fallback=not byte_level,
                       unk_token=None if byte_level else "<unk>",
                       fuse_unk=not byte_level)  # fmt: skip
    t = tokenizers.Tokenizer(model)
    if byte_level:
        t.pre_tokenizer = pre
        t.decoder = decoders.ByteLevel()
    else:
        t.normalizer = normalizers.Replace(" ", "\u2581")
        t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "),
                                       decoders.ByteFallback(), decoders.Fuse()])  # fmt: skip
    t.add_special_tokens([tokenizers.AddedToken(s, special=True, normalized=False)
                          for s, special in added if special])  # fmt: skip
    t.add_tokens([tokenizers.AddedToken(s, special=False, normalized=False)
                  for s, special in added if not special])  # fmt: skip
    if post:
        t.post_processor = post
    t.save(path)


def nets_tokenizer(path):
    """That of the GGUF files in tests/data/nets (gen_nets.py, add_vocab)."""
    tokens = ["<unk>", "<s>", "</s>", "<0x0A>", "\u2581"]
    tokens += [chr(i) for i in range(33, 33 + 96 - len(tokens))]
    write_tokenizer(path, tokens, [], False,
                    [("<s>", True), ("</s>", True)])  # fmt: skip


# scores are made up there; token 0 has one kind by its name alone
NETS_SKIP = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type", "general.file_type")


def check_nets(binary, tmp, llama):
    for name in sorted(os.listdir(NETS)):
        want = os.path.join(NETS, name + ".gguf")
        if not os.path.isdir(os.path.join(NETS, name)) or not os.path.exists(want):
            continue
        folder = os.path.join(tmp, name)
        shutil.copytree(os.path.join(NETS, name), folder)
        shutil.copy(os.path.join(NETS, "tokenizer.json"), folder)
        want = gguf.GGUFReader(want)
        for kind in None, "q8_0":
            got = pack(binary, folder, folder + ".gguf", kind)
            compare("%s %s" % (name, kind or "kept"), got, want, kind, NETS_SKIP)
        print("%-14s %d tensors, %d keys" % (name, len(got.tensors), len(got.fields)))
        if llama:
            # else llama.cpp rounds what is multiplied to the type of the weights
            pack(binary, folder, folder + ".gguf", "f32")
            same_figures(binary, llama, name, folder, folder + ".gguf", None, 64)


def check_tiny(binary, tmp, llama):
    out = os.path.join(tmp, "tiny.gguf")
    shipped = os.path.join(TINY, "tiny-model.gguf")
    got = pack(binary, TINY, out)
    skip = ("general.name", "general.license", "general.description")
    compare("tiny-model", got, gguf.GGUFReader(shipped), None, skip)
    if not llama:
        return
    same_figures(binary, llama, "tiny-model", out, out, shipped, 256)


def same_figures(binary, llama, name, folder, converted, shipped, ctx):
    """llama.cpp on the conversion, mpq-eval on both it and the folder; SHIPPED, unless
    None, must give llama.cpp the very figure."""
    # of what the vocabularies of the nets have: llama.cpp stops at a byte without token
    text = converted + ".txt"
    with open(os.path.join(TINY, "text.valid.txt")) as f:
        plain = [c for c in f.read(20000) if c in "\n " or 33 <= ord(c) <= 122]
    with open(text, "w") as f:
        f.write("".join(plain))
    theirs = perplexity(llama, converted, text, ctx)
    ours = [own_perplexity(binary, m, text, ctx) for m in (folder, converted)]
    print("%-14s llama-perplexity %s, mpq-eval %s, of the folder %s"
          % (name, theirs, ours[1], ours[0]))  # fmt: skip
    check(abs(ours[0] / ours[1] - 1) < 1e-6, name + ": mpq-eval of folder and conversion")
    check(theirs and abs(ours[0] / theirs - 1) < 1e-3, name + ": llama-perplexity")
    if shipped:
        check(theirs == perplexity(llama, shipped, text, ctx), name + ": shipped file")


def own_perplexity(binary, model, text, ctx):
    table = subprocess.run([os.path.join(binary, "mpq-eval"), "-q", "-x", text, "--ctx",
                            str(ctx), "--chunks", "8", model],
                           stdout=subprocess.PIPE, check=True).stdout.decode()  # fmt: skip
    return float([x.split("\t") for x in table.splitlines() if "\tppl\t" in x][0][3])


def perplexity(llama, model, text, ctx):
    """With a cache in single precision, since these nets magnify rounding."""
    for _ in range(9):  # it loses what it prints last now and then
        r = subprocess.run([os.path.join(llama, "llama-perplexity"), "-m", model, "-f",
                            text, "-c", str(ctx), "--chunks", "8", "-t", "2", "-fa", "off",
                            "-ctk", "f32", "-ctv", "f32"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        for line in r.stdout.decode(errors="replace").splitlines():
            if "Final estimate" in line:
                return float(line.split("PPL = ")[1].split()[0])
    return None


def spm_merges(tokens, scores, types):
    """As transformers' converter makes them: for each piece, best first, its parts."""
    rank = {t: s for t, s, k in zip(tokens, scores, types) if k in (1, 4)}
    merges = []
    for t, s in rank.items():
        local = [(t[:i], t[i:]) for i in range(1, len(t))
                 if t[:i] in rank and t[i:] in rank]  # fmt: skip
        local.sort(key=lambda x: (tokens_id[x[0]], tokens_id[x[1]]))
        merges += [(s, m) for m in local]
    merges.sort(key=lambda x: -x[0])
    return [m for _, m in merges]


tokens_id = {}


def tiny_folder(folder, config, n_vocab):
    """One layer with N_VOCAB rows of embedding, all zero but for the first."""
    d, ff, hd = 32, 32, 16
    c = {"architectures": [config["class"]], "model_type": config["type"],
         "hidden_size": d, "intermediate_size": ff, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": hd,
         "vocab_size": n_vocab, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
         "rope_theta": 10000.0, "tie_word_embeddings": True, **config["more"]}  # fmt: skip
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(c, f)
    at = "model.layers.0."
    shapes = {"model.embed_tokens.weight": (n_vocab, d), "model.norm.weight": (d,),
              at + "input_layernorm.weight": (d,),
              at + "post_attention_layernorm.weight": (d,),
              at + "self_attn.q_proj.weight": (2 * hd, d),
              at + "self_attn.k_proj.weight": (hd, d),
              at + "self_attn.v_proj.weight": (hd, d),
              at + "self_attn.o_proj.weight": (d, 2 * hd),
              at + "mlp.gate_proj.weight": (ff, d), at + "mlp.up_proj.weight": (ff, d),
              at + "mlp.down_proj.weight": (d, ff)}  # fmt: skip
    if config["type"] == "gemma3_text":
        shapes.update({at + "self_attn.q_norm.weight": (hd,),
                       at + "self_attn.k_norm.weight": (hd,),
                       at + "pre_feedforward_layernorm.weight": (d,),
                       at + "post_feedforward_layernorm.weight": (d,)})  # fmt: skip
    head, end = {}, 0
    for name, shape in shapes.items():
        n = 2 * int(np.prod(shape))
        head[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + n]}
        end += n
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + end)


def check_tokens(binary, tmp, path, llama):
    from tokenizers import pre_tokenizers, processors

    want = gguf.GGUFReader(path)
    get = lambda k: contents(want, "tokenizer.ggml." + k)  # noqa: E731
    tokens, types = get("tokens"), get("token_type")
    byte_level = get("model") == "gpt2"
    folder = os.path.join(tmp, os.path.basename(path) + ".hf")
    if byte_level:
        config = {"class": "LlamaForCausalLM", "type": "llama", "more": {}}
        merges = [tuple(m.split(" ")) for m in get("merges")]
    else:
        config = {"class": "Gemma3ForCausalLM", "type": "gemma3_text",
                  "more": {"sliding_window": 64, "query_pre_attn_scalar": 16}}  # fmt: skip
        tokens_id.update({t: i for i, t in enumerate(tokens)})
        merges = spm_merges(tokens, get("scores"), types)
    tiny_folder(folder, config, len(tokens))
    added = [(t, k == 3) for t, k in zip(tokens, types) if k in (3, 4)]
    pre = post = None
    if byte_level and get("pre") == "smollm":
        pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                       pre_tokenizers.ByteLevel(False)])  # fmt: skip
    if "tokenizer.ggml.add_bos_token" in want.fields and get("add_bos_token"):
        bos = tokens[get("bos_token_id")]
        post = processors.TemplateProcessing(
            single=[bos, "$A"], special_tokens=[(bos, get("bos_token_id"))])  # fmt: skip
    # added in the order of their ids, which `tokenizers` keeps where they are known
    write_tokenizer(os.path.join(folder, "tokenizer.json"), tokens, merges, byte_level,
                    added, pre, post)  # fmt: skip
    special = {k + "_token": tokens[get(g + "_token_id")] for k, g in (
        ("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))}  # fmt: skip
    if "tokenizer.chat_template" in want.fields:
        special["chat_template"] = contents(want, "tokenizer.chat_template")
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump(special, f)
    out = folder + ".gguf"
    got = pack(binary, folder, out)
    for key in want.fields:
        if not key.startswith("tokenizer.") or key.endswith("scores"):
            continue
        if key.endswith("add_sep_token") or (byte_level and "space_prefix" in key):
            continue
        if key not in got.fields:
            check(False, "%s: key %s is missing" % (path, key))
            continue
        a, b = contents(got, key), contents(want, key)
        bad = [i for i, (x, y) in enumerate(zip(a, b)) if x != y] if a != b and isinstance(
            b, list) else []  # fmt: skip
        check(a == b, "%s: key %s: %d differ: %s" % (path, key, len(bad), bad[:5]))
    if not byte_level:
        s, w = contents(got, "tokenizer.ggml.scores"), get("scores")
        plain = [i for i, k in enumerate(types) if k == 1 and len(tokens[i]) > 1]
        order = lambda x: sorted(plain, key=lambda i: -x[i])  # noqa: E731
        check(order(s) == order(w), "%s: order of scores" % path)
        print("largest change of a score", max(abs(s[i] - w[i]) for i in plain))
    print("%s: %d tokens, %d merges" % (os.path.basename(path), len(tokens), len(merges)))
    if not llama:
        return
    texts = [os.path.join(TINY, "text.valid.txt"), os.path.join(TOP, "README.md"),
             os.path.join(TOP, "tests", "bench", "convert.py")]  # fmt: skip
    for text in texts:
        a, b = ([subprocess.run([os.path.join(llama, "llama-tokenize"), "-m", m, "-f", text,
                                 "--ids", "--log-disable"], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL).stdout for m in (path, out)])  # fmt: skip
        check(a == b and len(a) > 100, "%s: llama-tokenize of %s" % (path, text))


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("--tokenizer")
    parser.add_argument("--tokens", nargs="*", default=[])
    parser.add_argument("--llama")
    args = parser.parse_args()
    if args.tokenizer:
        return nets_tokenizer(args.tokenizer)
    if not args.binary:
        parser.error("BIN is missing")
    with tempfile.TemporaryDirectory() as tmp:
        check_nets(args.binary, tmp, args.llama)
        check_tiny(args.binary, tmp, args.llama)
        for path in args.tokens:
            check_tokens(args.binary, tmp, path, args.llama)
    sys.exit("%d failed" % len(failed) if failed else 0)


if __name__ == "__main__":
    main()
