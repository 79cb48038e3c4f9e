#!/bin/sh
# What llama.cpp's rounding of inputs costs, family by family: predicted by mpq-stats
# -f damage --int8, and measured by llama-perplexity on files in which one family alone is
# q8_0, or q6_k, and the rest f16.
#
#   inputs.sh PEER MODEL-F16 CALIB EVAL [CHUNKS] [SEQUENCES]
#
# Prints family, type, the predicted damage of the weights and of the inputs, and what was
# measured; a type that does not divide a family's rows is left out.
set -eu
peer=$1 model=$2 calib=$3 text=$4 chunks=${5:-20} n=${6:-16}
PATH=$(cd "$(dirname "$0")/../.." && pwd)/bin:$PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
kl="-c 512 --chunks $chunks -t $(getconf _NPROCESSORS_ONLN) -f $text --kl-divergence-base $tmp/base"
mpq-stats -q -c "$calib" --samples "$n" -f damage --int8 --effort fast -t q8_0,q6_k \
    "$model" -o "$tmp/damage.tsv"
# shellcheck disable=SC2086 # words
"$peer/bin/llama-perplexity" -m "$model" $kl >"$tmp/log" 2>&1
mpq-alloc -q -b 16 -t f16,q8_0 "$tmp/damage.tsv" | grep -v '^##[^t]' >"$tmp/plan"
printf '#family\ttype\tweights\tinputs\tmeasured\tse\n'
for family in attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down token_embd; do
    for type in q8_0 q6_k; do
        predicted=$(awk -F'\t' -v f="$family" -v t="$type" '
            /^#/ || $2 != t { next }
            { u = $1; sub(/^blk\.[0-9]+\./, "", u) }
            u == f { w += $5 - $7; i += $7; k++ }
            END { if (k) printf "%.5f\t%.5f", w, i }' "$tmp/damage.tsv")
        [ "$predicted" ] || continue
        awk -v f="$family" -v t="$type" 'BEGIN { FS = OFS = "\t" } /^#/ { print; next }
            { u = $1; sub(/^blk\.[0-9]+\./, "", u); $2 = u == f ? t : "f16"; print }' \
            "$tmp/plan" >"$tmp/one"
        mpq-pack -q -p "$tmp/one" -o "$tmp/one.gguf" "$model"
        # shellcheck disable=SC2086
        "$peer/bin/llama-perplexity" -m "$tmp/one.gguf" $kl --kl-divergence 2>/dev/null |
            awk -v OFS='\t' -v f="$family" -v t="$type" -v p="$predicted" \
                '/Mean +KLD/ { print f, t, p, $3, $5 }'
        rm -f "$tmp/one.gguf"
    done
done
