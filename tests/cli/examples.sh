#!/bin/sh
# The pipelines under examples/, small, on the model that ships with the project.
. "$(dirname "$0")/lib.sh"
ex=$top/examples tiny=$top/examples/tiny-model
rows() { grep -v '^#' "$1"; }

# pipe EXAMPLE VARIABLE=VALUE...: its make, in a folder of this test's
pipe() {
    name=$1; shift
    run 0 make -s -f "$ex/$name/Makefile" WORK="$tmp/$name" OUT="$tmp/$name.gguf" "$@"
}
# report EXAMPLE: the one table it left
report() { find "$tmp/$1" -name report.tsv; }
# alike TABLE: all plans have the bytes of the first, but for 0.5%
alike() {
    equal "" "$(rows "$1" | awk -F'\t' 'NR == 1 { b = $2 } { d = $2 / b - 1 } d > .005 || d < -.005')" "plans of other sizes"
}

# NSDS: weights alone
small="PROBLEMS=6 CHUNKS=1"
pipe nsds $small RANDOM_SEEDS=2
prints "nsds.gguf: the nsds plan, 2229376 bytes"
r=$(report nsds)
equal "nsds uniform random.mean random.best inverted " "$(rows "$r" | cut -f1 | tr '\n' ' ')" plans
alike "$r"
run 0 mpq-pack --check "$(find nsds -name plan.nsds)" nsds.gguf
# what the report says is what mpq-eval says; gains are differences of the pairs
value() { awk -F'\t' -v m="$2" '$3 == m && $7 == "." { printf "%.5g", $4 }' "$(find nsds -name "$1.eval")"; }
equal "$(value inverted loss)" "$(rows "$r" | awk '$1 == "inverted" { print $6 }')" "loss of inverted"
equal "$(value nsds em) $(value inverted em)" \
    "$(rows "$r" | awk '$1 == "nsds" { a = $4 } $1 == "inverted" { print a, $4; if (($10 - (a - $4)) ^ 2 > 1e-9) print "gain" }')" em
# once made, nothing is made again; another budget reads the same figures of the weights
pipe nsds $small RANDOM_SEEDS=2; silent
equal 1 "$(find nsds -name stats.tsv | wc -l | tr -d ' ')"
pipe nsds $small CONTROLS='random inverted' RANDOM_SEEDS=1
equal "nsds random inverted " "$(rows "$r" | cut -f1 | tr '\n' ' ')" "other plans"
pipe nsds $small BITS=3.5 ALLOC=exact METRIC=loss CONTROLS=inverted
equal "1 2" "$(find nsds -name stats.tsv | wc -l | tr -d ' ') $(find nsds -name report.tsv | wc -l | tr -d ' ')" "tables"
equal loss "$(grep -h '^#plan.bytes.predicted.loss' $(report nsds) | cut -f4)"
run 0 make -s -f "$ex/nsds/Makefile" WORK="$tmp/nsds" clean
equal "" "$(ls nsds)" "after make clean"

# TASA: mixture, probes, GPTQ
small="$small PROBE=rtn BY=layer TYPES=q2_k,q4_k MIX=2 SAMPLES=2 RANDOM_SEEDS=1 CONTROLS=random"
pipe tasa $small
prints "tasa.gguf: the moa plan, "
r=$(report tasa)
equal "moa text nsds random " "$(rows "$r" | cut -f1 | tr '\n' ' ')" plans
alike "$r"
run 0 mpq-pack --check "$(find tasa -name plan.moa)" tasa.gguf
# the stages are the files that design and pages name
equal 10 "$(rows "$(find tasa -name 'probe.1-1.tsv')" | cut -f1,2 | sort -u | wc -l | tr -d ' ')" "units and types"
equal 1 "$(rows "$(find tasa -name mix.tsv)" | awk '$5 == 1 { s += $3 } END { print s }')" shares
# probes in parts give the same damages and plan
pipe tasa $small SHARDS=2 -j 2 WORK="$tmp/parts"
rows "$(find tasa -name damage.tsv)" >a; rows "$(find parts -name damage.tsv)" >b; same a b
rows "$(find tasa -name plan.moa)" >a; rows "$(find parts -name plan.moa)" >b; same a b

