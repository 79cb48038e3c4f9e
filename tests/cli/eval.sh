#!/bin/sh
# mpq-eval: perplexity against llama-perplexity's, references, tasks, bad input.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model
model=$tiny/tiny-model.gguf
text=$tiny/text.valid.txt
sums=$tiny/problems.eval.jsonl

# value METRIC [TASK]: of the last run's table
value() { awk -F'\t' -v m="$1" -v t="${2:-}" '$3 == m && (t == "" || $2 == t) { print $4; exit }' out; }
column() { awk -F'\t' -v m="$1" -v c="$2" '$3 == m { print $c; exit }' out; }
# near WANT GOT SHARE WHAT: |got - want| <= share * |want|
near() {
    if awk -v a="$1" -v b="$2" -v s="$3" 'BEGIN {
        d = a - b; if (d < 0) d = -d; w = a < 0 ? -a : a
        exit !(a != "" && b != "" && d <= s * w) }'; then pass; else
        fail "$4: $2, not $1"; fi
}

# Perplexity as llama-perplexity gives it, 0.1%: 42.4824 +/- 0.93072 over all 58 chunks
# of the BF16 file, 52.642753 +/- 1.983357 over the first 20 of an F32 copy.
run 0 mpq-eval -x "$text" "$model"; silent
near 42.4824 "$(value ppl)" 0.001 perplexity
near 0.93072 "$(column ppl 5)" 0.001 "its error"
equal 14790 "$(column ppl 6)" "scored tokens"
equal "ppl nll " "$(grep -v '^#' out | cut -f3 | tr '\n' ' ')" metrics
equal "##mpq eval 1" "$(head -1 out | cut -d' ' -f1-3)"
equal "#model	task	metric	value	stderr	n" "$(grep '^#m' out)"
run 0 mpq-eval --chunks 20 -x "$text" "$model"; cp out twenty
near 52.642753 "$(value ppl)" 0.001 perplexity
near 1.983357 "$(column ppl 5)" 0.001 "its error"

# What the rows are called, so that those of several files can stand in one table.
run 0 mpq-eval --chunks 1 --only ppl --name 'q4, first try' -x "$text" "$model"
equal "q4, first try	text.valid	ppl" "$(grep -v '^#' out | cut -f1-3)" "a name of one's own"
grep -q '^##model .* name=q4, first try$' out && pass || fail "##model does not have the name"

# Threads, pipes, containers.
run 0 mpq-eval --chunks 20 -x "$text" -j 1 "$model"; same out twenty
sh_run 0 "mpq-eval --chunks 20 -x '$text' - <'$model'"; same out twenty
sh_run 0 "gzip -c '$model' | mpq-eval --chunks 20 -x '$text'"; same out twenty
sh_run 0 "mpq-eval --chunks 20 -x - '$model' <'$text'"
equal "$(awk '/ppl/ {print $9}' twenty)" "$(awk '/ppl/ {print $9}' out)" "text from a pipe"
run 0 mpq-eval --chunks 20 -x "$text" "$tiny"
near 52.6421 "$(value ppl)" 0.001 "the folder, which begins texts as the GGUF does"

# hidden states in a file, one chunk at a time
run 0 mpq-eval --chunks 20 --max-bytes 1 -x "$text" "$model"
near "$(awk -F'\t' '$3 == "ppl" { print $4 }' twenty)" "$(value ppl)" 1e-6 "ppl of spooled states"
sh_run 1 "ulimit -f 100; mpq-eval --chunks 1 --max-bytes 1 -x '$text' '$model' >limit.tsv"
one_line; says "no room for 523264 bytes of hidden states"

# A reference. llama-perplexity --kl-divergence for an F32 copy of this Q4_K file made by
# llama-quantize, 20 chunks: see tests/bench/eval.py. Here: laws.
mpq-stats --no-spectrum -q "$model" >stats.tsv 2>/dev/null
printf '#unit\ttype\n' >plan.tsv
for l in 0 1 2 3 4; do printf 'blk.%s\tq4_k\n' $l >>plan.tsv; done
printf 'token_embd\tq4_k\n' >>plan.tsv
run 0 mpq-pack -q -p plan.tsv -o small.gguf "$model"
run 0 mpq-eval --chunks 8 -x "$text" --ref "$model" small.gguf; silent
cp out both
equal "ppl nll ppl_ref ppl_diff nll_ref nll_diff kld top1 dp dp_rms " \
    "$(grep -v '^#' out | cut -f3 | tr '\n' ' ')" metrics
