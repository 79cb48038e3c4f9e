#!/bin/sh
# mpq-stats -c with gradients: predicted damages, Fisher-weighted Hessians and
# importance, on the shipped model and its text.
. "$(dirname "$0")/lib.sh"
folder=$top/examples/tiny-model
model=$folder/tiny-model.gguf
head -c 20000 "$folder/text.calib.txt" >text.txt
measure="mpq-stats -q -c text.txt --ctx 64 --samples 6"
types=q2_k,q4_k,int4g32

# a row for each matrix and type; that of the embedding is of its two uses
run 0 $measure -f damage -t $types "$model" -o d.tsv; silent
equal "##mpq damage 1" "$(head -1 d.tsv | cut -d' ' -f1-3)"
equal 108 "$(grep -vc '^#' d.tsv)" "rows"
awk -F'\t' '!/^#/ && !($5 > 0 && $6 > 0 && $6 < $5) { bad = 1 }
    /^#/ { next } { d[$1, $2] = $5 }
    END { for (k in d) { split(k, p, SUBSEP); if (d[p[1], "q2_k"] < 3 * d[p[1], "q4_k"]) bad = 1 }
    exit bad }' d.tsv && pass || fail "damages: $(head -20 d.tsv)"
sh_run 0 "mpq-alloc -q -b 3.5 d.tsv >plan.tsv"
sh_run 0 "mpq-alloc -q --size 2M d.tsv >small.tsv"

# the same for every number of threads, from pipes, and in parts
run 0 $measure -f damage -t $types -j 1 "$model" -o one.tsv; same d.tsv one.tsv
run 0 $measure -f damage -t $types -j 5 "$model" -o five.tsv; same d.tsv five.tsv
sh_run 0 "mpq-stats -q -c - --ctx 64 --samples 6 -f damage -t $types '$model' <text.txt >out2"
grep -v '^##mpq' d.tsv >want; grep -v '^##mpq' out2 >got; same want got
run 0 $measure -f damage -t $types -l 0-1 "$model" -o low.tsv
run 0 $measure -f damage -t $types -l 2-4 "$model" -o high.tsv
grep -hv '^#' low.tsv high.tsv >parts; grep -v '^#' d.tsv >whole; same whole parts
# another seed draws other labels; the text's own are not drawn
run 0 $measure -f damage -t q4_k --seed 1 "$model" -o s1.tsv
cmp -s one.tsv s1.tsv && fail "the seed changes nothing" || pass
run 0 $measure -f damage -t q4_k --labels text "$model" -o t0.tsv
run 0 $measure -f damage -t q4_k --labels text --seed 5 "$model" -o t5.tsv
grep -v '^##' t0.tsv >want; grep -v '^##' t5.tsv >got; same want got
# --int8: the same damages and what rounding inputs costs, in blocks of 32 or of 256
run 0 $measure -f damage -t $types --int8 "$model" -o int8.tsv
awk -F'\t' 'FNR == NR { if (!/^#/) d[$1, $2] = $5; next } /^#/ { next }
    { n++; e = $5 - $7 - d[$1, $2]; if (e > 1e-9 || e < -1e-9) bad = 1
      rounds = $2 != "int4g32"
      if (rounds != ($7 > 0) || $7 < 0) bad = 1 } END { exit !n || bad }' d.tsv int8.tsv && pass || fail "inputs: $(head -30 int8.tsv)"
run 0 $measure -f damage -t q5_0,q4_k,f16 --int8 "$model" -o blocks.tsv
equal "1 1 0" "$(awk -F'\t' '$1 == "blk.1.ffn_down" { x[$2] = $7 }
    END { print (x["q4_k"] > x["q5_0"]), (x["q5_0"] > 0), x["f16"] }' blocks.tsv)" "blocks of 256, of 32, none"
