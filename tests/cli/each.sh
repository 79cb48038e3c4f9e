#!/bin/sh
# mpq-eval --each: a row is what packing that unit alone and evaluating gives; parts,
# threads and interruptions leave the bytes as they are; what can be asked wrongly.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model
model=$tiny/tiny-model.gguf
text=$tiny/text.valid.txt
sums=$tiny/problems.eval.jsonl
head -8 "$tiny/problems.calib.jsonl" >few.jsonl
rows() { grep -v '^#' "$1"; }

# near WANT GOT SHARE WHAT: |got - want| <= share * |want|
near() {
    if awk -v a="$1" -v b="$2" -v s="$3" 'BEGIN {
        d = a - b; if (d < 0) d = -d; w = a < 0 ? -a : a
        exit !(a != "" && b != "" && d <= s * w) }'; then pass; else
        fail "$4: $2, not $1"; fi
}

# alone UNIT TYPE: a plan in which the matrices that match UNIT, a pattern of awk, have
# TYPE and all others what they have, by the ##tensor lines of the table ./probe
alone() {
    awk -v u="^($1)\$" -v t="$2" 'BEGIN { print "#unit\ttype" }
        /^##tensor/ { print $2 "\t" ($2 ~ u ? t : $3) }' probe >plan.tsv
}
# truth UNIT PATTERN TYPE MODEL EVAL -- PACK: the rows of UNIT as TYPE in ./probe beside
# mpq-pack PACK of the matrices that match PATTERN, measured by mpq-eval EVAL
truth() {
    unit=$1 pattern=$2 type=$3 of=$4; shift 4
    with=; while [ "$1" != -- ]; do with="$with $1"; shift; done; shift
    alone "$pattern" "$type"
    run 0 mpq-pack -q -p plan.tsv -f safetensors "$@" -o packed.st "$of"
    # shellcheck disable=SC2086 # a list of options
    run 0 mpq-eval $with --ref "$of" packed.st
    awk -F'\t' -v u="$unit" -v t="$type" '$1 == u && $2 == t' probe >these
    [ -s these ] && pass || fail "no rows of $unit as $type"
    while IFS='	' read -r _ _ _ _ task metric base value delta se; do
        what="$unit as $type, $task, $metric"
        awk -F'\t' -v k="$task" -v m="$metric" '$2 == k && (index($3, m "_") == 1 || $3 == m) {
            print $3, $4, $5 }' out >figures
        near "$(sed -n "s/^$metric \([^ ]*\).*/\1/p" figures)" "$value" 1e-5 "$what: value"
        if [ "$metric" = kld ]; then
            equal 0 "$base" "$what: base"; near "$value" "$delta" 0 "$what: delta"
            near "$(sed -n "s/^kld [^ ]* //p" figures)" "$se" 1e-5 "$what: se"
            continue
        fi
        near "$(sed -n "s/^${metric}_ref \([^ ]*\).*/\1/p" figures)" "$base" 1e-5 "$what: base"
        near "$(awk -v m="${metric}_diff" '$1 == m { printf "%.17g", m ~ /^acc|^em/ ? 0 - $2 : $2 }' \
            figures)" "$delta" 1e-5 "$what: delta"
        near "$(sed -n "s/^${metric}_diff [^ ]* //p" figures)" "$se" 1e-5 "$what: se"
    done <these
}

# Layers: a row is the truth, whatever is measured.
how="--chunks 3 -x $text -k $sums --limit 12 --only ppl,nll,kld,em,loss"
run 0 mpq-eval $how --each q2_k,q4_0,int3g64 -l 1-4 "$model"; silent; cp out probe
equal "#unit	type	bits	params	task	metric	base	value	delta	se" "$(grep '^#u' out)"
equal "##mpq probe 1" "$(head -1 out | cut -d' ' -f1-3)"
equal "$((4 * 3 * 6))" "$(rows out | wc -l | tr -d ' ')" rows
equal "blk.1 q2_k 2.625 589824" "$(rows out | head -1 | cut -f1-4 | tr '\t' ' ')" "first row"
equal 1 "$(grep -c '^##file .*model_id=' out)" "the shape of the model"
truth blk.1 'blk\.1\..*' q2_k "$model" $how --
truth blk.4 'blk\.4\..*' int3g64 "$model" $how --
mpq-eval $how --each q2_k,q4_0,int3g64 -l 1-4 -j 1 "$model" >other; same probe other
sh_run 0 "mpq-eval $how --each q2_k,q4_0,int3g64 -l 1-4 <'$model'"; same probe out
# less memory than anything takes: states in files, logits computed anew
mpq-eval $how --each q2_k,q4_0,int3g64 -l 1-4 --max-bytes 1k "$model" >other
rows probe >a; rows other >b; same a b

