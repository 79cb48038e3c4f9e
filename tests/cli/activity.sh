#!/bin/sh
# mpq-stats -c: tables, importance matrices and Hessians of what the linears are given,
# on the shipped model and its text.
. "$(dirname "$0")/lib.sh"
folder=$top/examples/tiny-model
model=$folder/tiny-model.gguf
nets=$top/tests/data/nets
head -c 20000 "$folder/text.calib.txt" >text.txt
measure="mpq-stats -q -c text.txt --ctx 64 --samples 6"

# a table: tokens and trace of each linear, two figures of each layer
run 0 $measure "$model" -o a.tsv; silent
equal "##mpq stats 1" "$(head -1 a.tsv | cut -d' ' -f1-3)"
equal "lim lsaq n tokens trace " "$(grep -v '^#' a.tsv | cut -f3 | sort -u | tr '\n' ' ')"
equal "$(grep -c '^##tensor blk' a.tsv)" "$(awk '$3 == "trace"' a.tsv | wc -l)" "traces"
equal 384 "$(awk '$3 == "tokens" { print $4 }' a.tsv | sort -u)" "tokens"
equal 5 "$(awk '$3 == "lim" && $2 == "blk." $1 && $4 > 0 && $4 < 2' a.tsv | wc -l)" "lim"
equal 5 "$(awk '$3 == "lsaq" && $2 == "blk." $1 && $4 >= 0 && $4 <= 1' a.tsv | wc -l)" "lsaq"
awk '$3 == "trace" { t[$2] = $4 } END { exit !(t["blk.0.attn_q"] == t["blk.0.attn_v"] &&
    t["blk.0.ffn_gate"] == t["blk.0.ffn_up"] && t["blk.0.attn_q"] != t["blk.0.ffn_up"]) }' \
    a.tsv && pass || fail "an input that several share has one trace"

# the same for every number of threads, from pipes, and in parts
run 0 $measure -j 1 "$model" -o one.tsv; same a.tsv one.tsv
run 0 $measure -j 4 "$model" -o four.tsv; same a.tsv four.tsv
sh_run 0 "$measure - <'$model' >pipe.tsv"; same a.tsv pipe.tsv
sh_run 0 "mpq-stats -q -c - --ctx 64 --samples 6 '$model' <text.txt >out2"
grep -v '^##mpq' a.tsv >want; grep -v '^##mpq' out2 >got; same want got
run 0 $measure -l 0-1 "$model" -o low.tsv
run 0 $measure -l 2-4 "$model" -o high.tsv
for m in lim lsaq; do
    run 0 mpq-score -m $m a.tsv -o whole; cat high.tsv low.tsv >parts
    run 0 mpq-score -m $m parts; same whole out
done

# with weights in the same table, or in another: scores from both
run 0 mpq-stats --no-spectrum "$model" -o w.tsv
run 0 $measure --no-spectrum "$model" -o both.tsv
grep -v '^#' w.tsv | sort >w; grep -v '^#' a.tsv | grep -v '	n	' | sort >a
grep -v '^#' both.tsv | sort >both; sort w a >all; same all both
for m in mse zd ewq kurtboost; do
    run 0 mpq-score -m $m w.tsv -o alone
    cat a.tsv w.tsv >joined; run 0 mpq-score -m $m joined; same alone out
    run 0 mpq-score -m $m both.tsv; same alone out
done
run 0 mpq-score -m lsaq joined; same whole out # the last of the two above
equal "$(awk '$3 == "lsaq" { print $4 }' a.tsv)" "$(grep -v '^#' out | cut -f2)" "score"
run 0 mpq-score -m lim --by tensor a.tsv
equal 35 "$(grep -vc '^#' out)" "tensors"
sh_run 0 "mpq-score -m lim a.tsv | mpq-alloc -q -b 4.5 -t q3_k,q4_k,q5_k"
run 1 mpq-score -m lim w.tsv; one_line; says "blk.0: no stat lim"
run 1 mpq-score -m nsds a.tsv; one_line; says "no stat nv"

# coverage is told, unless -q
run 0 mpq-stats -c text.txt --ctx 64 --samples 6 "$model"
one_line; says "35 of 35 tensors have seen 384 tokens at least, in 6 sequences"

# lines of JSON, each a sequence
printf '{"text": "one two three"}\n{"prompt": "2 + 2 =", "answer": " 4"}\n' >lines.jsonl
run 0 mpq-stats -c lines.jsonl "$model"; says "in 2 sequences"

