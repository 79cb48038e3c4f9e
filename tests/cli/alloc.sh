#!/bin/sh
# mpq-alloc: budgets, legality, policies, forms, faults. tests/data/shapes has the shapes
# of two real models whose rows of 576 and 640 are no multiples of 256; llama-quantize
# (PEER=DIR/bin) is an independent reader of the lines that -f llama writes.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model/tiny-model.gguf
layers=$(sed -n 's/.*"num_hidden_layers": *\([0-9]*\).*/\1/p' "$top/examples/tiny-model/config.json")
shapes=$top/tests/data/shapes

# scores LAYER|TENSOR SHAPE: a table with the shape's lines and scores made from names
scores() {
    cat "$2"
    awk -v by="$1" 'BEGIN { print "#unit\tscore\tparams" }
        /^##tensor blk/ {
            split($2, name, "."); kind = name[3]
            if (kind !~ /^(attn_(q|k|v|output)|ffn_(gate|up|down))$/) next
            unit = by == "LAYER" ? "blk." name[2] : $2
            if (!(unit in params)) order[n++] = unit
            params[unit] += $4 * $5
        }
        END { for (i = 0; i < n; i++)
            printf "%s\t%.17g\t%d\n", order[i], 1 + (i * 7919 % 101) / 10, params[order[i]] }' "$2"
}
# block bytes and lengths by hand, from ggml-common.h
bytes_of='function bytes(type, rows, cols) {
        if (type == "f32") return 4 * rows * cols
        if (type == "f16" || type == "bf16") return 2 * rows * cols
        if (type == "q8_0") return 34 * rows * cols / 32
        if (type == "q5_1") return 24 * rows * cols / 32
        if (type == "q5_0") return 22 * rows * cols / 32
        if (type == "q4_1") return 20 * rows * cols / 32
        if (type == "q4_0" || type == "iq4_nl") return 18 * rows * cols / 32
        if (cols % 256) { print "illegal " type; exit }
        if (type == "q6_k") return 210 * rows * cols / 256
        if (type == "q5_k") return 176 * rows * cols / 256
        if (type == "q4_k") return 144 * rows * cols / 256
        if (type == "iq4_xs") return 136 * rows * cols / 256
        if (type == "q3_k") return 110 * rows * cols / 256
        if (type == "q2_k") return 84 * rows * cols / 256
        print "unknown " type; exit
    }'
# file_bytes PLAN: what the finished file weighs, from the shape that the plan carries
file_bytes() {
    awk -F '[ \t]' "$bytes_of"'
        /^##tensor/ { n++; name[n] = $2; rows[n] = $4; cols[n] = $5 }
        /^##file/ { total = $2; align = $3; sub("rest=", "", $4); total += $4 }
        /^[^#]/ { type[$1] = $2 }
        END { for (i = 1; i <= n; i++) {
                split(name[i], part, ".")
                t = name[i] in type ? type[name[i]] : type[part[1] "." part[2]]
                b = bytes(t, rows[i], cols[i])
                total += b + (align - b % align) % align
            }
            printf "%d\n", total }' "$1"
}
# damage PLAN: the number of its ##damage line
damage() { sed -n 's/^##damage \([^ ]*\).*/\1/p' "$1"; }
less() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a < b) }'; }

run 0 mpq-stats -q --only moments "$tiny"
grep -E '^##(tensor|file)' out >tiny.shape

# the size: never above the budget, at most 0.5% below, and known to the byte
# (of models that are not quantized yet: of one that is, much may have no use)
for model in smollm2 gemma3; do
    sed 's/^\(##tensor [^ ]*\) [^ ]*/\1 bf16/' "$shapes/$model.tsv" >$model.shape
