#!/bin/sh
# mpq-calibmix in real pipes, on the shipped model and its own texts.
. "$(dirname "$0")/lib.sh"
model=$top/examples/tiny-model/tiny-model.gguf
cp "$top/examples/tiny-model/text.calib.txt" text.txt
cp "$top/examples/tiny-model/problems.calib.jsonl" tasks.jsonl
mix="mpq-calibmix -q -n 6 --ctx 64 -s text.txt -s tasks.jsonl -T tasks.jsonl $model"

# what is like the target is chosen: here it is the target
run 0 $mix -o mix.tsv
chosen() { awk '/^#/ { next } $5 == 1 { print $2, $3 }' "$1"; }
[ "$(chosen mix.tsv)" = "text.txt 0
tasks.jsonl 1" ] && pass || fail "chosen: $(chosen mix.tsv)"
[ "$(grep -vc '^#' mix.tsv)" = 12 ] && pass || fail "not 5 points and the best of all"

# the same for any number of threads, and from a pipe
run 0 $mix -j 1 -o one.tsv
cmp -s mix.tsv one.tsv && pass || fail "-j 1 gives another table"
sh_run 0 "mpq-calibmix -q -n 6 --ctx 64 -s text.txt -s tasks.jsonl -T tasks.jsonl - <$model >pipe.tsv"
cmp -s mix.tsv pipe.tsv && pass || fail "a pipe gives another table"

# adding up is measuring, but for which samples are drawn
run 0 $mix --measure --steps 2 -o measured.tsv
awk 'FNR == NR { if (!/^#/) sum[$2, $3] = $4; next } !/^#/ && ($2, $3) in sum {
    d = $4 - sum[$2, $3]; if (d > 0.002 || d < -0.002) bad++; n++ }
    END { exit !(n >= 4 && !bad) }' mix.tsv measured.tsv && pass || fail "measured differs"

# of what was measured the best is chosen, whichever it is
head -c 60000 text.txt >third.txt
run 0 mpq-calibmix -q --measure -n 4 --ctx 64 -s text.txt -s tasks.jsonl -s third.txt -T tasks.jsonl -T text.txt "$model" -o three.tsv
equal 1 "$(awk -F'\t' '/^#/ { next } { if ($4 > most) most = $4 } $5 == 1 { c = $4 } END { print c == most }' three.tsv)" "the best measured"

# samples: shares to the token, the same for the same seed, and tokens that are taken
awk 'BEGIN { FS = OFS = "\t" } /^#/ && !/^##end/ { print; next } /^##end/ { next }
    { $5 = $1 == 2; print }' mix.tsv >half.tsv
sed -i '/^##mpq/d' half.tsv
run 0 mpq-calibmix --emit half.tsv -n 5 --ctx 64 "$model" -o calib.jsonl
count() { sed 's/.*"tokens": \[\([^]]*\)\].*/\1/' | tr ',' '\n' | wc -l; }
[ "$(count <calib.jsonl)" = 320 ] && pass || fail "$(count <calib.jsonl) tokens, not 320"
[ "$(grep text.txt calib.jsonl | count)" = 240 ] && pass || fail "not three quarters"
run 0 mpq-calibmix --emit half.tsv -n 5 --ctx 64 "$model" -o again.jsonl
cmp -s calib.jsonl again.jsonl && pass || fail "another draw by the same seed"
run 0 mpq-calibmix --emit half.tsv -n 5 "$model" -o again.jsonl
cmp -s calib.jsonl again.jsonl && pass || fail "not as long as the table has it"
run 0 mpq-calibmix --emit half.tsv -n 5 --ctx 64 --seed 9 "$model" -o other.jsonl
cmp -s calib.jsonl other.jsonl && fail "the seed says nothing" || pass
run 0 mpq-calibmix -q -n 4 --ctx 64 -s calib.jsonl -T tasks.jsonl "$model"