near "$(value ppl_diff)" "$(awk "BEGIN { print $(value ppl) - $(value ppl_ref) }")" 0.001 ppl_diff
near "$(value nll_diff)" "$(awk "BEGIN { print $(value nll) - $(value nll_ref) }")" 0.001 nll_diff
run 0 mpq-eval --chunks 8 -x "$text" --ref "$model" "$model"
for m in ppl_diff nll_diff kld dp dp_rms; do equal 0 "$(value $m)" "$m to itself"; done
equal 1 "$(value top1)" "top1 with itself"

# The same saved: as good as the whole with all tokens, less with few.
run 0 mpq-eval --chunks 8 -x "$text" --save-ref ref.st --top-k 2048 "$model"
run 0 mpq-eval -x "$text" --load-ref ref.st small.gguf
for m in ppl nll ppl_ref ppl_diff nll_ref kld top1 dp dp_rms; do
    near "$(awk -F'\t' -v m=$m '$3 == m { print $4 }' both)" "$(value $m)" 1e-4 "saved: $m"
done
whole=$(value kld)
run 0 mpq-eval --chunks 8 -x "$text" --save-ref most.st --top-k 65536 "$model"
same ref.st most.st # of fewer tokens no more are kept
run 0 mpq-eval --chunks 8 -x "$text" --save-ref ref.st "$model"
equal 1 "$(($(wc -c <ref.st) < 8 * 255 * (8 * 64 + 8) + 2000))" "size of the saved reference"
run 0 mpq-eval -x "$text" --load-ref ref.st small.gguf
if awk "BEGIN { exit !($(value kld) < $whole && $(value kld) > 0.6 * $whole) }"; then pass; else
    fail "kld of 64 tokens: $(value kld) of $whole"; fi
run 1 mpq-eval -x "$tiny/text.calib.txt" --load-ref ref.st small.gguf
one_line; says "ref.st: made from text.valid ("; says "not from text.calib ("
run 1 mpq-eval --ctx 256 -x "$text" --load-ref ref.st small.gguf
one_line; says "made with --ctx 512 --stride 0, not 256 and 0"
run 1 mpq-eval --chunks 9 -x "$text" --load-ref ref.st small.gguf; one_line; says "8 chunks"
run 1 mpq-eval -x "$text" --load-ref ref.st "$top/tests/data/nets/llama.gguf"; one_line
says "ref.st: vocabulary"
run 1 mpq-eval -x "$text" --load-ref "$tiny/model.safetensors" small.gguf
one_line; says "no saved reference"
head -c 100000 ref.st >cut.st
run 1 mpq-eval -x "$text" --load-ref cut.st small.gguf; one_line; says "cut.st"

# A native container is a model, with the numbers of its decoded copy.
sed 's/q4_k/int4g64/' plan.tsv >native.tsv
for from in "$model" "$tiny"; do
    run 0 mpq-pack -q -p native.tsv -f safetensors -o native.st "$from"
    run 0 mpq-pack -q -p native.tsv -f fake -o fake.st "$from"
    run 0 mpq-eval --chunks 4 -x "$text" --ref native.st fake.st
    if awk "BEGIN { x = $(value nll_diff); exit !(x < .001 && x > -.001 && $(value kld) < .0005) }"; then pass
    else fail "native and decoded: $(value nll_diff) $(value kld)"; fi
    sh_run 0 "mpq-eval --chunks 4 -x '$text' - <native.st"
    equal "$(awk -F'\t' '$3 == "ppl" { print $4 }' out)" "$(mpq-eval --chunks 4 --only ppl -x "$text" native.st |
        awk -F'\t' '$3 == "ppl" { print $4 }')" "native container from a pipe"
done