done
for model in smollm2.shape gemma3.shape tiny.shape; do
    scores LAYER "$model" >s.tsv
    run 3 mpq-alloc --size 1000 s.tsv; one=$(sed -n '$p' err)
    equal 0 "$(wc -c <out | tr -d ' ')" "nothing printed without an answer"
    least=${one##* has } least=${least%%;*}
    full=$(awk -F '[ \t]' "$bytes_of"'
        /^##tensor/ { b = bytes($3, $4, $5); total += b + (32 - b % 32) % 32 }
        /^##file/ { sub("rest=", "", $4); total += $2 + $4 }
        END { printf "%d\n", total }' "$model")
    for percent in 100 101 105 117 130 151 180 210; do
        budget=$((least * percent / 100))
        run 0 mpq-alloc -q --size $budget s.tsv; cp out plan.tsv; silent
        size=$(file_bytes plan.tsv)
        equal "$(sed -n 's/^##size .*file=//p' plan.tsv)" "$size" "size by hand"
        [ "$size" -le $budget ] && pass || fail "$size bytes, budget $budget"
        # at most what the model has now: nothing wider is offered
        enough=$((budget < full ? budget : full))
        [ "$size" -ge $((enough - enough / 200)) ] && pass ||
            fail "$(basename $model): $size bytes leave too much of $enough"
        # and so do the controls, beside the optimum, which nobody beats
        for m in uniform random inverted greedy lagrange; do
            run 0 mpq-alloc -q -m $m --size $budget s.tsv; cp out other.tsv
            other=$(file_bytes other.tsv)
            [ "$other" -le $budget ] && [ "$other" -ge $((size - size / 200)) ] && pass ||
                fail "$(basename $model) $m: $other bytes beside $size"
            less "$(damage other.tsv)" "$(damage plan.tsv)" && fail "$m beats the optimum" ||
                pass
        done
    done
    run 3 mpq-alloc --size $((least - 1)) s.tsv; says "the smallest file that these types allow has $least"
done

# of models that are quantized already too, where little is offered and the embedding is as
# large as all the rest, controls have the bytes of the optimum
for model in smollm2 gemma3; do
    scores LAYER "$shapes/$model.tsv" >s.tsv
    run 3 mpq-alloc --size 1000 s.tsv; least=$(sed -n '$s/.* has \([0-9]*\).*/\1/p' err)
    for percent in 103 112 117 121 130; do
        budget=$((least * percent / 100))
        run 0 mpq-alloc -q --size $budget s.tsv; size=$(file_bytes out)
        for m in uniform random inverted; do
            run 0 mpq-alloc -q -m $m --size $budget s.tsv; other=$(file_bytes out)
            [ "$other" -le $budget ] && [ "$other" -ge $((size - size / 200)) ] && pass ||
                fail "$model $m: $other bytes beside $size"
        done
    done
done

# what mpq-pack makes of a plan has the size that was told, by -b and by --size
scores LAYER tiny.shape >tiny.tsv
for budget in "-b 3.1" "-b 4.4 --rest q8_0" "--size 1.5MiB" "--size 1900000"; do
    run 0 mpq-alloc -q $budget tiny.tsv; cp out plan.tsv
    run 0 mpq-pack -q --effort fast -p plan.tsv -o packed.gguf "$tiny"
    equal "$(sed -n 's/^##size .*file=//p' plan.tsv)" "$(wc -c <packed.gguf | tr -d ' ')" "$budget"
    run 0 mpq-pack -q -p plan.tsv --dry-run "$tiny"
    equal "$(wc -c <packed.gguf | tr -d ' ')" "$(awk '/^total/ { print $4 }' out)" "--dry-run"
    run 0 mpq-pack --check plan.tsv packed.gguf
done

# rows of 576 and 640: K-quants in ffn_down alone (Gemma: in attn_output too)
for model in smollm2:576 gemma3:640; do
    scores LAYER "$shapes/${model%:*}.tsv" >s.tsv
    run 0 mpq-alloc --split tensor -b 4.4 -t q2_k,q4_k,q6_k,q4_0,q8_0 s.tsv; cp out plan.tsv
    says "not offered: q2_k q4_k q6_k, where rows of ${model#*:} are no multiple of 256 ("
    equal 1 "$(grep -c 'not offered' err)" "said once"
    equal 0 "$(awk '/^blk/ && $1 !~ /ffn_down|attn_output/ && $2 ~ /_k$/' plan.tsv | wc -l)"
    [ "$(grep -c '_k	' plan.tsv)" -gt 0 ] && pass || fail "no K-quant at all"
    run 3 mpq-alloc -b 4.4 s.tsv; says "the smallest plan that these types allow has 4.5; less with --split tensor ("
    # every way that it names goes as far down as it says, and no further
    split=$(sed -n 's/.*--split tensor (\([0-9.]*\)).*/\1/p' err)
    native=$(sed -n 's/.*--runtime native (\([0-9.]*\)).*/\1/p' err)
    for way in "--split tensor -b $split" "--runtime native -b $native"; do
        run 0 mpq-alloc $way s.tsv; says "leaves no choice"
        run 3 mpq-alloc $way -b "$(awk -v b="${way##* }" 'BEGIN { print b - .0002 }')" s.tsv
    done
    run 0 mpq-alloc -b 4.5 s.tsv
    says "the budget leaves no choice: everything has its smallest type; less with --split tensor ($split)"
    run 3 mpq-alloc -b 5 -t q5_0,q8_0 s.tsv; says "types of all kinds (no list) ("
    run 3 mpq-alloc -b 3 -t q2_k,q4_k s.tsv; says "blk.0: no legal type: q2_k q4_k: takes rows of a multiple of 256, blk.0."
    says "has ${model#*:}; legal there: f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl"
done
# least means by hand: (3/4 4.5 + 1/4 2.625) and Gemma's 3604480, 1966080 of 5570560
scores LAYER "$shapes/smollm2.tsv" >s.tsv
run 3 mpq-alloc --split tensor -b 1 s.tsv; says "has 4.0313"
scores LAYER "$shapes/gemma3.tsv" >s.tsv
run 3 mpq-alloc --split tensor -b 1 s.tsv; says "has 3.8383"
run 3 mpq-alloc -b 1 tiny.tsv; says "budget of 1 mean bits: the smallest plan that these types allow has 2.625"
one_line
run 0 mpq-alloc -b 64 tiny.tsv; says ", 16 mean bits; budget 64 (least 2.625, most 16)"; prints "blk.0	bf16"

# the table: every matrix, shape lines, a summary; again from a pipe and from --model
run 0 mpq-alloc -b 3.5 tiny.tsv; cp out plan.tsv
equal "##mpq plan 1 tool=mpq-alloc" "$(sed -n '1s/ version.*//p' plan.tsv)"
says "mpq-alloc: exact (optimal): 7.022 MB -> "; says " 3.4"
says "; budget 3.5 (least 2.625, most 16)"; says "; one more MiB takes off "
# the counts are those of the plan; the most bits are where the table has them
says "$layers layers: $(awk '/^blk/ { n[$2]++; bits[$2] = $3 } END { for (t in n)
    print bits[t], n[t], t }' plan.tsv | sort -n | awk '{ printf "%s%s %s", sep, $2, $3; sep = ", " }');"
says "most bits: $(grep '^blk' plan.tsv | sort -k3,3gr | awk 'NR == 1 { print $1, $2 }')"
prints "##budget 3.5 bits feasible=2.625..16"
# what one more MiB takes off is what it does, and never more than there is
size=$(sed -n 's/^##size .*file=//p' plan.tsv)
for budget in $((size - 700000)) "$size" $((size + 1000000)) 7020000; do
    run 0 mpq-alloc -q --size $budget tiny.tsv; cp out less.tsv
    run 0 mpq-alloc -q --size $((budget + 1048576)) tiny.tsv
    equal ok "$(awk -v a="$(damage less.tsv)" -v b="$(damage out)" -v price="$(
        sed -n 's/^##damage.* price_per_mib=\([^ ]*\).*/\1/p' less.tsv)" 'BEGIN {
        d = a - b - price; print (d < 0 ? -d : d) <= 1e-9 * a ? "ok" : price " for " a - b }')" "price"
done
equal "$(grep -c . tiny.shape)" "$(grep -cE '^##(tensor|file)' plan.tsv)" "shape passed on"
sh_run 0 "cat tiny.tsv | mpq-alloc -b 3.5 -j 3"; same plan.tsv out
sh_run 0 "gzip -c tiny.tsv | mpq-alloc -b 3.5 -o result -"; same plan.tsv result
grep -v '^##' tiny.tsv >bare.tsv
run 0 mpq-alloc -q -b 3.5 --model "$tiny" bare.tsv
same plan.tsv out # the same bytes, wherever the shape comes from
sh_run 0 "cat '$tiny' | mpq-alloc -q -b 3.5 --model - bare.tsv"; same plan.tsv out
run 1 mpq-alloc -b 3.5 bare.tsv; says "bare.tsv: no ##tensor and ##file lines: name the model with --model"
awk -F '\t' 'BEGIN { OFS = "\t" } /^##/ { print; next } { print "x" NR, $3, $2, $1 }' tiny.tsv |
    sed 's/^x[0-9]*	params	score	#unit/#x	params	score	unit/' >moved.tsv
run 0 mpq-alloc -q -b 3.5 moved.tsv; cp out b
same plan.tsv b

# a model that is quantized already: what stays is copied and costs nothing, what is wider
# would restore nothing
sh_run 0 "{ echo '#unit	type'; echo 'token_embd	q8_0'; for i in 0 1 2 3 4; do echo \"blk.\$i	q4_1\"
    done; echo 'blk.1.ffn_down	q6_k'; echo 'blk.1.attn_v	q5_0'; } >mixed.plan"