# lines longer than a sample are cut, not cut off
awk 'NR <= 40 { gsub(/[\\"\t]/, " "); printf "%s ", $0 }' text.txt >line
{ printf '{"text": "'; tr -d '\n' <line; printf '"}\n'; } >line.jsonl
run 0 mpq-calibmix -n 4 --ctx 64 -s line.jsonl -T tasks.jsonl "$model"
grep -q "all there are" err && fail "a line is cut off: $(cat err)" || pass

# a source that is another by now; one that would be written over
grep -v '^##mpq\|^##end' mix.tsv >moved.tsv
cp tasks.jsonl kept; sed -i 1d tasks.jsonl
run 1 mpq-calibmix --emit moved.tsv -n 5 "$model"; one_line
says "tasks.jsonl: is not what it was when moved.tsv was made"
cp kept tasks.jsonl
run 2 mpq-calibmix --emit moved.tsv -n 5 "$model" -o tasks.jsonl; says "is read as well"
same kept tasks.jsonl
run 0 mpq-calibmix --emit moved.tsv -n 5 "$model"
grep -v '^##ctx' moved.tsv >no.tsv
run 0 mpq-calibmix --emit no.tsv -n 5 "$model"; says "no.tsv: no line ##ctx: samples have 512 tokens"

# a source that has less than is asked for
run 0 mpq-calibmix -n 100000 --ctx 64 --steps 1 -s text.txt -T text.txt "$model"
says "tokens, all there are, where -n 100000"

# misuse and bad input: one line, the status, and nothing left
bad() { # STATUS TEXT COMMAND...
    want=$1 text=$2; shift 2
    rm -f bad.tsv
    run "$want" "$@" -o bad.tsv
    says "$text"
    [ -e bad.tsv ] && fail "output was left: $*" || pass
}
bad 2 "takes -s FILE and -T FILE" mpq-calibmix -s text.txt "$model"
bad 2 "--emit has a mixture: no --measure" mpq-calibmix --measure --emit mix.tsv "$model"
bad 2 "takes its sources from MIX" mpq-calibmix -s text.txt --emit mix.tsv "$model"
bad 2 "more than 100000 mixtures" mpq-calibmix --steps 1000 -s text.txt -s text.txt -s text.txt -T text.txt "$model"
bad 1 "sequences of 600 tokens, the model's context is 512" \
    mpq-calibmix --ctx 600 -s text.txt -T text.txt "$model"
sed 's/^##ctx 64/##ctx 64x/' half.tsv >ctx.tsv
bad 1 "##ctx 64x: not from 8" mpq-calibmix --emit ctx.tsv "$model"
: >empty.txt
bad 1 "empty.txt: an empty text" mpq-calibmix -s empty.txt -T text.txt "$model"
echo short >short.txt
bad 1 "short.txt: " mpq-calibmix -s short.txt -T text.txt "$model"
printf 'a\377b%01000d\n' 0 >bytes.txt
bad 1 "bytes.txt: " mpq-calibmix --ctx 64 -s bytes.txt -T text.txt "$model"
printf '{"text": "one"}\n{"txt": 1}\n' >lines.jsonl
bad 1 "lines.jsonl:2: neither text nor prompt" mpq-calibmix --ctx 64 -s lines.jsonl -T text.txt "$model"
printf '#source\tweight\tchosen\ntext.txt\t0.5\t1\n' >light.tsv
sed 's/^##source id=./##source id=/' mix.tsv >ids.tsv
bad 1 "not ##source id=(16 digits) name=FILE" mpq-calibmix --emit ids.tsv "$model"
bad 1 "sum to 0.5, not to 1" mpq-calibmix --emit light.tsv "$model"
printf '#source\tweight\tchosen\ntext.txt\t1\t1\n' >all.tsv
bad 3 "its share is" mpq-calibmix --emit all.tsv -n 100000 --ctx 64 "$model"
finish