run 0 $measure -f damage -t $types --int8 -j 3 "$model" -o three.tsv; same int8.tsv three.tsv
run 2 $measure -f imatrix --fisher --int8 "$model"; says "--int8 takes -f damage"
run 0 $measure -f damage -t q4_k --effort fast "$model" -o fast.tsv
# labels are told
run 0 mpq-stats -c text.txt --ctx 64 --samples 6 -f damage -t q4_k "$model"
one_line; says "384 labels in 6 sequences"
run 0 mpq-stats -c text.txt --ctx 64 --samples 6 -f damage -t q4_k --labels text "$model"
says "378 labels in 6 sequences"
# --answers: as many as the task's loss is a mean over; what is foretold beside what is
# measured, of the topmost layer
sums=$folder/problems.calib.jsonl types=q2_k,q3_k,q4_k
run 0 mpq-eval --only loss --per-item -k "$sums" "$model"
n=$(awk -F'\t' '$3 == "loss" && $7 != "." { n += $6 } END { print n }' out)
{ head -2 "$sums"; awk 'BEGIN { printf "{\"prompt\": \"" ; for (i = 0; i < 700; i++) printf "is %d ", i; print "\", \"answer\": \" 1\"}" }'; } >long.jsonl
run 0 mpq-stats -c long.jsonl --answers -f damage -l 4-4 -t q4_k "$model"
says "long.jsonl: 1 of 3 lines have no answer within 512 tokens"
answers="mpq-stats -c $sums --samples 0 --answers -f damage -l 4-4"
run 0 $answers -t $types "$model"; says "$n labels in 200 sequences"; cp out answers.tsv
run 0 $answers -t $types -q -j 3 "$model"; same out answers.tsv
run 0 $answers -t q2_k --labels text "$model"; says "$n labels"
run 0 mpq-eval -q --each $types --by tensor -l 4-4 -k "$sums" --only kld "$model"; cp out task.tsv
awk -F'\t' 'FNR == NR { if (!/^#/) d[$1, $2] = $5; next } /^#/ { next }
    { n++; x = log(d[$1, $2]); y = log($9); sx += x; sy += y; xx += x * x; yy += y * y; xy += x * y }
    END { r = (xy - sx * sy / n) / sqrt((xx - sx * sx / n) * (yy - sy * sy / n)); s = (sx - sy) / n
          print n, "pairs, correlation of logarithms", r, "mean ratio", exp(s)
          exit !(n == 21 && r > 0.85 && s < 0.4 && s > -0.4) }' answers.tsv task.tsv >fit &&
    pass || fail "answers: $(cat fit)"
printf '{"text": ""}\n{"text": ""}\n' >empty.jsonl
run 1 mpq-stats -c empty.jsonl --labels text -f damage -t q4_k "$model"; one_line; says "no token that anything predicts"
run 3 mpq-stats -c text.txt -f damage -t q4_k "$top/tests/data/nets/gemma"; one_line; says "no matrix can have any of the types q4_k"
run 1 mpq-stats -c text.txt --ctx 64 --answers -f damage -t q4_k "$model"; one_line; says "text.txt: no answers"
run 2 $measure -f imatrix --answers "$model"; says "--answers takes --fisher or -f damage"

# Hessians: what mpq-pack takes, whole or a part, the same for every -j
run 0 $measure -f hessian --fisher "$model" -o h.st; silent
run 0 $measure -f hessian --fisher -j 1 "$model" -o h1.st; same h.st h1.st
run 0 $measure -f hessian "$model" -o plain.st
run 0 mpq-pack -p plan.tsv -m gptq --hessian h.st "$model" -o a.gguf
run 0 mpq-pack -p plan.tsv -m gptq --hessian plain.st "$model" -o b.gguf
cmp -s a.gguf b.gguf && fail "the weights change nothing" || pass
sh_run 0 "$measure -f hessian --fisher '$model' | mpq-pack -p plan.tsv -m gptq --hessian - '$model' -o c.gguf"
same a.gguf c.gguf
run 0 $measure -f hessian --fisher -l 1-2 "$model" -o part.st
run 0 mpq-pack -p plan.tsv -m gptq --hessian part.st "$model" -o d.gguf
# a .rows of another length, or of no matrix
sed 's/blk.0.attn_k.rows/SWAPPED/; s/blk.0.ffn_up.rows/blk.0.attn_k.rows/
    s/SWAPPED/blk.0.ffn_up.rows/' h.st >bad.st
