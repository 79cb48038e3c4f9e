#!/bin/sh
# Speed of mpq-stats without spectrum against what the machine can do (rates.c), and its
# memory on a file of a 7B model's shapes.
#
# usage: stats.sh MODEL.gguf        MODEL: quantized, such as SmolLM2's Q4_1 file
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$top/bin}
model=${1:?usage: stats.sh MODEL.gguf}
threads=${THREADS:-$(getconf _NPROCESSORS_ONLN)}
repeat=${REPEAT:-3}
rates=$top/build/opt/bench/rates
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cc=${CC:-cc}
$cc -O2 -o "$work/synth" "$top/tests/bench/synth.c" -lm
$cc -O2 -o "$work/peak" "$top/tests/bench/peak.c"

# best COMMAND...: wall seconds of the fastest run
best() {
    for _ in $(seq "$repeat"); do
        PEAK=$work/figures "$work/peak" "$@" >/dev/null
        awk '{ print $2 }' "$work/figures"
    done | sort -g | head -n 1
}

"$BIN/mpq-stats" --only moments "$model" |
    awk 'BEGIN { print "#unit\ttype" } /^##tensor / { print $2 "\tf32" }' >"$work/plan.tsv"
"$BIN/mpq-pack" -q -p "$work/plan.tsv" -o "$work/f32.gguf" "$model"
cat "$work/f32.gguf" "$model" >/dev/null # into the page cache

echo "$threads threads, seconds"
limit=$("$rates" "$work/f32.gguf" "$threads" | awk '$1 == "read" { print $2 }')
ours=$(best "$BIN/mpq-stats" --only moments -j "$threads" "$work/f32.gguf")
echo "$limit $ours" | awk '{ printf "F32 file, --only moments: read %.3f, mpq-stats %.3f: %.0f%% of the read rate (target 60%%)\n", $1, $2, 100 * $1 / $2 }'
limit=$("$rates" "$model" "$threads" | awk '$1 == "decode" { print $2 }')
ours=$(best "$BIN/mpq-stats" --no-spectrum -j "$threads" "$model")
echo "$limit $ours" | awk '{ printf "as it is, --no-spectrum: decode %.3f, mpq-stats %.3f: %.0f%% of the decode rate (target 10%%)\n", $1, $2, 100 * $1 / $2 }'
rm "$work/f32.gguf"

layer=$(((4 * 4096 * 4096 + 3 * 4096 * 11008) * 4 / 1000000)) # decoded, MB
"$work/synth" 4096 11008 2 32000 f16 >"$work/large.gguf"
echo
echo "layers of 4096 x 11008, vocabulary 32000: allowed are 1.5 x $layer + 200 = $((layer * 3 / 2 + 200)) MB"
PEAK=$work/figures "$work/peak" "$BIN/mpq-stats" -j "$threads" "$work/large.gguf" >/dev/null
awk '{ printf "mpq-stats, everything: %.0f MB anonymous, %.0f s for two layers\n", $6, $2 }' "$work/figures"
