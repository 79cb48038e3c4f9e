#!/bin/sh
# mpq-stats: figures against numpy's (tests/data/gen_nsds.py), parts, threads, bad input.
. "$(dirname "$0")/lib.sh"
data=$top/tests/data

# figures WANT COLUMNS TABLE: every "unit stat value" of WANT is in TABLE (its columns
# COLUMNS), none is missing or extra, all within 1e-5 of max(1, |x|); effective ranks,
# where the smallest singular values are square roots of rounded ones, within 1e-4.
figures() {
    why=$(awk -F'\t' -v at="$2" '
        BEGIN { split(at, c, ",") }
        NR == FNR { want[$1 "\t" $2] = $3; next }
        /^#/ { next }
        { k = $c[1] "\t" $c[2]
          if (!(k in want)) { print "extra " k; exit }
          d = $c[3] - want[k]; if (d < 0) d = -d
          a = want[k] < 0 ? -want[k] : want[k]; if (a < 1) a = 1
          if (d > a * ($c[2] == "effective_rank" ? 1e-4 : 1e-5)) {
              print k, $c[3], "instead of", want[k]; exit }
          seen++ ; delete want[k] }
        END { for (k in want) { print "missing " k; exit } if (!seen) print "nothing" }
    ' "$1" "$3")
    if [ -z "$why" ]; then pass; else fail "$3: $why"; fi
}

for m in nsds-tied nsds-untied; do
    run 0 mpq-stats -j 1 "$data/$m"; silent
    cp out "$m.tsv"
    figures "$data/$m/stats.want" 2,3,4 "$m.tsv"
    run 0 mpq-stats -j 3 "$data/$m"
    same out "$m.tsv"
done
equal "##mpq stats 1" "$(head -1 nsds-tied.tsv | cut -d' ' -f1-3)"
equal 29 "$(grep -c '^##tensor ' nsds-tied.tsv)" "matrices"
equal 37 "$(grep -c '^##tensor ' nsds-untied.tsv)" "matrices"

# A file and a pipe.
one=$data/nsds-tied/model.safetensors
run 0 mpq-stats --config "$data/nsds-tied" "$one"
mv out file.tsv
sh_run 0 "cat '$one' | mpq-stats --config '$data/nsds-tied'"
same out file.tsv
sh_run 0 "gzip -c '$one' | mpq-stats --config '$data/nsds-tied' -"
same out file.tsv

# Parts: every part names all matrices; put together they score as the whole does.
run 0 mpq-stats -l 0-1 "$data/nsds-untied"; mv out a.tsv
run 0 mpq-stats -l 2 "$data/nsds-untied"; mv out b.tsv
run 0 mpq-stats -l 3-4 "$data/nsds-untied"; mv out c.tsv
grep '^##tensor' a.tsv >ta; grep '^##tensor' b.tsv >tb
same ta tb
equal 0 "$(grep -c '^\.' b.tsv)" "rows outside the blocks in a later part"
for m in nsds mse zd ewq kurtboost; do
    run 0 mpq-score -m $m nsds-untied.tsv; mv out whole
    sh_run 0 "cat c.tsv a.tsv b.tsv | mpq-score -m $m"
    same out whole
    run 0 mpq-score -m $m b.tsv c.tsv a.tsv
    same out whole
done
run 1 mpq-score a.tsv c.tsv; one_line; says "blk.2.attn_q: no stats"

# Groups.
stats_of() { grep -v '^#' out | cut -f3 | sort -u | tr '\n' ' '; }
run 0 mpq-stats --only moments "$data/nsds-tied"
equal "kurt max mean min n skew var " "$(stats_of)"
run 0 mpq-stats --only rtn,zshare "$data/nsds-tied"
equal "mse2 mse3 mse4 mse8 n zshare " "$(stats_of)"
run 0 mpq-stats --only nsds "$data/nsds-tied"
equal "n nv se se_official " "$(stats_of)"
run 0 mpq-stats --only spectrum "$data/nsds-tied"
equal "effective_rank fro k99 n sigma_max stable_rank " "$(stats_of)"
run 0 mpq-stats --no-spectrum "$data/nsds-tied"
equal "entropy kurt max mean min mse2 mse3 mse4 mse8 n skew var zshare " "$(stats_of)"
for bad in moment moments, ,rtn ''; do
    run 2 mpq-stats --only "$bad" "$data/nsds-tied"; says "mpq-stats: --only: '"; says "' is no group of"
done
run 2 mpq-stats --no-spectrum --only nsds "$data/nsds-tied"; says "leaves nothing"
run 2 mpq-stats -l 4 "$data/nsds-tied"; says "4 layers"

# Weights that are no numbers: f16 7e00 is NaN, fc00 -infinity.
for value in '\000\176' '\000\374'; do
    mkdir -p bad; cp "$data"/nsds-tied/* bad/
    size=$(wc -c <"$one")
    printf "$value" | dd of=bad/model.safetensors bs=1 seek=$((size - 5000)) conv=notrunc 2>/dev/null
    run 1 mpq-stats -o stats.tsv bad; one_line; says "layers.3"
    run 1 mpq-stats -o stats.tsv --only moments bad; one_line; says "layers.3"
    absent stats.tsv
done

# The same in floats, which are not decoded first: 1 2 3 and what is not finite.
for value in '\000\000\300\177' '\000\000\200\377'; do
    { printf '\140\000\000\000\000\000\000\000'
      printf '%-96s' '{"model.layers.0.mlp.up_proj.weight":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]}}'
      printf '\000\000\200\077\000\000\000\100\000\000\100\100'
      printf "$value"; } >floats.safetensors
    run 1 mpq-stats --only moments floats.safetensors; one_line; says "up_proj"
    run 1 mpq-stats --only rtn floats.safetensors; one_line; says "up_proj"
done
{ head -c 116 floats.safetensors; printf '\000\000\040\101'; } >good.safetensors # and 10
run 0 mpq-stats --only moments good.safetensors
equal "4 4 12.5 1.0182337649086284 -0.76960000000000006 1 10 " "$(grep -v '^#' out | cut -f4 | tr '\n' ' ')"

# Without a configuration the heads are unknown; plain statistics need none.
cp "$one" lone.safetensors
run 1 mpq-stats lone.safetensors; one_line; says "number of heads"
run 0 mpq-stats --only moments lone.safetensors
grep -v '^#' out >rows
run 0 mpq-stats --only moments "$one"
grep -v '^#' out >rows2
same rows rows2

# Heads that do not divide the rows.
sed 's/"num_attention_heads": 4/"num_attention_heads": 5/' "$data/nsds-tied/config.json" >bad/config.json
cp "$one" bad/
run 1 mpq-stats bad; one_line; says "rows of its heads"

# Where output goes.
run 0 mpq-stats -o stats.tsv "$data/nsds-tied"; silent
same stats.tsv nsds-tied.tsv
run 1 mpq-stats absent.gguf; one_line; says "absent.gguf"
run 1 mpq-stats -o no/such/folder "$data/nsds-tied"; one_line
[ -e /dev/full ] && { sh_run 1 "mpq-stats '$data/nsds-tied' >/dev/full"; one_line; }
sh_run 0 "mpq-stats '$data/nsds-tied' | head -1 >/dev/null"; silent
run 2 mpq-stats a b; says "mpq-stats: 'b' is an operand too many"
says "usage: mpq-stats [options] [MODEL]"
run 0 mpq-stats --help; prints "example:"

# Little address space: every program still starts and ends, and what has no room for the
# buffers of BLAS says so. (A sanitizer needs more than that for itself.)
little="ulimit -v 150000; exec timeout 30"
sh -c "$little mpq-stats --version" >out 2>err; got=$?
if [ $got = 0 ] || [ $got = 124 ]; then
    for tool in stats score calibmix alloc pack eval; do
        sh_run 0 "$little mpq-$tool --version"
    done
    sh_run 1 "$little mpq-stats -j 1 '$data/nsds-tied'"; one_line
    says "out of memory: BLAS takes "
    sh_run 0 "ulimit -v 1000000; exec timeout 30 mpq-stats -j 1 '$data/nsds-tied'"; silent
    same out nsds-tied.tsv
    sh_run 1 "ulimit -v 1000000; exec timeout 30 mpq-stats -j 64 '$data/nsds-tied'"; one_line
    says "of address space for 64 threads"
else
    skip "address space: $(head -1 err)"
fi

finish