# damages from gradients instead, by matrix
pipe tasa $small PROBE=predict BY=tensor OTHERS=text WORK="$tmp/foretold"
prints "tasa.gguf: the moa plan, "
equal 35 "$(rows "$(find foretold -name plan.moa)" | grep -c '^blk')" "a row for each matrix"
equal 0 "$(find foretold -name 'probe*' | wc -l | tr -d ' ')" "nothing probed"
run 0 mpq-pack --check "$(find foretold -name plan.moa)" tasa.gguf

# compared by divergence, of the task and of the text
pipe tasa $small PROBE=predict BY=tensor OTHERS=text METRIC=kld WORK="$tmp/foretold"
r=$(grep -l text_kld $(find foretold -name report.tsv))
e=$(dirname "$r")/text.eval
equal "$(awk -F'\t' '$3 == "kld" && $7 == "." { k[$2] = sprintf("%.5g", $4) } END { print k["problems.eval"], k["text.valid"] }' "$e")" \
    "$(rows "$r" | awk '$1 == "text" { print $4, $6 }')" "kld, text_kld"

# another plan to compare with, and a mixture that was told: all of it text
pipe tasa $small OTHERS=mse CONTROLS= POINT=1
equal "moa mse " "$(rows "$(find tasa -path '*point1*' -name report.tsv)" | cut -f1 | tr '\n' ' ')" plans
equal 0 "$(grep -c problems "$(find tasa -name 'calib.2-point1.jsonl')")" "samples of problems"

# the best file at a size
quick="SIZE=2M TYPES=q3_k,q4_k,q6_k PROBE=q3_k CHUNKS=1 GRADIENTS=2 SAMPLES=2 HELD=1 CONTROLS=inverted GAIN=0.5"
pipe best-gguf $quick REPAIR=1
prints "best-gguf.gguf: the "
prints "packed by gptq, on held-back text: "
equal "first repaired inverted " "$(rows "$(report best-gguf)" | cut -f1 | tr '\n' ' ')" plans
[ "$(wc -c <best-gguf.gguf)" -le 2000000 ] && pass || fail "more than 2 MB"
# of the winner rounded and by gptq the better comes out
kld() { awk -F'\t' '$3 == "kld" && $7 == "." { print $4 }' "$(find best-gguf -name "$1")"; }
same best-gguf.gguf "$(cat "$(find best-gguf -name best.gptq.path)")"
winner=$(cat "$(find best-gguf -name chosen)")
better=$(echo "$(kld best.gptq.eval) $(kld "$winner.eval")" | awk -v w="$winner" '{ print $1 <= $2 ? "best.gptq" : w }')
equal "$better.gguf" "$(basename "$(cat "$(find best-gguf -name best.gptq.path)")")" "of rounded and gptq"
pipe best-gguf $quick REPAIR=1 QUANTIZER=rtn # nothing to be packed again
prints "packed by rtn, on held-back text: "
same best-gguf.gguf "$(find best-gguf -name "$(cat "$(find best-gguf -name chosen)").gguf")"

# made again, nothing is; other chunks are measured anew, other sizes swept anew
touch mark; pipe best-gguf $quick REPAIR=1 QUANTIZER=rtn
equal "" "$(find best-gguf -newer mark -name '*.gguf' -o -newer mark -name '*.eval')" "made again"
pipe best-gguf $quick HELD=2 QUANTIZER=rtn
equal 2 "$(find best-gguf -name inverted.eval | wc -l | tr -d ' ')" "measured on one chunk, on two"
for sizes in 1600k:1700k:50k 1800k:2M:100k; do
    run 0 make -s -f "$ex/best-gguf/Makefile" WORK="$tmp/best-gguf" OUT="$tmp/x" $quick QUANTIZER=rtn frontier SIZES=$sizes
    equal 3 "$(grep -c '^1[56789]\|^2' out)" "sizes $sizes: $(cat out)"