# In 8 bits: nothing changes where nothing is quantized; else a little, whatever the
# threads, and the same for what is computed by few rows at a time.
run 0 mpq-eval --int8 --chunks 4 --only nll -x "$text" "$model"; cp out plain; silent
mpq-eval --chunks 4 --only nll -x "$text" "$model" >out
equal "$(value nll)" "$(awk -F'\t' '$3 == "nll" { print $4 }' plain)" "nll of a BF16 model in 8 bits"
# every type that there is
for type in q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 q3_k q2_k iq4_nl iq4_xs; do
    sed "s/q4_k/$type/" plan.tsv >typed.tsv
    run 0 mpq-pack -q -p typed.tsv --effort fast -o typed.gguf "$model"
    run 0 mpq-eval --chunks 4 --only nll -x "$text" typed.gguf; nll=$(value nll)
    run 0 mpq-eval --int8 --chunks 4 --only nll -x "$text" typed.gguf; silent
    near "$nll" "$(value nll)" 0.004 "nll of $type in 8 bits"
    if [ "$nll" = "$(value nll)" ]; then fail "$type: nothing was rounded"; else pass; fi
done
run 0 mpq-eval --int8 -j 1 --chunks 20 -x "$text" small.gguf; cp out plain
run 0 mpq-eval --int8 -j 3 --chunks 20 -x "$text" small.gguf; same out plain
run 0 mpq-eval --int8 --chunks 20 --max-bytes 1 -x "$text" small.gguf
near "$(awk -F'\t' '$3 == "ppl" { print $4 }' plain)" "$(value ppl)" 1e-3 "ppl of spooled states in 8 bits"
run 0 mpq-eval --int8 --limit 20 -k "$sums" --per-item -j 1 --ref "$model" small.gguf; cp out plain
run 0 mpq-eval --int8 --limit 20 -k "$sums" --per-item -j 3 --ref "$model" small.gguf; same out plain
if awk "BEGIN { exit !($(value em) > .8) }"; then pass; else fail "sums in 8 bits: $(value em)"; fi
run 2 mpq-eval --int8 --tokens -x "$text" "$model"; says "--tokens runs no model: no --int8"
run 2 mpq-eval --tokens --save-ref x.ref -x "$text" "$model"; says "no --save-ref"; absent x.ref

# Stride: every scored token once.
run 0 mpq-eval --ctx 128 --stride 64 --chunks 10 -x "$text" "$model"
equal 640 "$(column ppl 6)" "scored tokens"

# Single chunks add up.
run 0 mpq-eval --per-item --chunks 4 -x "$text" "$model"
equal "#model	task	metric	value	stderr	n	item	answer" "$(grep '^#m' out)"
equal "0 1 2 3 . " "$(awk -F'\t' '$3 == "nll" { printf "%s ", $7 }' out)" chunks
near "$(awk -F'\t' '$3 == "nll" && $7 == "." { print $4 }' out)" \
    "$(awk -F'\t' '$3 == "nll" && $7 != "." { s += $4 } END { print s / 4 }' out)" 1e-5 "mean of chunks"

# Tokens.
sh_run 0 "printf 'Tom\\thas\\n12 \\\\' | mpq-eval --tokens -x - '$model'"
equal "##mpq tokens 1" "$(head -1 out | cut -d' ' -f1-3)"
equal 'Tom\thas\n12 \\' "$(awk -F'\t' '!/^#/ && $3 != 0 { printf "%s", $4 }' out)" pieces
equal "0 1 2" "$(grep -v '^#' out | head -3 | cut -f2 | tr '\n' ' ' | sed 's/ $//')" positions

# Tasks.
run 0 mpq-eval --limit 50 --only loss -k "$sums" --ref "$model" small.gguf
equal "loss loss_ref loss_diff " "$(grep -v '^#' out | cut -f3 | tr '\n' ' ')" metrics
equal 50 "$(column loss 6)" items
# the divergence where the answer is predicted: of items, their mean, nothing to itself
run 0 mpq-eval --limit 50 --only kld --per-item -k "$sums" --ref "$model" small.gguf
near "$(awk -F'\t' '$3 == "kld" && $7 != "." { s += $4; n++ } END { printf "%.17g", s / n }' out)" \
    "$(awk -F'\t' '$3 == "kld" && $7 == "." { print $4 }' out)" 1e-12 "mean of the items"