run 1 mpq-pack -p plan.tsv -m gptq --hessian bad.st "$model" -o e.gguf
one_line; says "values, the matrix"; absent e.gguf
sed 's/blk.0.attn_k.rows/blk.9.attn_k.rows/' h.st >bad.st
run 1 mpq-pack -p plan.tsv -m gptq --hessian bad.st "$model" -o e.gguf
one_line; says "has no such matrix"; absent e.gguf
sed 's/blk.0.attn_k.rows/blk.0.attn_k.rowz/' h.st >bad.st
run 1 mpq-pack -p plan.tsv -m gptq --hessian bad.st "$model" -o e.gguf
one_line; says "is no NAME.gram"; absent e.gguf
sed 's/blk.0.attn_k.rows/blk.0.ffn_up.rows/' h.st >bad.st
run 1 mpq-pack -p plan.tsv -m gptq --hessian bad.st "$model" -o e.gguf
one_line; absent e.gguf

# importance
run 0 $measure -f imatrix --fisher "$model" -o i.gguf; silent
run 0 mpq-pack -q -p plan.tsv --imatrix i.gguf "$model" -o f.gguf

# other shapes of models
echo '{"text": "THE CAT 12+34=46 AND SO ON"}' >some.jsonl
for net in llama-yarn qwen2 qwen3 gemma gemma2 gemma3; do
    run 0 mpq-stats -q -c some.jsonl -f damage -t int4g8,q4_0 "$top/tests/data/nets/$net.gguf" -o n.tsv
    grep -q '^blk.1.ffn_down	int4g8' n.tsv && pass || fail "$net: no damage"
done

# misuse and broken input
run 2 mpq-stats -f damage -t q4_k "$model"; says "takes -c FILE"
run 2 mpq-stats --fisher "$model"; says "--fisher is about a text"
run 2 $measure --fisher "$model"; says "--fisher takes -f imatrix or -f hessian"
run 2 $measure -f damage "$model"; says "-f damage takes -t LIST"
run 2 $measure -f imatrix -t q4_k "$model"; says "-t takes -f damage"
run 2 $measure -f damage -t q4_k,q9 "$model"; says "'q9' is no type that can be written"
run 2 $measure -f hessian --labels text "$model"; says "--labels takes --fisher"
run 2 $measure -f hessian --seed 3 "$model"; says "--seed takes --fisher"
run 2 $measure -f hessian --fisher --effort fast "$model"; says "--effort takes -f damage"
run 2 $measure -f damage -t q4_k --only moments "$model"; says "take out -f"
run 1 mpq-stats -q -c missing.txt -f damage -t q4_k "$model" -o no.tsv; one_line; absent no.tsv
run 1 $measure -f damage -t q4_k text.txt -o no.tsv; one_line; absent no.tsv
if [ -w /dev/full ]; then
    sh_run 1 "$measure -f hessian --fisher '$model' >/dev/full"; one_line
    sh_run 1 "$measure -f damage -t q4_k '$model' >/dev/full"; one_line
fi
run 2 mpq-stats -c "$top/examples/tiny-model/text.calib.txt" -f damage -t q2_k,q2_k "$top/examples/tiny-model/tiny-model.gguf"; says "stands there twice"
run 2 mpq-stats -c "$top/examples/tiny-model/text.calib.txt" -f damage -t q2_k,int4g64v "$top/examples/tiny-model/tiny-model.gguf"; says "is not predicted"

finish
