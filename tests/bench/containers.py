#!/usr/bin/env python3
"""Checkpoints of mpq-pack read by the packages that define them.

    containers.py MODEL [--bin DIR] [--formats LIST] [--load] [-m METHOD] [-c CALIB]

MODEL is a Hugging Face folder. It is first stored in f32; then a plan of many types is
packed as each format, and its matrices are decoded by compressed-tensors' compressor or by
GPTQModel's linear layer on the CPU, and held against `mpq-pack -f hf` of the same plan, bit
for bit in f16, the type of the packages' scales. --load: Transformers loads the folder
(compressed-tensors: symmetric types, GPTQ: one type; see README.md) and goes on with a text.

Needs numpy, torch, safetensors, compressed-tensors, gptqmodel, transformers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import safetensors.torch
import torch

PROMPT = ("Question: Tom has 12 apples. He buys 7 more apples. How many apples does he "
          "have now?\nAnswer:")


def run(*command):
    r = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if r.returncode:
        sys.exit(f"{' '.join(map(str, command))}: exit {r.returncode}\n{r.stderr[-2000:]}")
    return r.stdout


def shapes(o, model):
    for line in run(f"{o.bin}/mpq-stats", "-q", "--only", "moments", model).splitlines():
        w = line.split()
        if w[0] == "##tensor":
            yield w[1], w[2], int(w[3]), int(w[4])


def write_plan(o, model, path, types):
    """TYPES in turn for matrices of the blocks that they fit, f32 for the rest."""
    n = 0
    with open(path, "w") as f:
        f.write("#unit\ttype\n")
        for name, now, rows, cols in shapes(o, model):
            type_ = "f32"
            for k in range(len(types)):
                t = types[(n + k) % len(types)]
                group = int(t.strip("s").partition("g")[2] or cols)
                if name.startswith("blk.") and cols % group == 0:
                    type_ = t
                    break
            n += name.startswith("blk.")
            f.write(f"{name}\t{type_}\n")


def by_compressed_tensors(config, tensors):
    from compressed_tensors.compressors.pack_quantized.base import (
        PackedQuantizationCompressor)
    from compressed_tensors.quantization import QuantizationConfig
    for scheme in QuantizationConfig.model_validate(config).config_groups.values():
        for module in scheme.targets:
            parts = {k[len(module) + 1:]: v for k, v in tensors.items()
                     if k.startswith(module + ".")}
            yield module, PackedQuantizationCompressor.decompress(parts, scheme)["weight"]


def by_gptqmodel(config, tensors):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.quantization.config import dynamic_get
    from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
    for key, qweight in tensors.items():
        if not key.endswith(".qweight"):
            continue
        module = key.removesuffix(".qweight")
        args = {k: config[k] for k in ("bits", "group_size", "sym")}
        args.update(dynamic_get(config["dynamic"], module) or {})
        cols = len(tensors[module + ".g_idx"])
        layer = TorchLinear(**args, desc_act=False, in_features=cols,
                            out_features=qweight.shape[1], bias=False,
                            pack_dtype=torch.int32, register_buffers=True)
        layer.load_state_dict({k: tensors[f"{module}.{k}"]
                               for k in ("qweight", "qzeros", "scales", "g_idx")})
        if config["checkpoint_format"] == "gptq":
            convert_gptq_v1_to_v2_format_module(layer, bits=args["bits"],
                                                pack_dtype=torch.int32)
        layer.post_init()
        yield module, layer.dequantize_weight().T


def compare(o, form, source, plan, ours, d):
    out = os.path.join(d, form)
    method = ["-m", o.m, *(["-c", o.c] if o.c else [])]
    run(f"{o.bin}/mpq-pack", "-q", *method, "-p", plan, "-f", form, "-o", out, source)
    config = json.load(open(f"{out}/config.json"))["quantization_config"]
    tensors = safetensors.torch.load_file(f"{out}/model.safetensors")
    reader = by_compressed_tensors if form == "compressed-tensors" else by_gptqmodel
    n = differ = weights = 0
    for module, theirs in reader(config, tensors):
        mine = ours[module + ".weight"]
        assert theirs.dtype == torch.float16 and theirs.shape == mine.shape
        n += 1
        weights += mine.numel()
        differ += int((theirs != mine.half()).sum())
    rest = [k for k in tensors if k in ours]
    same = all(torch.equal(tensors[k], ours[k]) for k in rest)
    print(f"{form}\t{n}\t{weights}\t{differ}\t{len(rest)}\t{'equal' if same else 'differ'}",
          flush=True)


def load(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer
    model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype="auto")
    tok = AutoTokenizer.from_pretrained(folder)
    ids = tok(PROMPT, return_tensors="pt")["input_ids"]
    new = model.generate(input_ids=ids, max_new_tokens=24, do_sample=False)
    return tok.decode(new[0][ids.shape[1]:])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("--bin", default="bin")
    p.add_argument("--formats", default="compressed-tensors,gptq,gptq-v2")
    p.add_argument("--load", action="store_true")
    p.add_argument("-m", default="rtn")
    p.add_argument("-c")
    o = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        plan, source = os.path.join(d, "plan"), os.path.join(d, "f32")
        write_plan(o, o.model, plan, ["f32"])
        run(f"{o.bin}/mpq-pack", "-q", "-p", plan, "-f", "hf", "-o", source, o.model)
        print("format\tmatrices\tweights\tdiffer\tothers\t", flush=True)
        for form in o.formats.split(","):
            types = ["int4g32", "int4g64s", "int8g32", "int2g32", "int3g32", "int8g64s",
                     "int3s", "int4", "int2g64s"]
            if form == "compressed-tensors":
                types += ["int5g32", "int6s", "int7g16"]
            write_plan(o, source, plan, types)
            hf = os.path.join(d, "hf." + form)
            method = ["-m", o.m, *(["-c", o.c] if o.c else [])]
            run(f"{o.bin}/mpq-pack", "-q", *method, "-p", plan, "-f", "hf", "-o", hf, source)
            ours = safetensors.torch.load_file(f"{hf}/model.safetensors")
            compare(o, form, source, plan, ours, d)
        for form, types in (("hf", ["int4g32"]), ("compressed-tensors", ["int4g32s", "int8g32s"]),
                            ("gptq", ["int4g32s"])):
            if not o.load or form not in ["hf", *o.formats.split(",")]:
                continue
            out = os.path.join(d, "load." + form)
            write_plan(o, source, plan, types)
            run(f"{o.bin}/mpq-pack", "-q", "-p", plan, "-f", form, "-o", out, source)
            print(f"{form} goes on: {load(out)!r}", flush=True)


main()
