#!/bin/sh
# Exact allocation: 1,000 matrices x 12 types through mpq-alloc, from reading the table to
# the written plan, over a range of budgets; target under 1 s each. With glpsol (Debian
# glpk-utils) the last instance of each kind is solved by GLPK as well ($GLPK_SECONDS at
# most, default 60), and the damages are compared.
#
# usage: knap.sh [UNITS]
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$top/bin}
units=${1:-1000}
limit=${GLPK_SECONDS:-60}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
types="q2_k q3_k iq4_xs q4_k q4_0 iq4_nl q4_1 q5_k q5_1 q6_k q8_0 f16"

# damage KIND: a table with shapes of a large model. real: measured-like damages, free:
# sizes and scores all different, alike: nothing differs (all slopes are ties)
damage() {
    awk -v units="$units" -v kind="$1" -v list="$types" '
        function random() { # Park and Miller 1988: the same numbers in every awk
            seed = (seed * 16807) % 2147483647
            return seed / 2147483647
        }
        BEGIN {
            seed = 1
            n = split(list, type, " ")
            split("2.625 3.4375 4.25 4.5 4.5 4.5 5 5.5 6 6.5625 8.5 16", bits, " ")
            for (u = 0; u < units; u++) {
                part = u % 7
                rows[u] = kind == "free" ? 256 * (1 + int(64 * random())) : \
                    part < 4 ? (part == 1 || part == 2 ? 1024 : 4096) : 14336
                printf "##tensor blk.%d.attn_q.%d f16 %d 4096\n", u / 7, part, rows[u]
            }
            print "##file 1000000 32 rest=0 container=gguf st_header=1 st_rest=0 " \
                "n_layer=" int((units + 6) / 7) " tied=1 arch=llama name=bench"
            print "#unit\ttype\tbits\tparams\tdamage\tse"
            for (u = 0; u < units; u++) {
                score = kind == "alike" ? 1 : exp(2 * random())
                for (t = 1; t <= n; t++) {
                    noise = kind == "real" ? 0.8 + 0.4 * random() : 1
                    printf "blk.%d.attn_q.%d\t%s\t%s\t%d\t%.9g\t0\n", u / 7, u % 7, type[t],
                        bits[t], rows[u] * 4096,
                        score * noise * rows[u] * exp(-1.3862943611 * bits[t])
                }
            }
        }'
}

# lp BITS TABLE: the same as an integer program. Sizes are counted in blocks' bytes of
# 4,096 weights, damages as they are.
lp() {
    awk -F '\t' -v budget="$1" '
        /^#/ { next }
        !($1 in seen) { seen[$1] = ++n; weights += $4 }
        { k++; unit[k] = seen[$1]; size[k] = $3 * $4 / 4096; damage[k] = $5 }
        END {
            print "Minimize\n d:"
            for (i = 1; i <= k; i++) printf " + %.9g x%d\n", damage[i], i
            print "Subject To\n s:"
            for (i = 1; i <= k; i++) printf " + %.9g x%d\n", size[i], i
            printf " <= %.17g\n", budget * weights / 4096
            for (i = 1; i <= k; i++)
                printf "%s x%d%s", unit[i] == unit[i - 1] ? " +" : " u" unit[i] ":", i,
                    unit[i] == unit[i + 1] ? "" : " = 1\n"
            print "Binary"
            for (i = 1; i <= k; i++) print " x" i
            print "End"
        }' "$2"
}

now() { date +%s.%N; }
printf 'kind\tbits\tseconds\tdamage\toptimal\n'
for kind in real free alike; do
    damage $kind >"$work/$kind.tsv"
    for bits in 2.8 3.1 3.5 4 4.4 4.6 5.2 6 7 8 9; do
        t0=$(now)
        "$BIN/mpq-alloc" -q -b $bits --split tensor "$work/$kind.tsv" >"$work/plan.tsv"
        t1=$(now)
        sed -n 's/^##damage \([^ ]*\) .*optimal=\([01]\).*/\1 \2/p' "$work/plan.tsv" |
            awk -v kind=$kind -v bits=$bits -v t0="$t0" -v t1="$t1" '{
                printf "%s\t%s\t%.3f\t%.10g\t%s\n", kind, bits, t1 - t0, $1, $2 }'
    done
    command -v glpsol >/dev/null || continue
    lp 9 "$work/$kind.tsv" >"$work/k.lp"
    t0=$(now)
    glpsol --lp "$work/k.lp" --write "$work/sol" --tmlim "$limit" >"$work/log" || true
    t1=$(now)
    # "s mip ROWS COLUMNS o|f VALUE": optimal, or only feasible when the time was up
    awk -v kind=$kind -v t0="$t0" -v t1="$t1" '/^s mip/ {
        printf "%s\tglpsol\t%.3f\t%.10g\t%d\n", kind, t1 - t0, $6, $5 == "o" }' "$work/sol"
done