run 0 mpq-pack -q --effort fast -p mixed.plan -o mixed.gguf "$tiny"
run 0 mpq-stats -q --only moments mixed.gguf; grep -E '^##(tensor|file)' out >mixed.shape
scores LAYER mixed.shape >mixed.tsv
full=$(wc -c <mixed.gguf | tr -d ' ')
types_of() { awk '/^##tensor/ { name[++n] = $2 } /^[^#]/ { type[$1] = $2 }
    END { for (i = 1; i <= n; i++) { split(name[i], p, ".")
        print name[i], name[i] in type ? type[name[i]] : type[p[1] "." p[2]] } }' "$1"; }
awk '/^##tensor/ { print $2, $3 }' mixed.shape >present
for budget in "--size 900G" "--size $full" "-b 64" "-b 32 --runtime native" "-b 64 -m uniform" \
    "-b 64 -m random" "-b 64 -m inverted" "-b 64 -m greedy" "-b 64 -m lagrange" \
    "-b 64 --split tensor" "-b 64 -t q2_k,keep" "-b 64 -t keep"; do
    run 0 mpq-alloc $budget mixed.tsv; cp out plan2.tsv
    types_of plan2.tsv >chosen; same present chosen
    equal 0 "$(damage plan2.tsv)" "$budget: damage of nothing"
    [ "$budget" != "-b 64" ] || { says "layers: 4 q4_1, 1 as it is"
        says "not offered where it is wider than what is there now: f32 f16 bf16 q8_0 "; }
done
run 0 mpq-pack -q -p plan2.tsv -o kept.gguf mixed.gguf
run 0 mpq-pack -q -p mixed.plan -o again.gguf mixed.gguf; same again.gguf kept.gguf
# less room: as much as fits stays; never more bytes than now, for no matrix
run 0 mpq-alloc -q --size $((full * 9 / 10)) mixed.tsv; cp out plan2.tsv
types_of plan2.tsv | paste -d ' ' present - >both
[ "$(awk '$2 == $4' both | wc -l)" -gt 5 ] && pass || fail "nothing stays at 90%"
equal "" "$(awk 'BEGIN { n = split("q2_k q3_k iq4_xs iq4_nl q4_0 q4_k q4_1 q5_0 q5_k q5_1 q6_k q8_0", t, " ")
        for (i = 1; i <= n; i++) rank[t[i]] = i }
    !($4 in rank) || rank[$4] > rank[$2]' both)" "wider than before"