equal 50 "$(awk -F'\t' '$3 == "kld" && $4 > 0 && $7 != "."' out | wc -l | tr -d ' ')" items
run 0 mpq-eval --limit 50 --only kld -k "$sums" --ref "$model" "$model"
near 0 "$(column kld 4)" 1e-12 "to itself"
run 2 mpq-eval --only kld -k "$sums" small.gguf; says "kld so too, and of -k FILE beside --ref"
run 0 mpq-eval --limit 12 -k "$sums" --per-item "$model"
near 1 "$(value em problems.eval | head -1)" 0 "a sum that is done"
near 1 "$(awk -F'\t' '$3 == "em" && $7 == "." { print $4 }' out)" 0.1 "exact match"
prints " 7+48=55. #### 55" # as PyTorch and llama.cpp write it
cat >mc.jsonl <<'J'
{"id": "a", "prompt": "Question: Tom has 2 apples. He buys 3 apples. How many apples does he have now?\nAnswer: 2+3=5. ####", "choices": [" 4", " 5", " 23"], "gold": 1}
{"id": "b", "prompt": "Once upon a", "choices": [" time", " qxzj"], "gold": 1}
J
run 0 mpq-eval -k mc.jsonl "$model"; cp out plain
{ printf '\357\273\277'; cat mc.jsonl; } >mark.jsonl # a byte order mark is no part of it
run 0 mpq-eval -k mark.jsonl "$model"; sed 's/mark/mc/g' out | grep -v '^##' >marked
grep -v '^##' plain >rows; same marked rows; cp plain out
equal "acc acc_norm loss " "$(grep -v '^#' out | cut -f3 | tr '\n' ' ')" metrics
equal 0.5 "$(value acc)" acc
equal 0.5 "$(column acc 5)" "its error"
# as lm-evaluation-harness has it, the blank before a choice is not counted: 5.78 nats by
# 6 bytes are less than 3.07 by 3, by 7 and 4 they were more
echo '{"prompt": "The capital of the country is", "choices": [" in the", " the"], "gold": 0}' >norm.jsonl
run 0 mpq-eval -k norm.jsonl "$model"
equal 0 "$(value acc)" "acc, by sums"; equal 1 "$(value acc_norm)" "acc_norm, by bytes"
# sums of ln p do not depend on what items share work
run 0 mpq-eval -k mc.jsonl --per-item "$model"; cp out together
for i in 1 2; do sed -n ${i}p mc.jsonl >one.jsonl; run 0 mpq-eval -k one.jsonl --per-item "$model"
    near "$(awk -F'\t' -v i=$i '$3 == "loss" && $7 != "." && ++n == i { print $4 }' together)" \
        "$(value loss)" 1e-5 "loss of item $i alone"; done
cat >tasks.yaml <<J
- { file: $sums, name: two, limit: 6, shots: 2, shots_from: $tiny/problems.calib.jsonl }
- { file: $sums, name: one, limit: 6, pattern: '#### \\K[0-9]+', metrics: [em], stop: ["\\n"] }
- { file: mc.jsonl, template: "{prompt}", metrics: [acc] }
J
run 0 mpq-eval -k tasks.yaml "$model"
equal "two:em two:loss one:em mc:acc " "$(grep -v '^#' out | awk -F'\t' '{ printf "%s:%s ", $2, $3 }')" rows
near 1 "$(value em one)" 0.2 "em by a pattern"

# What is wrong on the command line.
run 2 mpq-eval "$model"; says "nothing to measure"
run 2 mpq-eval --only speed -x "$text" "$model"; says "--only: 'speed' is no metric"
run 2 mpq-eval --ref "$model" --load-ref r -x "$text" "$model"; says "one reference"
run 2 mpq-eval --stride 512 -x "$text" "$model"; says "--stride 512 is not below --ctx 512"
run 2 mpq-eval --only kld,em -x "$text" "$model"; says "--only kld,em: nothing to measure"
run 2 mpq-eval --only ppl,acc -k "$sums" --limit 2 "$model"; says "nothing to measure"
run 0 mpq-eval --only ppl,kld -x "$text" --chunks 1 "$model"
run 2 mpq-eval --ctx 3 -x "$text" "$model"; says "--ctx"
run 2 mpq-eval --save-ref r -k "$sums" "$model"; says "--save-ref needs a text"
sh_run 2 "mpq-eval -x - - <'$model'"; says "taken 2 times"
run 2 mpq-eval -x "$text" -x "$text" "$model"; says "two texts or tasks are called 'text.valid'"
run 0 mpq-eval --help; prints "example:"