# Modules, and the present type: nothing is lost.
how="--chunks 2 -x $text"
run 0 mpq-eval $how --each q3_k,bf16 --by module -l 2-3 "$model"; cp out probe
equal "blk.2.attn blk.2.ffn blk.3.attn blk.3.ffn " "$(rows out | cut -f1 | uniq | tr '\n' ' ')"
truth blk.2.attn 'blk\.2\.attn.*' q3_k "$model" $how --
truth blk.3.ffn 'blk\.3\.ffn.*' q3_k "$model" $how --
equal "0 0" "$(rows probe | awk '$2 == "bf16" { print $9, $10 }' | sort -u)" "the present type"

# Products in 8 bits.
run 0 mpq-eval $how --int8 --each q3_k,q4_0 --by module -l 2-2 --rest "$model"; cp out probe
truth blk.2.attn 'blk\.2\.attn.*' q3_k "$model" $how --int8 --
truth blk.2.ffn 'blk\.2\.ffn.*' q4_0 "$model" $how --int8 --
mpq-eval $how --int8 --each q3_k,q4_0 --by module -l 2-2 --rest -j 1 --max-bytes 1k "$model" >other
rows probe >a; rows other >b; same a b

# Tensors; embedding and output are among them, a tied embedding once.
run 0 mpq-eval $how --each q4_k --by tensor -l 0-1 "$model"; cp out probe
equal "token_embd blk.0.attn_q" "$(rows out | cut -f1 | uniq | head -2 | tr '\n' ' ' | sed 's/ $//')"
equal 15 "$(rows out | cut -f1 | sort -u | wc -l | tr -d ' ')" units
truth token_embd token_embd q4_k "$model" $how --
truth blk.1.ffn_down 'blk\.1\.ffn_down' q4_k "$model" $how --
run 0 mpq-eval $how --each q4_k --by tensor -l 2-2 "$model"
equal 0 "$(rows out | grep -c token_embd)" "embedding in a later part"
run 0 mpq-eval $how --each q4_k --rest -l 0-0 "$model"
equal "token_embd blk.0 " "$(rows out | cut -f1 | uniq | tr '\n' ' ')"

