#!/bin/sh
# Predicted damage beside measured: the divergence that mpq-stats -f damage foretells of
# each matrix and type, and that which mpq-eval --each measures on the same text with the
# same importance.
#
#   fisher.sh MODEL TEXT TYPES [CTX] [SEQUENCES]
#
# Prints for all and for each family the number of pairs, the correlation of logarithms
# and the geometric mean of predicted / measured. A tied embedding's two uses count
# together, as they are measured.
set -eu
model=$1 text=$2 types=$3 ctx=${4:-512} n=${5:-8}
PATH=$(cd "$(dirname "$0")/../.." && pwd)/bin:$PATH
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
part="-c $text --ctx $ctx --samples $n"
mpq-stats -q $part -f damage -t "$types" "$model" -o "$tmp/damage.tsv"
mpq-stats -q $part -f imatrix --fisher "$model" -o "$tmp/imatrix.gguf"
mpq-eval -q -x "$text" --ctx "$ctx" --chunks "$n" --only kld --each "$types" \
    --by tensor --imatrix "$tmp/imatrix.gguf" "$model" -o "$tmp/probe.tsv"
awk -F'\t' '
    /^##/ { next }
    /^#/ { for (i = 1; i <= NF; i++) { sub(/^#/, "", $i); col[FILENAME, $i] = i }; next }
    FILENAME == ARGV[1] {
        p[$1, $2] = $(col[FILENAME, "damage"]); next
    }
    {
        m = $(col[FILENAME, "delta"]) + 0
        if (!(($1, $2) in p) || m <= 0) next
        f = $1; sub(/^blk\.[0-9]+\./, "", f); x = log(p[$1, $2]); y = log(m)
        for (g = 0; g < 2; g++) {
            q = g ? f : "all"; n[q]++; sx[q] += x; sy[q] += y
            sxx[q] += x * x; syy[q] += y * y; sxy[q] += x * y
        }
    }
    END {
        for (q in n) {
            a = n[q] * sxy[q] - sx[q] * sy[q]
            b = sqrt((n[q] * sxx[q] - sx[q] ^ 2) * (n[q] * syy[q] - sy[q] ^ 2))
            printf "| %s | %d | %.3f | %.2f |\n", q, n[q], (b > 0 ? a / b : 0),
                exp((sx[q] - sy[q]) / n[q])
        }
    }' "$tmp/damage.tsv" "$tmp/probe.tsv" | sort