# -t is the whole list: wider types, and nothing else
run 0 mpq-alloc -q -b 64 -t q5_0,f16 mixed.tsv; cp out plan2.tsv
equal f16 "$(awk '/^blk/ { print $2 }' plan2.tsv | sort -u)" "wider types that were asked for"
run 0 mpq-alloc -q -b 3.2 -t q2_k,q4_1 mixed.tsv; cp out plan2.tsv
equal "q2_k q4_1" "$(awk '/^blk/ { print $2 }' plan2.tsv | sort -u | tr '\n' ' ' | sed 's/ $//')"
# a table of damages need not tell of the present type; if it does, that counts
{ cat mixed.shape; printf '#unit\ttype\tbits\tparams\tdamage\n'
  grep '^blk' mixed.tsv | awk -F '\t' '{ print $1 "\tq2_k\t2.6\t" $3 "\t" $2 }'; } >d.tsv
run 0 mpq-alloc -q -b 8 d.tsv; cp out plan2.tsv; equal 0 "$(damage plan2.tsv)"
types_of plan2.tsv >chosen; same present chosen
grep '^blk' mixed.tsv | awk -F '\t' '{ print $1 "\tq4_1\t5\t" $3 "\t" 100 }' >>d.tsv
run 0 mpq-alloc -q -b 8 d.tsv; equal q2_k "$(awk '/^blk.0/ { print $2 }' out)" "a present type that is given a damage"
# the header that mpq-pack writes is a little longer than another's: what is missing is said
run 0 mpq-alloc --size $((full - 1)) mixed.tsv; says "--size $full keeps everything as it is (1 bytes more"
run 0 mpq-alloc --size $((full + 1)) mixed.tsv; says "the model fits as it is: nothing is quantized"

