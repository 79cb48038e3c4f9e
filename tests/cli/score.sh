#!/bin/sh
# mpq-score: scores against numpy's (tests/data/gen_nsds.py), damages, bad input.
. "$(dirname "$0")/lib.sh"
data=$top/tests/data

# columns WANT TABLE [SHARE]: each "unit column value" of WANT is in TABLE within 5e-5
# (SHARE) of max(1, |x|). Figures are within 1e-5; P moves by up to a quarter of what z does, and z
# by what a figure does over its spread, which is less than the figure.
columns() {
    why=$(awk -F'\t' -v share="${3:-5e-5}" '
        NR == FNR { want[$1 "\t" $2] = $3; n++; next }
        /^##/ { next }
        /^#/ { sub(/^#/, ""); for (i = 1; i <= NF; i++) name[i] = $i; next }
        { for (i = 2; i <= NF; i++) {
            k = $1 "\t" name[i]
            if (!(k in want)) continue
            d = $i - want[k]; if (d < 0) d = -d
            a = want[k] < 0 ? -want[k] : want[k]; if (a < 1) a = 1
            if (d > a * share) { print k, $i, "instead of", want[k]; exit }
            n-- } }
        END { if (n) print n, "missing" }
    ' "$1" "$2")
    if [ -z "$why" ]; then pass; else fail "$(basename "$1"): $why"; fi
}

for m in nsds-tied nsds-untied; do
    mpq-stats "$data/$m" >"$m.tsv" || fail "mpq-stats $m"
    for v in paper official; do
        run 0 mpq-score --variant $v "$m.tsv"; silent
        columns "$data/$m/nsds-$v.want" out
    done
    for b in 2 3 4 8; do
        run 0 mpq-score -m mse --bits $b "$m.tsv"
        columns "$data/$m/mse$b.want" out
    done
    for method in zd ewq kurtboost; do
        run 0 mpq-score -m $method "$m.tsv"
        columns "$data/$m/$method.want" out
    done
done

# A real model, where it is there: within 1e-4 of a plain program with full singular
# value decompositions (tests/bench/nsds.py --want).
real=${MPQ_TEST_MODELS:-/nonexistent}/smollm2-135m-q4_1.gguf
if [ -f "$real" ]; then
    run 0 mpq-stats -q --only nsds "$real"; cp out real.tsv
    awk -F'\t' -v OFS='\t' '/^#/ { next } { v[$2, $3] = $4 } $3 == "se" { unit[++n] = $2 }
        END { print "#unit\tnv\tse\tse_official"
            for (i = 1; i <= n; i++) { u = unit[i]
                print u, v[u, "nv"], v[u, "se"], v[u, "se_official"] } }' real.tsv >wide.tsv
    columns "$data/nsds-smollm2/stats.want" wide.tsv 1e-4
    for v in paper official; do
        run 0 mpq-score -q --variant $v real.tsv
        columns "$data/nsds-smollm2/nsds-$v.want" out 1e-4
    done
else
    skip "MPQ_TEST_MODELS=DIR with SmolLM2 is not set: NSDS of a real model"
fi

# nv and se are the two halves of nsds.
run 0 mpq-score nsds-tied.tsv; grep -v '^#' out | cut -f2 >both
run 0 mpq-score -m nv nsds-tied.tsv; grep -v '^#' out | cut -f2 >nv
run 0 mpq-score -m se nsds-tied.tsv; grep -v '^#' out | cut -f2 >se
equal "" "$(paste both nv se | awk '{ d = $1 - $2 - $3; if (d > 1e-12 || d < -1e-12) print }')"

# Shape and units.
run 0 mpq-score nsds-tied.tsv
equal "##mpq scores 1 tool=mpq-score" "$(head -1 out | cut -d' ' -f1-4)"
grep '^##tensor\|^##file' out >meta; grep '^##tensor\|^##file' nsds-tied.tsv >meta2
same meta meta2
equal "blk.0 blk.1 blk.2 blk.3 " "$(grep -v '^#' out | cut -f1 | tr '\n' ' ')"
equal "9612 " "$(grep -v '^#' out | cut -f3 | sort -u | tr '\n' ' ')" params
run 0 mpq-score --by tensor nsds-tied.tsv
equal 28 "$(grep -vc '^#' out)" "tensors"
run 0 mpq-score --by tensor -m mse nsds-untied.tsv
equal 37 "$(grep -vc '^#' out)" "tensors with embedding and output"
for m in nsds nv se mse zd ewq kurtboost; do
    for by in layer tensor; do
        run 0 mpq-score -m $m --by $by nsds-untied.tsv
        equal "" "$(grep -v '^#' out | awk '!($2 >= 0) || !($3 > 0)')" "$m $by below 0"
    done
done

# Damages: score * params * the type's error, the same factor for every unit.
run 0 mpq-score nsds-tied.tsv; cp out scores
run 0 mpq-score -t f16,int4,int2g9s nsds-tied.tsv
equal "##mpq damage 1" "$(head -1 out | cut -d' ' -f1-3)"
equal "#unit type bits params damage se" "$(grep '^#u' out | tr '\t' ' ')"
equal 12 "$(grep -vc '^#' out)" "units x types"
equal "" "$(awk -F'\t' '/^#/ { next }
    NR == FNR { weight[$1] = $2 * $3; next }
    { f = $5 / weight[$1]
      if ($2 in factor && (f > factor[$2] * (1 + 1e-12) || f < factor[$2] * (1 - 1e-12)))
          print
      factor[$2] = f }' scores out)" "damages"
equal 16 "$(awk -F'\t' '$1 == "blk.0" && $2 == "f16" { print $3 }' out)" "bits of f16"
# int4: 4 bits, a scale and a zero of 16 for each row, and half a byte at the end of
# down's 36 rows of 53.
equal "" "$(awk -F'\t' '$1 == "blk.0" && $2 == "int4" {
    want = 4 + (32 * (36 + 18 + 18 + 36 + 53 + 53 + 36) + 4 * 36) / 9612
    d = $3 - want; if (d > 1e-9 || d < -1e-9) print $3, want }' out)" "bits of int4"
