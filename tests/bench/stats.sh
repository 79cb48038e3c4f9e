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

# as_f32 FROM TO
as_f32() {
    "$BIN/mpq-stats" --only moments "$1" |
        awk 'BEGIN { print "#unit\ttype" } /^##tensor / { print $2 "\tf32" }' >"$work/plan.tsv"
    "$BIN/mpq-pack" -q -p "$work/plan.tsv" -o "$2" "$1"
}
# moments FILE: F32, against the read rate
moments() {
    cat "$1" >/dev/null # into the page cache
    limit=$("$rates" "$1" "$threads" | awk '$1 == "read" { print $2 }')
    ours=$(best "$BIN/mpq-stats" --only moments -j "$threads" "$1")
    echo "$limit $ours $(wc -c <"$1")" | awk '{ printf "F32, %.1f GB, --only moments: read %.3f, mpq-stats %.3f: %.0f%% of the read rate (target 60%%)\n", $3 / 1e9, $1, $2, 100 * $1 / $2 }'
}

echo "$threads threads, seconds"
as_f32 "$model" "$work/f32.gguf"
moments "$work/f32.gguf"
"$work/synth" 4096 11008 2 32000 f16 >"$work/large.gguf"
as_f32 "$work/large.gguf" "$work/f32.gguf"
moments "$work/f32.gguf"
rm "$work/f32.gguf"
cat "$model" >/dev/null
limit=$("$rates" "$model" "$threads" | awk '$1 == "decode" { print $2 }')
ours=$(best "$BIN/mpq-stats" --no-spectrum -j "$threads" "$model")
echo "$limit $ours" | awk '{ printf "as it is, --no-spectrum: decode %.3f, mpq-stats %.3f: %.0f%% of the decode rate (target 10%%)\n", $1, $2, 100 * $1 / $2 }'

layer=$(((4 * 4096 * 4096 + 3 * 4096 * 11008) * 4 / 1000000)) # decoded, MB
echo
echo "layers of 4096 x 11008, vocabulary 32000: allowed are 1.5 x $layer + 200 = $((layer * 3 / 2 + 200)) MB"
PEAK=$work/figures "$work/peak" "$BIN/mpq-stats" -j "$threads" "$work/large.gguf" >/dev/null
awk '{ printf "mpq-stats, everything: %.0f MB anonymous, %.0f s for two layers\n", $6, $2 }' "$work/figures"