# tables of parts, one after the other, are the whole
part() { echo "##mpq scores 1 tool=x"; cat tiny.shape; echo "#unit	score	params"; sed -n "$1" rows; echo "##end $2"; }
grep -v '^#' tiny.tsv >rows
{ part 1,2p 2; part '3,$p' $(($(wc -l <rows) - 2)); } >parts.tsv
run 0 mpq-alloc -q -b 3.5 parts.tsv; same plan.tsv out

# forms
run 0 mpq-alloc -q -b 3.5 -f llama --rest q6_k tiny.tsv; cp out lines
prints '^blk\.0\.attn_q\.weight$='; prints "#--token-embedding-type=q6_k"
run 0 mpq-alloc -q -b 3.5 --rest q6_k tiny.tsv; cp out plan.tsv
run 0 mpq-pack -q --dry-run -p plan.tsv "$tiny"; cp out a
run 0 mpq-pack --dry-run -p lines "$tiny"; same a out; silent
if [ -x "${PEER:-/nonexistent}/bin/llama-quantize" ]; then
    LD_LIBRARY_PATH=$PEER/bin "$PEER/bin/llama-quantize" --dry-run --tensor-type-file lines \
        "$tiny" q4_0 >dry 2>&1
    sed -n 's/^\[ *[0-9]*\/ *[0-9]*\] \([^ ]*\)\.weight .*(\([^)]*\))$/\1 \2/p' dry |
        tr A-Z a-z | sort >theirs
    awk '/^##tensor/ { name[++n] = $2 } /^[^#]/ { type[$1] = $2 }
        END { for (i = 1; i <= n; i++) { split(name[i], p, ".")
            print name[i], name[i] in type ? type[name[i]] : type[p[1] "." p[2]] } }' plan.tsv |
        sort >ours
    same ours theirs
else
    skip "PEER=DIR is not set: llama-quantize reads our lines"
fi
run 1 mpq-alloc -q -b 5 -f gptqmodel -o result tiny.tsv; says "GPTQModel takes intB[gN][s] or floats, not"
rm -f result; run 1 mpq-alloc -q -b 5 -f gptqmodel -o result tiny.tsv; absent result

# the front: every point is what a single call gives; what does not fit is left out
run 0 mpq-alloc --sweep 2.5:4.5:0.25 -t q2_k,q4_k tiny.tsv; cp out front.tsv
says "1 of 9 budgets are below the smallest plan, 2.625 bits"
equal "2.75 3 3.25 3.5 3.75 4 4.25 4.5" "$(grep -v '^#' front.tsv | cut -f1 | tr '\n' ' ' | sed 's/ $//')"
for b in 3 4.25; do
    run 0 mpq-alloc -q -b $b -t q2_k,q4_k tiny.tsv
    equal "$(damage out)" "$(awk -v b=$b '$1 == b { print $4 }' front.tsv)" "front at $b"
done
run 0 mpq-alloc -q --sweep 1.3M:1.5MB:100k tiny.tsv; equal "1300000 1400000 1500000" \
    "$(grep -v '^#' out | cut -f1 | tr '\n' ' ' | sed 's/ $//')"
