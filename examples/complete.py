#!/usr/bin/env python3
"""Lets stock llama.cpp load a GGUF file and continue a prompt, greedily.

usage: complete.py MODEL.gguf PROMPT [TOKENS]

Needs one of the PyPI packages that carry llama.cpp: xllamacpp or llama-cpp-python.
Exit status: 0 done, 1 llama.cpp refused the file, 3 neither package is installed.
"""
import os
import sys


def by_xllamacpp(model, prompt, tokens):
    import xllamacpp as xlc

    params = xlc.CommonParams()
    params.model.path = model
    params.n_predict = tokens
    params.n_ctx = 512
    params.warmup = False
    params.verbosity = 0
    server = xlc.Server(params)
    answer = server.handle_completions(
        {"prompt": prompt, "max_tokens": tokens, "temperature": 0}
    )
    if "choices" not in answer:
        raise RuntimeError(answer.get("error", answer))
    return answer["choices"][0]["text"]


def by_llama_cpp_python(model, prompt, tokens):
    from llama_cpp import Llama

    llama = Llama(model, n_ctx=512, verbose=False)
    answer = llama.create_completion(prompt, max_tokens=tokens, temperature=0)
    return answer["choices"][0]["text"]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model, prompt = sys.argv[1:3]
    tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    # llama.cpp logs to file descriptor 2 by itself: keep it for a failure only
    saved = os.dup(2)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 2)
        text = fault = None
        for run in (by_xllamacpp, by_llama_cpp_python):
            try:
                text = run(model, prompt, tokens)
                break
            except ImportError:
                continue
            except Exception as e:  # whatever llama.cpp says of the file
                fault = e
                break
    os.dup2(saved, 2)
    if fault is not None:
        print(f"complete.py: {model}: {fault}", file=sys.stderr)
        sys.stdout.flush()
        os._exit(1)
    if text is None:
        print("complete.py: neither xllamacpp nor llama-cpp-python is installed",
              file=sys.stderr)
        sys.exit(3)
    print(prompt + text)
    sys.stdout.flush()
    os._exit(0)  # the server's threads need not be waited for


if __name__ == "__main__":
    main()