# An output of its own, a soft cap on the logits, rows that a type does not divide.
nets=$top/tests/data/nets
for net in llama gemma2; do
    mkdir $net; cp "$nets/$net"/* "$nets/tokenizer.json" $net
    how="--chunks 9 --ctx 24 -x $text"
    run 0 mpq-eval $how --each int3g16,q4_0 --rest $net; cp out probe
    equal 1 "$(grep -c '^mpq-eval: q4_0: [0-9] of 5 units have rows that are no multiple of 32' err)"
    truth token_embd token_embd int3g16 $net $how --
    truth blk.1 'blk\.1\.(attn|ffn)_(q|k|v|output|gate|up|down)' int3g16 $net $how --
    [ $net = gemma2 ] || truth output output int3g16 $net $how --
done
run 3 mpq-eval $how --each q4_k gemma2; says "no unit can have any of the types q4_k"

# Multiple choice, without the steps between: less right is worse.
head -40 "$sums" | sed 's/, "answer".*"gold": "\([0-9]*\)"}$/, "choices": [" \1", " 1\1", " 3"], "gold": 0}/' >mc.jsonl
run 0 mpq-eval -k mc.jsonl --each int1g128s "$model"; cp out probe
equal "acc acc_norm kld loss " "$(rows out | cut -f6 | sort -u | tr '\n' ' ')" metrics
for l in 0 1 2 3 4; do truth blk.$l "blk\\.$l\\..*" int1g128s "$model" -k mc.jsonl --; done
equal 1 "$(rows probe | awk '$6 ~ /^acc/ && $9 != 0 { n = 1 } END { print n + 0 }')" "something changes"

# Other quantizers, as mpq-pack has them.
how="--chunks 2 -x $text --only kld"
run 0 mpq-eval $how --each q4_0 --pack hqq -l 2-3 "$model"; cp out probe
truth blk.3 'blk\.3\..*' q4_0 "$model" $how -- -m hqq
run 0 mpq-eval $how --each q3_k --effort fast -c few.jsonl --calib-ctx 64 --samples 6 -l 2-3 "$model"
cp out probe
truth blk.3 'blk\.3\..*' q3_k "$model" $how -- --effort fast -c few.jsonl --ctx 64 --samples 6
# of a larger unit mpq-pack sees the inputs that its first matrices leave to the others
run 0 mpq-eval $how --each q3_k,int4g32 --pack gptq -c few.jsonl -l 1-3 --by tensor "$model"; cp out probe
truth blk.3.ffn_down 'blk\.3\.ffn_down' q3_k "$model" $how -- -m gptq -c few.jsonl
truth blk.1.attn_q 'blk\.1\.attn_q' int4g32 "$model" $how -- -m gptq -c few.jsonl
run 0 mpq-eval $how --each q3_k,int4g32 --pack awq -c few.jsonl -l 1-3 --by module "$model"; cp out probe
truth blk.3.attn 'blk\.3\.attn.*' q3_k "$model" $how -- -m awq -c few.jsonl
truth blk.2.ffn 'blk\.2\.ffn.*' int4g32 "$model" $how -- -m awq -c few.jsonl
mpq-stats -c few.jsonl -f hessian -q "$model" >h.st 2>/dev/null
mpq-stats -c few.jsonl -f imatrix -q "$model" >i.gguf 2>/dev/null
run 0 mpq-eval $how --each q4_0 --pack gptq --hessian h.st --damp 0.05 --by tensor -l 2-3 "$model"
cp out probe
truth blk.3.attn_v 'blk\.3\.attn_v' q4_0 "$model" $how -- -m gptq --hessian h.st --damp 0.05
run 0 mpq-eval $how --each q2_k --imatrix i.gguf -l 4-4 "$model"; cp out probe
truth blk.4 'blk\.4\..*' q2_k "$model" $how -- --imatrix i.gguf
mpq-stats -c few.jsonl -f imatrix -l 0-0 -q "$model" >part.gguf 2>/dev/null
run 0 mpq-eval --chunks 1 -x "$text" --each f16,q2_k --imatrix part.gguf -l 4-4 "$model"
says "part.gguf: does not know 7 matrices"

# Parts put together are the whole.
how="--chunks 2 -x $text --each q2_k,q4_k --rest"
mpq-eval $how "$model" >whole
for part in 0-1 2-2 3-4; do run 0 mpq-eval $how -l $part -o $part "$model"; done
cat 0-1 2-2 3-4 >parts
rows whole >a; rows parts >b; same a b
run 0 mpq-score -m kld -o from.whole whole; run 0 mpq-score -m kld -o from.parts parts
rows from.whole >a; rows from.parts >b; same a b

# Going on: from whatever a kill leaves there.
how="--chunks 1 --ctx 128 -x $text -k $sums --limit 2 --only ppl,kld,loss --each q2_k,q4_0 --by tensor"
run 0 mpq-eval $how -o whole "$model"
size=$(wc -c <whole)
run 0 mpq-eval $how --resume again "$model"; same again whole
cp -p again before; run 0 mpq-eval $how --resume again "$model"; same again whole
for cut in 1 100 $((size / 3)) $((size / 2)) $((size - 40)) $((size - 1)); do
    head -c $cut whole >again
    run 0 mpq-eval -q $how --resume again "$model"; silent; same again whole
done
rm again
kills=0 early=0
while [ $kills -lt 10 ] && [ $early -lt 30 ]; do
    mpq-eval -q $how --resume again "$model" &
    sleep "$(awk -v i="$kills$early$$" 'BEGIN { srand(i); print 0.02 + 0.4 * rand() }')"
    if kill -9 $! 2>/dev/null; then kills=$((kills + 1)); else early=$((early + 1)); rm -f again; fi
    wait $! 2>/dev/null
    [ ! -e again ] || cmp -s again whole ||
        cmp -n "$(wc -c <again)" again whole || fail "not a beginning of the whole"
done
equal 10 $kills kills
run 0 mpq-eval -q $how --resume again "$model"; same again whole
run 1 mpq-eval $how --chunks 2 --resume again "$model"; one_line; says "--chunks%202' should be"
says "the output of another command"
sed 's/attn_k/attn_q/' whole >again; cp again before
run 1 mpq-eval $how --resume again "$model"; one_line; says "again:"; same again before
{ cat whole; echo more; } >again
run 1 mpq-eval $how --resume again "$model"; one_line; says "'more'"
# files of the same names with other contents are another command
cp "$sums" sums.jsonl; head -c 20000 "$text" >calib.txt
inputs="--chunks 1 --ctx 64 -x $text -k sums.jsonl --limit 2 --only kld,loss --each q4_0 -l 4-4 -c calib.txt --samples 1 --calib-ctx 64"
run 0 mpq-eval -q $inputs -o full "$model"
head -c $(($(wc -c <full) - 60)) full >again
sed -i '1s/ [0-9][0-9]* / 77 /' sums.jsonl
run 1 mpq-eval $inputs --resume again "$model"; one_line; says "the output of another command"
cp "$sums" sums.jsonl; tail -c 20000 "$text" >calib.txt
run 1 mpq-eval $inputs --resume again "$model"; one_line; says "the output of another command"
head -c 20000 "$text" >calib.txt
run 0 mpq-eval -q $inputs --resume again "$model"; same again full
# what comes through a pipe is read once, and told apart as well
piped=$(echo "$inputs" | sed 's/-c calib.txt/-c -/')
sh_run 0 "mpq-eval -q $piped '$model' <calib.txt"; cp out piped
grep -v '^##mpq' piped >a; grep -v '^##mpq' full >b; same a b
head -c $(($(wc -c <piped) - 60)) piped >again
sh_run 1 "tail -c 20000 '$text' | mpq-eval $piped --resume again '$model'"; one_line; says "the output of another command"
sh_run 0 "cat calib.txt | mpq-eval -q $piped --resume again '$model'"; same again piped
mpq-stats -q -c calib.txt --ctx 64 --samples 4 -f hessian -o h.st "$model"
how="--chunks 1 --ctx 64 -x $text --only kld --each q4_0 -l 4-4 --pack gptq"
run 0 mpq-eval -q $how --hessian h.st "$model"; rows out >a
mkfifo pipe; cat h.st >pipe &
run 0 mpq-eval -q $how --hessian pipe "$model"; rows out >b; same a b
sh_run 2 "cat h.st | mpq-eval $how --hessian - --resume fresh '$model'"; says "no file that could be told from another"; absent fresh

# so is a task whose answers are taken otherwise
alias() { printf '{"prompt": "2 and 2 is", "answer": "four", "gold": "x", "aliases": ["%s"]}\n' "$1" >alias.jsonl; }
em="--each q4_0 -l 4-4 --only em -k alias.jsonl"
alias 4; run 0 mpq-eval -q $em -o full "$model"
head -c $(($(wc -c <full) - 60)) full >again
alias 5; run 1 mpq-eval $em --resume again "$model"; one_line; says "the output of another command"
alias 4; run 0 mpq-eval -q $em --resume again "$model"; same again full

# What is wrong on the command line.
ask() { run 2 mpq-eval -x "$text" "$@" "$model"; }
ask --each q9; says "--each: 'q9' is no type that can be written"
ask --each q4_k,q4_k; says "'q4_k' stands there twice"
ask --each ''; says "is no type"
ask --by tensor; says "--by is for --each"
ask -l 0-1; says "-l is for --each"
ask --each q4_k -l 3-5; says "the model has 5 layers"
ask --each q4_k --ref x; says "--ref does not go with --each"
ask --each q4_k --only top1; says "--each measures ppl,nll,kld"
ask --each q4_k --only acc; says "nothing to measure"
ask --each q4_k --pack gptq; says "--pack gptq takes -c FILE, or --hessian FILE, to see"
ask --each q4_k --pack hqq --hessian h.st; says "--pack hqq takes no --hessian"
ask --each q4_k --damp 1; says "--damp is for --pack gptq"
ask --each q4_k --samples 3; says "--samples is for -c FILE"
ask --each q4_k -o a --resume b; says "--resume FILE is the output itself"
ask --each q4_k --resume "$model"; says "is read as well"
run 2 mpq-eval --each q4_k "$model"; says "nothing to measure"
run 1 mpq-eval --each q4_k -x "$text" --imatrix absent -o f "$model"; one_line; absent f
run 1 mpq-eval --each q4_k -x "$text" --resume no/such/file "$model"; one_line
sh_run 0 "mpq-eval --each q4_k --chunks 1 --progress=always -x '$text' '$model' 2>bar >/dev/null"
grep -q 's left' bar && pass || fail "no time left in the bar"
# --each back: of a packed file, what each matrix costs among the others; a row beside
# the same file with that matrix as it was
awk 'BEGIN { print "#unit\ttype" } /^##tensor/ { print $2 "\t" ($2 ~ /blk.2/ ? "q2_k" : $2 ~ /blk.3/ ? $3 : "q4_0") }' probe >plan.tsv
run 0 mpq-pack -q -p plan.tsv -o packed.gguf "$model"
how="--chunks 3 -x $text -k $sums --limit 12 --only kld,nll,loss"
sed 's/^\(blk.2.ffn_up\).*/\1\tbf16/' plan.tsv >one.tsv
run 0 mpq-pack -q -p one.tsv -o one.gguf "$model"
for in in --int8 -q; do # in 8 bits and not
    run 0 mpq-eval $how $in --each back --ref "$model" packed.gguf; silent; cp out back
    equal "$(grep -c 'q4_0$\|q2_k$' plan.tsv)" "$(rows back | grep -c 'text.*	kld')" "a row for each that is quantized"
    run 0 mpq-eval $how $in --ref "$model" packed.gguf; cp out now
    run 0 mpq-eval $how $in --ref "$model" one.gguf; cp out given
    for of in text:kld text:nll problems:loss problems:kld; do
        m=${of#*:}
        value=$(awk -F'\t' -v m=$m -v t="^${of%:*}" '$2 ~ t && $3 == m { print $4 }' now)
        base=$(awk -F'\t' -v m=$m -v t="^${of%:*}" '$2 ~ t && $3 == m { print $4 }' given)
        awk -F'\t' -v m=$m -v t="^${of%:*}" '$1 == "blk.2.ffn_up" && $5 ~ t && $6 == m {
            print $2, $7, $8, $9 }' back >row
        equal q2_k "$(cut -d' ' -f1 row)"
        near "$base" "$(cut -d' ' -f2 row)" 1e-5 "back: base of $of $in"
        near "$value" "$(cut -d' ' -f3 row)" 1e-5 "back: value of $of $in"
        near "$(awk '{ printf "%.17g", $3 - $2 }' row)" "$(cut -d' ' -f4 row)" 1e-5 "back: delta of $of $in"
    done