run 3 mpq-alloc -o result --sweep 1:2:0.5 tiny.tsv; says "the smallest plan has 2.625 bits"; absent result

# topk: the paper's allocation, the best-scored layers
run 0 mpq-alloc -q -m topk -b 3.4 -t q4_k,q2_k tiny.tsv; cp out plan.tsv
high=$(awk '$2 == "q4_k"' plan.tsv | wc -l | tr -d ' ')
equal "$(grep '^blk' tiny.tsv | sort -k2gr | head -n "$high" | cut -f1 | sort)" \
    "$(awk '$2 == "q4_k" { print $1 }' plan.tsv | sort)" "topk takes the best"
run 2 mpq-alloc -m topk -b 3.4 tiny.tsv; says "topk takes two types (-t LOW,HIGH), not"

# random: by its seed
for s in 1 2 1; do run 0 mpq-alloc -q -m random --split tensor --seed $s -b 4 tiny.tsv; grep -v '^#' out >r$s.$passed; done
equal 2 "$(cksum r1.* r2.* | cut -d' ' -f1 | sort -u | wc -l | tr -d ' ')" "seeds"

# policy: every key, and flags over it
cat >policy.yaml <<END
types: [q2_k, q4_k, q8_0]
bits: 4
split: tensor
pins: { output: q6_k, blk.0: q8_0 }
ties: [[attn_q, attn_k, attn_v]]
END
run 0 mpq-alloc -q --policy policy.yaml tiny.tsv; cp out plan.tsv
prints "token_embd	q6_k"; prints "blk.0.ffn_up	q8_0"; prints "##budget 4 bits"
equal 1 "$(awk '/^blk.1.attn_[qkv]	/ { print $2 }' plan.tsv | sort -u | wc -l | tr -d ' ')" "tied"
run 0 mpq-alloc -q --policy policy.yaml -b 6 -t q4_k,q8_0 --pin blk.0.ffn_up=q5_0 --pin output=keep tiny.tsv
prints "##budget 6 bits"; prints "blk.0.ffn_up	q5_0"; prints "token_embd	bf16"
equal 0 "$(grep -c q2_k out)" "-t over the policy's types"
run 0 mpq-alloc -q --policy policy.yaml --size 2M tiny.tsv; prints "##budget 2000000 bytes"
# fused in vLLM, so alike; types of its own
run 0 mpq-alloc --runtime vllm -t q4_0,bf16 -b 16 tiny.tsv; says "not offered: q4_0: vllm does not load it"
run 3 mpq-alloc --runtime vllm -t q4_0,q5_0 -b 16 tiny.tsv; one_line
says "blk.0: no legal type: q4_0 q5_0: vllm does not load that; legal there: f32 f16 bf16 int4 int4s"
run 0 mpq-stats -q --only rtn -o rtn.tsv "$top/examples/tiny-model/tiny-model.gguf"
run 0 mpq-score -q -m mse --by tensor -o by.tsv rtn.tsv
for m in exact greedy lagrange random inverted; do
    run 0 mpq-alloc -q --runtime vllm -m $m --split tensor -b 6 -t int4g32s,int8g32s,bf16 by.tsv
    equal "0 2" "$(awk -F '\t' '!/^#/ && split($1, u, ".") == 3 {
        k = u[2] (u[3] ~ /attn_[qkv]$/ ? "qkv" : u[3] ~ /ffn_(gate|up)$/ ? "gate_up" : u[3])
        bad += k in t && t[k] != $2; t[k] = $2; kinds += !n[$2]++ } END { print bad + 0, kinds }' out)" "$m"
done
run 2 mpq-alloc -t q4_0,iq2_xs -b 16 tiny.tsv; says "types: mpq-pack does not write iq2_xs"
run 1 mpq-alloc -t q4_0,q8_0 --pin attn_v=iq2_xs -b 16 tiny.tsv; says "mpq-pack does not write iq2_xs"
run 0 mpq-alloc --pin output=q6_k -b 4 tiny.tsv; prints "token_embd	q6_k"
says "output is tied to token_embd: one matrix"
printf 'runtime: mine\ncontainer: gguf\ntypes: { q4_0: 32, q8_0: 32 }\nfused: [[ffn_gate, ffn_up]]\n' >mine.yaml
run 0 mpq-alloc -q --rules mine.yaml --split tensor -b 6 tiny.tsv
equal 1 "$(awk '/^blk.2.ffn_(gate|up)	/ { print $2 }' out | sort -u | wc -l | tr -d ' ')" "fused"
equal "q4_0 q8_0" "$(awk '/^blk/ { print $2 }' out | sort -u | tr '\n' ' ' | sed 's/ $//')"