run 0 mpq-score -t q8_0,f16 -v nsds-tied.tsv # rows of 36 take no block of 32
equal 4 "$(grep -vc '^#' out)" "units that take f16"
says "blk.0: no q8_0"
run 2 mpq-score -t q9_9 nsds-tied.tsv; says "mpq-score: -t: 'q9_9' is no type"
run 2 mpq-score -t f16, nsds-tied.tsv

# Metadata filtered out is no fault.
run 0 mpq-score nsds-tied.tsv; grep -v '^#' out >want
sh_run 0 "grep -v '^##' nsds-tied.tsv | mpq-score"
grep -v '^#' out >got
same got want

# Bad input.
sh_run 1 "head -30 nsds-tied.tsv | mpq-score"; one_line; says "cut short"
sh_run 1 "grep -v '##end' nsds-tied.tsv | mpq-score"; one_line
sh_run 1 "grep -v '^##' nsds-tied.tsv | grep -v 'blk.1.qk' | mpq-score"; one_line
says "blk.1.qk: no stat nv"
sh_run 1 "grep -v '^##' nsds-tied.tsv | grep -v 'blk.2.ffn_up.mse3' | mpq-score -m mse --bits 3"
says "blk.2.ffn_up: no stat mse3"
sh_run 1 "grep -v '^##' nsds-tied.tsv | grep -v 'blk.2' | sed '/^#/!s/	0\..*/	x/' | mpq-score -m zd"
one_line
# figures that no score can be made of
for x in 1e150 1e300; do
    awk -F'\t' -v OFS='\t' -v x=$x '/^##(mpq|end)/ { next }
        $2 == "blk.1.ffn_up" && $3 ~ /^mse/ { $4 = x } 1' nsds-tied.tsv >huge.tsv
    run 1 mpq-score -m mse huge.tsv; one_line; says "huge.tsv: blk.1: a score of "
    equal 0 "$(wc -c <out | tr -d ' ')" "bytes written"
    run 1 mpq-score -m mse -t int4 huge.tsv; one_line
done
run 1 mpq-score nsds-tied.tsv nsds-untied.tsv; one_line; says "another model"
run 1 mpq-score nsds-tied.tsv nsds-tied.tsv; one_line; says "second time"
run 0 mpq-score nsds-tied.tsv; cp out scores.tsv
run 1 mpq-score scores.tsv; one_line; says "scores"
run 1 mpq-score -o x.tsv absent.tsv; one_line; absent x.tsv
run 2 mpq-score -m best nsds-tied.tsv
run 2 mpq-score --bits 5 nsds-tied.tsv; says "mpq-score: --bits: '5' is not one of 2|3|4|8"
run 2 mpq-score -l x nsds-tied.tsv; says "mpq-score: -l: no such option"
sh_run 0 "mpq-score nsds-tied.tsv | head -1 >/dev/null"; silent
[ -e /dev/full ] && { sh_run 1 "mpq-score nsds-tied.tsv >/dev/full"; one_line; }
run 0 mpq-score --help; prints "example:"

finish
