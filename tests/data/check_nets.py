#!/usr/bin/env python3
"""Holds the logits that gen_nets.py computes, all positions of all sequences, against
two other programs, and prints the largest difference of each case:

    check_nets.py transformers     the folders of tests/data/nets, weights in double
    check_nets.py llama.cpp        the GGUF files with F32 matrices, F32 cache

The first needs torch and transformers, the second llama-cpp-python (whose
LLAMA_CPP_LIB_PATH names a folder with another libllama.so).

Found, the logits being 4 to 12 in size:

    transformers 5.23       8.4e-5   llama, token 300; 5e-5 or less elsewhere
    the same in double      5e-14    (1)
    llama.cpp               3.9e-5   llama and qwen; 0.009 for Gemma (2)
    the same with GELU      4.9e-5   (2)

(1) transformers computes norms, softmax and the angles of the rotation in float32
whatever the weights are in; with .float() and torch.float32 made double in a copy of
its modeling files the difference is rounding alone.
(2) llama.cpp reads GELU from a table over F16. Built without it (GGML_GELU_FP16 in
ggml-cpu/vec.h not defined), it agrees on Gemma too.
"""

import os
import sys
import tempfile

import numpy as np

import gen_nets


def from_transformers(path, seqs):
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float64, attn_implementation="eager")  # fmt: skip
    assert not model.training
    with torch.no_grad():
        return [model(torch.tensor([s])).logits[0].double().numpy() for s in seqs]


def from_llama_cpp(path, seqs):
    import llama_cpp as lc

    mp = lc.llama_model_default_params()
    model = lc.llama_model_load_from_file(path.encode(), mp)
    assert model, path
    n_vocab = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
    out = []
    for s in seqs:
        cp = lc.llama_context_default_params()
        cp.n_ctx = cp.n_batch = cp.n_ubatch = gen_nets.CONTEXT
        cp.type_k = cp.type_v = 0  # F32
        cp.flash_attn_type = 0
        ctx = lc.llama_init_from_model(model, cp)
        batch = lc.llama_batch_init(len(s), 0, 1)
        batch.n_tokens = len(s)
        for i, t in enumerate(s):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = t, i, 1
            batch.seq_id[i][0], batch.logits[i] = 0, 1
        assert lc.llama_decode(ctx, batch) == 0
        p = lc.llama_get_logits(ctx)
        a = np.ctypeslib.as_array(p, (len(s) * n_vocab,)).copy()
        out.append(a.reshape(len(s), n_vocab).astype(np.float64))
        lc.llama_batch_free(batch)
        lc.llama_free(ctx)
    lc.llama_model_free(model)
    return out


def check(how, made):
    if how == "llama.cpp":
        gen_nets.main(made)
    for name, c, net, w, seqs in gen_nets.cases():
        _, folder, gg, _ = gen_nets.CASES[name]
        if how == "transformers" and folder:
            got = from_transformers(os.path.join(gen_nets.HERE, name), seqs)
        elif how == "llama.cpp" and gg:
            got = from_llama_cpp(os.path.join(made, name + ".gguf"), seqs)
        else:
            continue
        w = {k: v.astype(np.float64) for k, v in w.items()}
        want = [gen_nets.forward(net, w, s) for s in seqs]
        diff = max(np.abs(a - b).max() for a, b in zip(want, got))
        print("%-14s %.2g" % (name, diff))


if __name__ == "__main__":
    if sys.argv[1:] not in (["transformers"], ["llama.cpp"]):
        sys.exit("usage: check_nets.py transformers | llama.cpp")
    with tempfile.TemporaryDirectory() as made:
        check(sys.argv[1], made)