# faults of policies and rules: file, line, cause
bad_policy() { printf "$1" >bad.yaml; run 1 mpq-alloc -o result --policy bad.yaml tiny.tsv; says "bad.yaml:$2"; one_line; absent result; }
bad_policy 'bits: 3\ntypes: [q9]\n' "2: types: unknown type q9"
bad_policy 'bits: 3\nspeed: 1\n' "2: unknown key speed"
bad_policy 'bits: 3\npins:\n  ffn_foo: q4_k\n' "3: ffn_foo is no matrix, layer or kind of the model"
bad_policy 'bits: 3\nties:\n- [attn_q, attn_x]\n' "3: attn_x is no matrix, layer or kind"
bad_policy 'bits: &a 3\nx: *a\n' "1: anchors"
bad_policy 'bits: 3\nmethod: magic\n' " method magic is none of"
bad_policy 'bits: [3\n' "2: "
printf 'types: { f16: 1 }\n' >bad.yaml
run 1 mpq-alloc --rules bad.yaml -b 3 tiny.tsv; says "bad.yaml: no runtime"; one_line

# faults of tables
bad_table() { run 1 mpq-alloc -b 4 -o result bad.tsv; says "bad.tsv$1"; one_line; absent result; }
row() { cat tiny.shape; printf '#unit\tscore\tparams\n'; printf '%b' "$1"; }
params=$(awk '/^blk.0	/ { print $3 }' tiny.tsv)
n=$(($(wc -l <tiny.shape) + 2))
{ cat tiny.shape; printf '#unit\tscore\nblk.0\t1\n'; } >bad.tsv; bad_table ": no column params"
{ cat tiny.shape; printf '#unit\tbits\nblk.0\t1\n'; } >bad.tsv; bad_table ": no column params"
row "blk.99\t1\t$params\n" >bad.tsv; bad_table ":$n: unit blk.99 is no layer or matrix of the model"
row "blk.0\t-1\t$params\n" >bad.tsv; bad_table ":$n: score of -1"
row "blk.0\tnan\t$params\n" >bad.tsv; bad_table ":$n:"
row "blk.0\t1\t12\n" >bad.tsv; bad_table ":$n: unit blk.0 has 12 params, the model's has $params"
row "blk.0\t1\t$params\nblk.0\t1\t$params\n" >bad.tsv; bad_table ": two rows for unit blk.0"
row "" >bad.tsv; bad_table ": no rows"
row "blk.0\t1\n" >bad.tsv; bad_table ":$n: 2 fields, the header has 3"
head -c 2000 plan.tsv >bad.tsv; bad_table ":"
cp plan.tsv bad.tsv; bad_table ": a table of plan (mpq-pack -p reads it), scores or damage expected, from mpq-score"
pair() { cat tiny.shape; printf '#unit\ttype\tbits\tparams\tdamage\tse\n'; printf '%b' "$1"; }
pair "blk.0\tq9\t4\t$params\t1\t0\n" >bad.tsv; bad_table ":$n: unknown type q9"
pair "blk.0\tq4_k\t4\t$params\t-1\t0\n" >bad.tsv; bad_table ":$n: damage of -1"
pair "blk.0\tq4_k\t4\t$params\t1\t0\nblk.0\tq4_k\t4\t$params\t1\t0\n" >bad.tsv
bad_table ":$((n + 1)): a second row for unit blk.0, q4_k"
pair "blk.0\tq4_k\t4\t$params\t1\t0\nblk.1\tq2_k\t4\t$params\t1\t0\n" >bad.tsv
bad_table ": no row for unit blk.0, q2_k"
pair "blk.0\tq4_k\t4\t$params\t1\t9\nblk.0\tq2_k\t4\t$params\t3\t0\n" >d.tsv
run 0 mpq-alloc -b 3 d.tsv; says "no damage, so the mean: blk.1"; prints "blk.0	q4_k"
run 0 mpq-alloc -q --risk 1 -b 3 d.tsv; prints "blk.0	q2_k"
run 2 mpq-alloc --risk 1 -b 3 tiny.tsv; says "a risk needs damages with a column se"

