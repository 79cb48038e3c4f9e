#!/usr/bin/env python3
"""Writes imatrix/good.gguf with the `gguf` package (PyPI) and imatrix/good.dat with
struct: the same importance in both forms. Run from this folder.

blk.0.attn_q: 4 columns, 10 tokens, sums 10 20 30 40; blk.1.ffn_down_exps: 2 columns, 3
experts of 4, 0 and 2 tokens, sums 4 8, 0 0, 1 3; blk.2.ffn_up: 3 columns, no tokens.
"""
import struct

import gguf
import numpy as np

ENTRIES = [
    ("blk.0.attn_q.weight", [[10, 20, 30, 40]], [10]),
    ("blk.1.ffn_down_exps.weight", [[4, 8], [0, 0], [1, 3]], [4, 0, 2]),
    ("blk.2.ffn_up.weight", [[0, 0, 0]], [0]),
]


def main():
    w = gguf.GGUFWriter("imatrix/good.gguf", arch="")
    w.kv_data[0].clear()  # no architecture in these files
    w.add_type("imatrix")
    w.add_array("imatrix.datasets", ["text.txt"])
    w.add_uint32("imatrix.chunk_count", 2)
    w.add_uint32("imatrix.chunk_size", 512)
    for name, sums, counts in ENTRIES:
        w.add_tensor(name + ".in_sum2", np.array(sums, np.float32))
        w.add_tensor(name + ".counts", np.array(counts, np.float32).reshape(-1, 1))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()

    with open("imatrix/good.dat", "wb") as f:
        kept = [e for e in ENTRIES if any(e[2])]  # as llama-imatrix does
        f.write(struct.pack("<i", len(kept)))
        for name, sums, counts in kept:
            calls = 7
            values = []
            for s, c in zip(sums, counts):
                values += [x / c * calls if c else calls for x in s]
            f.write(struct.pack("<i", len(name)) + name.encode())
            f.write(struct.pack("<ii", calls, len(values)))
            f.write(struct.pack(f"<{len(values)}f", *values))
        text = b"text.txt"
        f.write(struct.pack("<ii", 2, len(text)) + text)


main()