done
run 0 mpq-eval -j 1 $how --each back --ref "$model" packed.gguf; same out back
rows back | head -9 >cut; grep '^#' back | grep -v '^##end' | cat - cut >part.tsv
run 0 mpq-eval -q $how --each back --ref "$model" --resume part.tsv packed.gguf
tail -1 back >want; tail -1 part.tsv >got; same want got
run 2 mpq-eval --each q4_0,back --ref "$model" -x "$text" packed.gguf; says "--each back goes with no type"
head -c 300 /dev/zero >zeros; cp zeros was
run 1 mpq-eval -q $how --each back --ref "$model" --resume zeros packed.gguf; one_line; same zeros was
run 2 mpq-eval -q $how --each back --ref "$model" --resume /dev/full packed.gguf; says "no regular file"
awk -F'\t' -v OFS='\t' '$1 == "blk.0.attn_q" && $6 == "kld" { $9 = "garbage" } { print }' back | grep -v '^##end' >odd.tsv
run 1 mpq-eval -q $how --each back --ref "$model" --resume odd.tsv packed.gguf; one_line; says "no figures"
run 2 mpq-eval $how --each back packed.gguf; says "takes --ref MODEL"
run 2 mpq-eval $how --each back --pack hqq --ref "$model" packed.gguf; says "quantizes nothing"
run 2 mpq-eval $how --each back --by layer --ref "$model" packed.gguf; says "goes by tensor"
run 3 mpq-eval $how --each back --ref "$model" "$model"; one_line; says "no matrix of it is quantized"

finish