# misuse
misuse() { says_what=$1; shift; run 2 mpq-alloc -o result "$@"; says "$says_what"; absent result; }
misuse "no budget: -b BITS or --size BYTES" tiny.tsv
misuse "both -b and --size: one budget" -b 3 --size 3M tiny.tsv
misuse "mpq-alloc: -b: '0' is not a number from 0.001 to 64" -b 0 tiny.tsv
misuse "-t: unknown type q9" -b 3 -t q9 tiny.tsv
misuse "--pin takes NAME=TYPE" -b 3 --pin output tiny.tsv
misuse "--tie: a tie joins two names at least" -b 3 --tie attn_q tiny.tsv
misuse "--rest: unknown type q9" -b 3 --rest q9 tiny.tsv
misuse "no rules for runtime cuda: there are llama.cpp, native, vllm" -b 3 --runtime cuda tiny.tsv
misuse "both --runtime and --rules" -b 3 --runtime vllm --rules mine.yaml tiny.tsv
misuse "a sweep is A:B:STEP" --sweep 3:2:1 tiny.tsv
misuse "--sweep goes without -b, --size and -f" --sweep 2:3:1 -b 3 tiny.tsv
printf 'rules: "-"\n' >twice.yaml
for twice in "--model - -" "--policy -" "--policy twice.yaml"; do
    sh_run 2 "mpq-alloc -b 3 -o result $twice <tiny.tsv"; says "standard input is asked for twice"
    absent result
done
run 1 mpq-alloc -b 3 --pin attn_q=q4_k "$top/tests/data/shapes/none.tsv"; one_line
run 1 mpq-alloc -b 3 --pin ffn_foo=q4_k tiny.tsv; says "--pin: ffn_foo is no matrix, layer or kind"
run 1 mpq-alloc -b 3 --policy none.yaml tiny.tsv; says "none.yaml: No such file"; one_line

# the types there are: bits by hand, and what is written is what is offered
run 0 mpq-alloc --list-types; silent; cp out types.tsv
equal "#type bits multiple error mpq-pack runtimes" "$(head -n 1 out | tr '\t' ' ')"
equal "" "$(awk -F '\t' "$bytes_of"'NR > 1 && $5 == "yes" && $1 !~ /^int/ {
    if (bytes($1, 1, 4096) * 8 / 4096 != $2 || bytes($1, 1, $3) != int(bytes($1, 1, $3))) print $1 }' out)" \
    "bits of types"
run 0 mpq-alloc -q --split tensor -b 64 -t "$(awk -F '\t' '$5 == "yes" && $6 ~ /llama.cpp/ { printf "%s%s", sep, $1; sep = "," }' types.tsv)" tiny.tsv
for t in $(awk -F '\t' 'NR > 1 && $5 == "no" { print $1 }' types.tsv); do
    run 2 mpq-alloc -b 8 -t "$t" tiny.tsv; says "mpq-pack does not write $t"
done
equal "native,vllm:128" "$(awk -F '\t' '$1 == "int4g128" { print $6 }' types.tsv)"
sh_run 1 "mpq-alloc --list-types >/dev/full"; says "No space left"

# the man page's example for models like SmolLM2, with its shape (man.sh runs them all)
scores LAYER "$shapes/smollm2.tsv" >scores.tsv
sh_run 0 "$(sed -n 's/^\$ \(mpq-alloc .*--split tensor\)/\1/p' "$top/man/mpq-alloc.1")"

# output: a full device, a closed pipe
sh_run 1 "mpq-alloc -q -b 3 tiny.tsv >/dev/full"; one_line
sh_run 0 "mpq-alloc -q --sweep 2.7:30:0.001 tiny.tsv | head -n 1 >/dev/null"; silent
run 1 mpq-alloc -q -b 3 -o missing/plan.tsv tiny.tsv; one_line
finish
