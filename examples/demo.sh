#!/bin/sh
# From a model to a smaller one, with the reasons: measure, score, allocate, pack, then
# let stock llama.cpp load the result and continue a sentence.
#
# usage: demo.sh [smollm2|MODEL.gguf [BITS [TYPES]]]
#
# Without an argument on the model of examples/tiny-model. Work files stay in build/demo.
# With DEMO_REQUIRE_LLAMA=1 it fails where llama.cpp cannot be had.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
PATH=$top/bin:$PATH
export PATH
venv=$top/build/venv
work=$top/build/demo
mkdir -p "$work"

# A Python with llama.cpp in it: this one, or one of our own beside the build.
find_python() {
    for python in "${PYTHON:-python3}" "$venv/bin/python"; do
        if "$python" -c 'import xllamacpp' 2>/dev/null ||
           "$python" -c 'import llama_cpp' 2>/dev/null; then return 0; fi
    done
    echo "(installing llama.cpp, PyPI package xllamacpp, into build/venv)"
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || return 1
    "$venv/bin/python" -m pip install -q --disable-pip-version-check xllamacpp || return 1
    python=$venv/bin/python
}
# has_llama is 1 when "$python" can run a model
if find_python; then has_llama=1; else has_llama=0; fi

prompt="The meaning of life is"
case ${1:-tiny} in
tiny)
    model=$top/examples/tiny-model/tiny-model.gguf bits=${2:-3.0} types=${3:-q2_k,q4_k}
    prompt="Question: Tom has 12 apples. He buys 7 more apples. Then he loses 4 apples. How many apples does he have now?
Answer:" ;;
smollm2)
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    model=$(PYTHON=$venv/bin/python sh "$top/examples/fetch-model.sh" "$top/build/models" smollm2)
    bits=${2:-5.0} types=${3:-q4_0,q8_0} prompt="The capital of France is" ;;
*)
    # of an unknown shape: every type that is legal for it, chosen exactly
    [ -f "$1" ] || { echo "demo.sh: $1: no such file (or smollm2)" >&2; exit 1; }
    model=$1 bits=${2:-5.0} types=${3:-} method=exact ;;
esac
method=${method:-topk}
name=$(basename "$model" .gguf)
out=$work/$name-$bits.gguf
step() { printf '\n$ %s\n' "$*"; }

step "mpq-stats $name.gguf > stats.tsv"
mpq-stats "$model" >"$work/stats.tsv"
step "mpq-score -m nsds stats.tsv > scores.tsv"
mpq-score -m nsds "$work/stats.tsv" >"$work/scores.tsv"
step "mpq-alloc -m $method -b $bits${types:+ -t $types} scores.tsv > plan.tsv"
mpq-alloc -m "$method" -b "$bits" ${types:+-t "$types"} "$work/scores.tsv" >"$work/plan.tsv"

printf '\nlayer       NSDS  score  %-32s  type\n' ''
# The first file gives each layer's type (that of most of its matrices), the second its score.
awk -F '\t' -f "$top/examples/bars.awk" "$work/plan.tsv" "$work/scores.tsv"

step "mpq-pack -p plan.tsv $name.gguf > $(basename "$out")"
mpq-pack -p "$work/plan.tsv" "$model" -o "$out"
before=$(wc -c <"$model") after=$(wc -c <"$out")
awk -v a="$before" -v b="$after" 'BEGIN {
    printf "\n%.1f MB -> %.1f MB, %.2f times smaller\n", a / 1e6, b / 1e6, a / b }'

if [ "$has_llama" = 1 ]; then
    step "llama.cpp continues:"
    "$python" "$top/examples/complete.py" "$out" "$prompt" 32
    printf '\nllama.cpp loaded %s\n' "build/demo/$(basename "$out")"
else
    echo "llama.cpp could not be installed: the file was written, not run"
    [ "${DEMO_REQUIRE_LLAMA:-0}" = 0 ] || exit 1
fi