done

# without any probe, and of a runtime that rounds no inputs
pipe best-gguf $quick PROBE= INT8= WORK="$tmp/plain"
equal "first inverted " "$(rows "$(find plain -name report.tsv)" | cut -f1 | tr '\n' ' ')" plans

# a plan of the same name that is another is packed anew
plan=$(find plain -name plan.first)
awk -F'\t' -v OFS='\t' '$2 == "q6_k" && !n++ { $2 = "q4_k" } 1' "$plan" | grep -v '^##mpq\|^##end' >edited
cmp -s "$plan" edited && fail "plan.first has no q6_k"
mv edited "$plan"
pipe best-gguf $quick PROBE= INT8= WORK="$tmp/plain" CONTROLS=
run 0 mpq-pack --check "$plan" best-gguf.gguf

# tasa's probe by gptq serves other budgets and weights of the task
gptq="$small PROBE=gptq TYPES=q2_k,q4_k OTHERS= CONTROLS= CHUNKS=1 PROBLEMS=2 QUANTIZER=rtn WORK=$tmp/probed"
pipe tasa $gptq
touch mark; pipe tasa $gptq BETA=0.5; pipe tasa $gptq BETA=0.5
equal "" "$(find probed -newer mark -name 'probe.*' -o -newer mark -name 'calib.*')" "probed again"

# all that decides what an input is has a part in the name of the folder
mkdir parts.d; (cd parts.d || exit; touch m-00001-of-00002.gguf m-00002-of-00002.gguf n-00001-of-00001.gguf config.json a.jsonl b.jsonl)
printf -- '- file: a.jsonl # first\n  shots_from: "b.jsonl"\n- file: gone.jsonl\n' >parts.d/l.yaml
files() { equal "$2" "$(sh "$ex/files.sh" $1 | sed 's/.*\///' | tr '\n' ' ')" "files of $1"; }
files parts.d/m-00002-of-00002.gguf "m-00001-of-00002.gguf m-00002-of-00002.gguf "
files "parts.d/l.yaml parts.d/a.jsonl" "l.yaml a.jsonl b.jsonl a.jsonl "
touch parts.d/x.safetensors
files parts.d/x.safetensors "x.safetensors config.json "
files parts.d "config.json x.safetensors "

# a plan that loses is not passed off as good
verdict() { printf "#plan\tbytes\tpredicted\tem\tse\tgain\tse\nmoa\t9\t1\t.5\t.1\t.\t.\n%b" "$1" | awk -f "$ex/verdict.awk" -v out=x.gguf >out; }
verdict 'uniform\t9\t2\t.9\t.1\t-.4\t.1\nrandom.best\t9\t2\t.1\t.1\t.4\t.1\nppl\t9\t.\t.4\t.1\t.1\t.1\n'
prints "x.gguf: the moa plan, 9 bytes, em .5"
prints "LOSES TO uniform (.9)"; prints "beats random.best (.1)"; prints "cannot be told apart from ppl (.4)"

# what is wrong is said, and nothing is left
# shellcheck disable=SC2086 # words
wrong() { run 2 make -s -f "$ex/$1/Makefile" WORK="$tmp/w" OUT="$tmp/w.gguf" $2; absent w w.gguf; }
wrong tasa MODEL=absent.gguf; says "absent.gguf: cannot be read"
wrong tasa METRIC=acc; says "METRIC=acc: the problems of"
wrong tasa EVAL=absent.jsonl; says "absent.jsonl: cannot be read"
cp "$tiny/tiny-model.gguf" m.gguf
wrong tasa MODEL=m.gguf; says "SIZE: how large may the file be?"
wrong nsds MODEL=m.gguf; says "SIZE: how large may the file be?"
run 2 make -s -f "$ex/nsds/Makefile" WORK="$tmp/w" OUT="$tmp/w.gguf" BITS=1; absent w.gguf
says "mpq-alloc: "

finish
