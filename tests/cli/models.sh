#!/bin/sh
# Models in every container, whole, split, sharded, piped and broken. The files were made
# by PyPI's gguf and safetensors (tests/data/gen_formats.py), which also read what we
# write, where they are there.
. "$(dirname "$0")/lib.sh"
data=$top/tests/data/formats
python=
for p in "${PYTHON:-python3}" "$top/build/venv/bin/python"; do
    "$p" -c 'import gguf, numpy, safetensors' 2>/dev/null && python=$p && break
done
[ -n "$python" ] || skip "no Python with gguf and safetensors: files are read by our own reader only"

# the model as a plan of its present types, from what mpq-stats says of it
present() {
    mpq-stats -q --only moments "$@" | awk 'BEGIN { print "#unit\ttype" }
        /^##tensor / { print $2 "\t" $3 }'
}

# split and whole give the same tables and the same packed file; split.* keys are gone
run 0 mpq-stats "$data/llama.gguf"; cp out whole.tsv
run 0 mpq-stats "$data/split-00001-of-00003.gguf"; same whole.tsv out
present "$data/llama.gguf" >plan.tsv
run 0 mpq-pack -q -p plan.tsv -o whole.gguf "$data/llama.gguf"; silent
run 0 mpq-pack -q -p plan.tsv -o split.gguf "$data/split-00001-of-00003.gguf"; silent
same whole.gguf split.gguf
# a folder, its single file, a pipe of it with its configuration; shards in their order
run 0 mpq-stats "$data/hf"; cp out hf.tsv
run 0 mpq-stats "$data/hf/model.safetensors"; same hf.tsv out
sed 1d hf.tsv >hf.rest # the first line tells the options
sh_run 0 "mpq-stats --config '$data/hf' <'$data/hf/model.safetensors'"
sed 1d out >rest; same hf.rest rest
sh_run 0 "gzip -c '$data/hf/model.safetensors' | mpq-stats --config '$data/hf' -"
sed 1d out >rest; same hf.rest rest
run 0 mpq-stats "$data/hf-sharded"
grep -v '^#' hf.tsv | sort >hf.sorted; grep -v '^#' out | sort >sharded.sorted
same hf.sorted sharded.sorted

if [ -n "$python" ]; then
    # every kind of key and the tensors' bytes survive a rewrite
    present "$data/kinds.gguf" >kinds.tsv
    run 0 mpq-pack -q -p kinds.tsv -o kinds.gguf "$data/kinds.gguf"; silent
    for pair in "$data/kinds.gguf kinds.gguf" "$data/llama.gguf split.gguf"; do
        run 0 "$python" - $pair <<'END'
import sys
import numpy as np
from gguf import GGUFReader
a, b = GGUFReader(sys.argv[1]), GGUFReader(sys.argv[2])
assert [t.name for t in a.tensors] == [t.name for t in b.tensors]
for x, y in zip(a.tensors, b.tensors):
    assert x.tensor_type == y.tensor_type and list(x.shape) == list(y.shape)
    assert np.array_equal(x.data, y.data), x.name
assert not any(k.startswith("split.") for k in b.fields)
keys = [k for k in b.fields if k in a.fields]
assert list(a.fields) == keys
for k in keys:
    if not k.startswith("GGUF."):
        assert a.fields[k].contents() == b.fields[k].contents(), k
END
    done
    # a decoded copy of the sharded folder: original names and dtypes
    present "$data/hf-sharded" >plan.tsv
    run 0 mpq-pack -q -p plan.tsv -f fake -o fake.safetensors "$data/hf-sharded"; silent
    run 0 "$python" - "$data/hf-sharded" fake.safetensors <<'END'
import glob, json, sys
def tensors(path):  # numpy has no bfloat16: compare the bytes
    with open(path, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    return {n: (e["dtype"], e["shape"], data[slice(*e["data_offsets"])])
            for n, e in head.items() if n != "__metadata__"}
from safetensors import safe_open
want = {}
for shard in glob.glob(sys.argv[1] + "/*.safetensors"):
    want.update(tensors(shard))
assert tensors(sys.argv[2]) == want
with safe_open(sys.argv[2], "np") as f:  # the package's own checks
    assert set(f.keys()) == set(want)
END
fi

# bad models: one line that names the file, exit 1, no output, an older one unharmed
echo old >kept
bad() { # bad WORDS MODEL [OPTION...]
    words=$1 model=$2; shift 2
    run 1 mpq-stats -o new "$@" "$model"; says "mpq-stats: "; says "$words"; one_line
    absent new
    run 1 mpq-pack -p plan.tsv -o kept "$@" "$model"; says "$words"; one_line
    equal old "$(cat kept)" "output after a failure"
}
bad "big-endian GGUF" "$data/big-endian.gguf"
bad "part 2 of 3 of a split model: give the first part" "$data/split-00002-of-00003.gguf"
sh_run 1 "mpq-stats <'$data/split-00001-of-00003.gguf'"; one_line
says "standard input: part 1 of 3 of a split model"
cp "$data/split-00001-of-00003.gguf" "$data/split-00003-of-00003.gguf" .
bad "split-00002-of-00003.gguf: No such file or directory" split-00001-of-00003.gguf
bad "neither model.safetensors nor model.safetensors.index.json" .
bad "has no config.json" "$data/hf/model.safetensors" --config .
# what another file names is a regular file; a pipe there would be waited for
cp -r "$data/hf" piped; rm piped/config.json; mkfifo piped/config.json
run 1 mpq-stats piped; one_line; says "piped/config.json: is no regular file"
mkdir parts; cp "$data"/split-0000[13]* parts; mkfifo parts/split-00002-of-00003.gguf
run 1 mpq-stats parts/split-00001-of-00003.gguf; one_line
says "split-00002-of-00003.gguf: is no regular file"
rm piped/config.json; echo '[]' >piped/config.json
run 1 mpq-stats piped; one_line; says "config.json: no JSON object"
if [ -e /dev/zero ]; then
    run 1 mpq-stats /dev/zero; one_line; says "/dev/zero: a device without an end"
fi

mkdir shards; cp "$data"/hf-sharded/* shards; rm shards/model-00002*
bad "model-00002-of-00002.safetensors: No such file or directory" shards
cp "$data/hf-sharded/model-00001-of-00002.safetensors" shards/model-00002-of-00002.safetensors
bad "is in model-00002-of-00002.safetensors, listed in" shards
for model in llama.gguf hf/model.safetensors; do
    size=$(wc -c <"$data/$model")
    for cut in 0 1 4 8 9 23 24 100 1000 $((size - 32)); do
        head -c "$cut" "$data/$model" >cut
        run 1 mpq-stats cut; says "mpq-stats: cut: "; one_line
        sh_run 1 "head -c $cut '$data/$model' | mpq-stats"; one_line
        says "mpq-stats: standard input: "
    done
    gzip -c "$data/$model" >whole.gz
    for cut in 1 9 17 18 19 100 $(($(wc -c <whole.gz) - 1)); do
        sh_run 1 "head -c $cut whole.gz | mpq-stats"; one_line
        says "mpq-stats: standard input: "
    done
done
# a NaN in the last matrix, f16 ff7f, is found while the table is under way
size=$(wc -c <"$data/llama.gguf")
{ head -c $((size - 34)) "$data/llama.gguf"; printf '\377\177'; tail -c 32 "$data/llama.gguf"; } >nan.gguf
run 1 mpq-stats -o new nan.gguf; one_line; absent new
says "nan.gguf: tensor output.weight: row 23, column 16: value is NaN"
finish
