#!/bin/sh
# Speed of mpq-pack for each type, beside llama-quantize if PEER=DIR/bin has one, and the
# memory that packing takes on a file of a 7B model's shapes.
#
# usage: pack.sh [PEER] [MODEL.gguf]
#
# MODEL: f16 or f32, rows in multiples of 256; by default 120 M made-up weights (synth.c).
# Both programs read the same file, write to the same folder ($TMPDIR) and take the same
# number of threads ($THREADS, default all cores), one after the other; the best of
# $REPEAT (3) runs counts.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$top/bin}
peer=${1:-} model=${2:-}
threads=${THREADS:-$(getconf _NPROCESSORS_ONLN)}
repeat=${REPEAT:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cc=${CC:-cc}
$cc -O2 -o "$work/synth" "$top/tests/bench/synth.c" -lm
$cc -O2 -o "$work/peak" "$top/tests/bench/peak.c"

if [ -z "$model" ]; then
    model=$work/model.gguf
    "$work/synth" 2048 5632 2 4096 f16 >"$model"
fi
# plan TYPE: every matrix as TYPE
plan() {
    "$BIN/mpq-stats" --only moments "$model" |
        awk -v type="$1" 'BEGIN { print "#unit\ttype" } /^##tensor / { print $2 "\t" type }'
}
params=$("$BIN/mpq-stats" --only moments "$model" |
    awk '/^##tensor / { n += $4 * $5 } END { printf "%.0f", n }')

# best COMMAND...: seconds of the fastest run
best() {
    for _ in $(seq "$repeat"); do
        PEAK=$work/figures "$work/peak" "$@" >/dev/null 2>"$work/log" || {
            cat "$work/log" >&2; return 1; }
        awk '{ print $2 }' "$work/figures"
    done | sort -g | head -n 1
}
llama=$peer/bin/llama-quantize
[ -n "$peer" ] && [ -x "$llama" ] || llama=
printf '%s million weights, %s threads; millions of weights a second\n' \
    "$((params / 1000000))" "$threads"
printf '%-8s %10s %10s %10s %10s %10s\n' type fast default llama fast/llama default/llama
for type in q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 iq4_nl iq4_xs q3_k q2_k; do
    plan $type >"$work/plan.tsv"
    for effort in fast default; do
        best "$BIN/mpq-pack" -q -p "$work/plan.tsv" --effort $effort -j "$threads" \
            -o "$work/ours.gguf" "$model" >"$work/$effort"
    done
    echo 0 >"$work/llama"
    if [ -n "$llama" ]; then
        case $type in q[0-9]_k) name=$(echo $type | tr qk QK) ;; *) name=$type ;; esac
        case $type in q3_k | q4_k | q5_k) name=${name}_S ;; esac
        best "$llama" --pure --allow-requantize "$model" "$work/theirs.gguf" \
            "$(echo $name | tr '[:lower:]' '[:upper:]')" "$threads" >"$work/llama"
    fi
    paste "$work/fast" "$work/default" "$work/llama" |
        awk -v type=$type -v n="$params" '{ n /= 1e6
            if ($3 > 0) printf "%-8s %10.1f %10.1f %10.1f %10.2f %10.2f\n", type,
                n / $1, n / $2, n / $3, $3 / $1, $3 / $2
            else printf "%-8s %10.1f %10.1f\n", type, n / $1, n / $2 }'
done
rm -f "$work"/*.gguf

# Memory. Two layers of a 7B model with its embedding and output: what counts is the
# largest layer, not how many there are. Zeros: how much is held does not depend on values.
model=$work/large.gguf
"$work/synth" 4096 11008 2 32000 f16 sparse >"$model"
layer=$(((4 * 4096 * 4096 + 3 * 4096 * 11008) * 4 / 1000000)) # decoded, MB
echo
echo "layers of 4096 x 11008, vocabulary 32000: a layer decoded has $layer MB;"
echo "allowed are 1.5 x $layer + 200 = $((layer * 3 / 2 + 200)) MB"
printf '%-8s %22s %10s\n' type 'resident with mapping' anonymous
for type in q2_k q4_k q8_0 f32; do
    plan $type >"$work/plan.tsv"
    PEAK=$work/figures "$work/peak" "$BIN/mpq-pack" -q -p "$work/plan.tsv" \
        --effort fast -j "$threads" -o /dev/null "$model"
    awk -v type=$type '{ printf "%-8s %19.1f MB %7.1f MB\n", type, $4, $6 }' "$work/figures"
done