# Texts.
printf 'caf\303\251 \303(' >latin.txt
run 1 mpq-eval -x latin.txt "$model"; one_line; says "latin.txt"; says "6"
: >empty.txt
run 1 mpq-eval -x empty.txt "$model"; one_line; says "empty.txt: an empty text"
echo short >short.txt
run 1 mpq-eval -x short.txt "$model"; one_line; says "tokens, 512 needed for one chunk"
run 1 mpq-eval --ctx 1024 -x "$text" "$model"
one_line; says "chunks of 1024 tokens, the model's context is 512"
run 1 mpq-eval -x absent.txt "$model"; one_line; says "absent.txt"

# Tasks: file and line.
while IFS='|' read -r line says; do
    { head -1 mc.jsonl; printf '%s\n' "$line"; } >bad.jsonl
    run 1 mpq-eval -k bad.jsonl -o bad.tsv "$model"; one_line; says "bad.jsonl:2: $says"; absent bad.tsv
done <<'J'
{"prompt": "a", "gold": 0}|choices is missing
{"prompt": "a", "choices": [" b", " c"], "gold": 2}|gold 2 of 2 choices
{"prompt": "a", "choices": [" b", " c"]}|gold is missing
{"choices": [" b", " c"], "gold": 0}|prompt is missing
J
printf '{"prompt": "a"\n' >bad.jsonl
run 1 mpq-eval -k bad.jsonl "$model"; one_line; says "bad.jsonl:1"
echo '- { file: mc.jsonl, shots: 9, shots_from: mc.jsonl }' >bad.yaml
run 1 mpq-eval -k bad.yaml "$model"; one_line; says "mc.jsonl: 2 items, bad.yaml:1 wants 9 shots"
echo '- { file: mc.jsonl, metrics: [em] }' >bad.yaml
run 1 mpq-eval -k bad.yaml "$model"; one_line; says "a metric that choice tasks do not have"

# Models.
data=$top/tests/data/formats
sed 's/LlamaForCausalLM/StrangeForCausalLM/; s/"llama"/"strange"/' "$tiny/config.json" >config.json
cp "$tiny/model.safetensors" "$tiny/tokenizer.json" .
run 1 mpq-eval -x "$text" .; one_line; says "trange"
run 1 mpq-eval -x "$text" "$data/hf"; one_line
sed 's/<|endoftext|>/<|end|>/g' "$tiny/tokenizer.json" >tokenizer.json
cp "$tiny/config.json" config.json
run 1 mpq-eval -x "$text" --ref . "$model"
one_line; says ".: vocabulary "; says "that of $model is"
run 1 mpq-eval -x "$text" --load-ref ref.st .; one_line; says "ref.st: vocabulary"
# weights so large that a layer overflows: the layer is named
cp "$model" nan.gguf
at=$(($(wc -c <nan.gguf) - 200000)) # within the last layer
i=0; while [ $i -lt 400 ]; do printf '\177\177'; i=$((i + 1)); done |
    dd of=nan.gguf bs=1 seek=$at conv=notrunc 2>/dev/null
run 1 mpq-eval --chunks 2 -x "$text" nan.gguf; one_line; says "blk.4: a hidden state becomes NaN or infinite"
# a NaN of the file is named by its place, also where matrices are used as they lie there:
# row 2, column 3 of the last matrix, 36 x 52, before the final norm
mpq-stats -q --only moments "$top/tests/data/nets/llama.gguf" |
    awk 'BEGIN { print "#unit\ttype" } /^##tensor/ { print $2 "\tf32" }' >f32.tsv