# importance: read back by mpq-pack, the same for every -j
run 0 $measure -f imatrix "$model" -o i.gguf; silent
run 0 $measure -f imatrix -j 1 "$model" -o i1.gguf; same i.gguf i1.gguf
printf '#unit\ttype\ntoken_embd\tq4_k\n' >plan.tsv
for l in 0 1 2 3 4; do printf 'blk.%d\tq3_k\n' $l >>plan.tsv; done
run 0 mpq-pack -p plan.tsv "$model" -o plain.gguf
run 0 mpq-pack -p plan.tsv --imatrix i.gguf "$model" -o weighed.gguf
if grep -q 'importance' err && grep -q 'no importance\|without' err; then
    fail "not all have importance: $(cat err)"; else pass; fi
cmp -s plain.gguf weighed.gguf && fail "importance changes nothing" || pass
# without the last layer there is no token_embd in it
run 0 $measure -f imatrix -l 0-3 "$model" -o part.gguf
grep -q 'token_embd.weight.in_sum2' i.gguf && pass || fail "no token_embd"
grep -q 'token_embd.weight.in_sum2' part.gguf && fail "token_embd" || pass
grep -q 'blk.4.attn_q.weight.in_sum2' part.gguf && fail "blk.4 in 0-3" || pass
if [ -x "${PEER:-/nonexistent}/bin/llama-quantize" ]; then
    LD_LIBRARY_PATH=$PEER/bin; export LD_LIBRARY_PATH
    run 0 "$PEER/bin/llama-quantize" --imatrix i.gguf "$model" q.gguf q3_k_m 2
    cat out err >said
    grep -q 'loaded 36 importance matrix' said && pass || fail "$(tail -3 said)"
else
    skip "PEER=DIR is not set: llama-quantize takes our importance"
fi

# Hessians: safetensors, the same for every -j
run 0 $measure -f hessian "$model" -o h.safetensors; silent
run 0 $measure -f hessian -j 1 "$model" -o h1.safetensors; same h.safetensors h1.safetensors
head -c 4000 h.safetensors | grep -q 'mpq-hessian 1' && pass || fail "no Hessian stream"

# misuse
misuse() { text=$1; shift; run 2 "$@" -o x; says "$text"; absent x; }
misuse "--format is about a text: takes -c FILE" mpq-stats -f imatrix "$model"
misuse "--ctx is about a text" mpq-stats --ctx 64 "$model"
misuse "--samples is about a text" mpq-stats --samples 64 "$model"
misuse "standard input is asked for twice" mpq-stats -c - -
misuse "standard input is asked for twice" mpq-stats -c -
misuse "--only goes into a table alone" $measure -f hessian --only moments "$model"
misuse "--no-spectrum goes into a table alone" $measure -f imatrix --no-spectrum "$model"
misuse "leaves nothing" $measure --only nsds --no-spectrum "$model"
misuse "5 layers" $measure -l 5 "$model"
misuse "--ctx" mpq-stats -c text.txt --ctx 4 "$model"

# bad input: one line, nothing left behind
broken() { text=$1; shift; run 1 "$@" -o x; one_line; says "$text"; absent x; }
for kind in tsv imatrix hessian; do
    broken "no-such.txt" mpq-stats -c no-such.txt -f $kind "$model"
    : >empty.txt; broken "empty.txt: an empty text" mpq-stats -c empty.txt -f $kind "$model"
    echo short >short.txt; broken "tokens, a chunk has 512" mpq-stats -c short.txt -f $kind "$model"
    { head -c 5000 text.txt; printf '\377'; } >bytes.txt
    broken "bytes.txt: byte 5000" mpq-stats -c bytes.txt --ctx 64 -f $kind "$model"
    printf '{"text": "one"}\n{"txt": 1}\n' >wrong.jsonl
    broken "wrong.jsonl:2: neither text nor prompt" mpq-stats -c wrong.jsonl -f $kind "$model"
    printf '{"text": "one"}\n\n{"text": "two\n' >cut.jsonl
    broken "cut.jsonl:3: " mpq-stats -c cut.jsonl -f $kind "$model"
    broken "tokenizer.json" mpq-stats -c text.txt -f $kind "$nets/llama"
done
broken "mpq-stats: text.txt" mpq-stats -c "$model" text.txt
sed 's/"model_type": "llama"/"model_type": "marvel"/; s/LlamaForCausalLM/MarvelForCausalLM/' \
    "$nets/llama/config.json" >config.json
mkdir marvel; mv config.json marvel; cp "$nets/llama/model.safetensors" marvel
broken "marvel" mpq-stats -c text.txt marvel
# NaN in the last layer: named; the layers below do not meet it
cp "$model" nan.gguf
at=$(($(wc -c <nan.gguf) - 200000))
printf '\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377' |
    dd of=nan.gguf bs=1 seek=$at conv=notrunc 2>/dev/null
for kind in tsv imatrix hessian; do
    broken "blk.4" $measure -f $kind nan.gguf
    run 0 $measure -l 0-3 -f $kind nan.gguf -o fine
done
run 0 mpq-stats --help; prints "-c, --calib FILE"
finish