run 0 mpq-pack -q -p f32.tsv -o f32.gguf "$top/tests/data/nets/llama.gguf"
at=$(($(wc -c <f32.gguf) - 160 - 36 * 52 * 4 + (52 + 2) * 4))
printf '\377\377\377\177' | dd of=f32.gguf bs=1 seek=$at conv=notrunc 2>/dev/null
for tool in "mpq-eval --chunks 2 -x" "mpq-stats -c"; do
    run 1 $tool "$text" --ctx 32 f32.gguf
    one_line; says "f32.gguf: tensor blk.2.ffn_down.weight: row 2, column 3: value is NaN"
done
# and what the vocabulary does: the last row of token_embd, before all other tensors
cp "$model" nan.gguf
rest=$(mpq-stats -q --only moments "$model" | awk '/^##tensor blk/ { n += 2 * $4 * $5 } END { print n + 11 * 1024 }')
at=$(($(wc -c <nan.gguf) - rest - 512))
i=0; while [ $i -lt 512 ]; do printf '\177\177'; i=$((i + 2)); done |
    dd of=nan.gguf bs=1 seek=$at conv=notrunc 2>/dev/null
run 1 mpq-eval --chunks 2 -x "$text" -o nan.tsv nan.gguf; one_line; absent nan.tsv
says "nan.gguf: token_embd: a logit is NaN or infinite (token "
# in 8 bits, where scales are infinite; and what is not finite in the file
cp small.gguf nan.gguf
at=$(($(wc -c <nan.gguf) - 40000)) # within the last layer
i=0; while [ $i -lt 400 ]; do printf '\174\174'; i=$((i + 1)); done |
    dd of=nan.gguf bs=1 seek=$at conv=notrunc 2>/dev/null
mpq-eval --chunks 2 -x "$text" nan.gguf >/dev/null 2>plain
run 1 mpq-eval --int8 --chunks 2 -x "$text" nan.gguf; one_line; same err plain

# Where output goes.
run 0 mpq-eval --chunks 2 -x "$text" -o eval.tsv "$model"; silent
grep -q '^##end 2' eval.tsv && pass || fail "no end in eval.tsv"
run 1 mpq-eval --chunks 2 -x "$text" -o no/such/folder "$model"; one_line
run 1 mpq-eval --chunks 2 -x "$text" --save-ref no/such/folder "$model"; one_line
if [ -e /dev/full ]; then
    sh_run 1 "mpq-eval --chunks 2 -x '$text' '$model' >/dev/full"; one_line
    sh_run 1 "mpq-eval --tokens -x '$text' '$model' >/dev/full"; one_line
fi
sh_run 0 "mpq-eval --tokens -x '$text' '$model' | head -1 >/dev/null"; silent
sh_run 0 "mpq-eval --chunks 2 --progress=always -x '$text' '$model' 2>bar >/dev/null"
grep -q 'tokens/s, [0-9]* s left' bar && pass || fail "no rate in the bar: $(tr '\r' '\n' <bar | tail -1)"

# what is read is never written over
cp "$top/examples/tiny-model/text.valid.txt" own.txt
cp "$top/examples/tiny-model/tiny-model.gguf" own.gguf
run 2 mpq-eval -x own.txt --chunks 1 -o own.txt own.gguf
says "-o: 'own.txt' is read as well"
run 2 mpq-eval -x own.txt --chunks 1 --save-ref own.gguf own.gguf
says "--save-ref: 'own.gguf' is read as well"
run 2 mpq-eval -x own.txt --chunks 1 --save-ref - own.gguf
says "--save-ref: takes a file of its own"
run 2 mpq-eval -x own.txt --chunks 1 --save-ref a.out -o a.out own.gguf
says "--save-ref: takes a file of its own"
cmp -s own.gguf "$top/examples/tiny-model/tiny-model.gguf" && pass || fail "the model changed"

# the folder begins texts with BOS as the GGUF does
run 0 mpq-eval -q --tokens -x own.txt "$top/examples/tiny-model"
grep -v '^##' out >folder.tokens
run 0 mpq-eval -q --tokens -x own.txt own.gguf
grep -v '^##' out | cmp -s - folder.tokens && pass || fail "folder and GGUF: other tokens"
finish
