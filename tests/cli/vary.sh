#!/bin/sh
# Types whose groups have bits of their own at the same mean (int3g32v), in every
# container, by every method, and what broken ones are told.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model/tiny-model.gguf
text=$top/examples/tiny-model/text.calib.txt
valid=$top/examples/tiny-model/text.valid.txt
layers=$(sed -n 's/.*"num_hidden_layers": *\([0-9]*\).*/\1/p' "$top/examples/tiny-model/config.json")
plan() { # plan TYPE [OVERRIDE...]
    printf '#unit\ttype\ntoken_embd\tbf16\n'
    for i in $(seq 0 $((layers - 1))); do printf 'blk.%d\t%s\n' "$i" "$1"; done
    shift
    for o; do printf '%s\n' "$o"; done
}
few="--ctx 128 --samples 8 --effort fast"

# the same size as even groups, less a map of a byte for each group of each matrix
plan int3g32 >even.plan; plan int3g32v >vary.plan
run 0 mpq-pack -q --effort fast -f safetensors -p even.plan -o even.st "$tiny"
run 0 mpq-pack -q --effort fast -f safetensors -p vary.plan -o vary.st "$tiny"
groups=$(mpq-stats -q --only moments "$tiny" |
    awk '/^##tensor blk.*(attn_[qkvo]|ffn_)/ && !/norm/ { n += $5 / 32 } END { print n }')
equal $(($(wc -c <even.st) + groups)) "$(wc -c <vary.st | tr -d ' ')" "bytes"
run 0 mpq-pack --check vary.plan vary.st
run 1 mpq-pack --check even.plan vary.st; says "is int3g32v, the plan wants int3g32"
run 0 mpq-pack --dry-run -f safetensors -p vary.plan "$tiny"
equal "$(wc -c <vary.st | tr -d ' ')" "$(awk '$1 == "total" { print $4 }' out)" "--dry-run"

# every method; the same bytes for every number of threads; it is read again
for how in "rtn" "rtn -c $text $few" "gptq -c $text $few"; do
    # shellcheck disable=SC2086
    run 0 mpq-pack -q --effort fast -f safetensors -p vary.plan -m $how -j 1 -o one.st "$tiny"
    # shellcheck disable=SC2086
    run 0 mpq-pack -q --effort fast -f safetensors -p vary.plan -m $how -j 3 -o three.st "$tiny"
    same one.st three.st
    run 0 mpq-eval -q --ref "$tiny" -x "$valid" --ctx 128 --chunks 4 --only kld one.st
    awk -F '\t' '$3 == "kld" { print $4 < 2 ? "close" : "far: " $4 }' out >kld
    equal close "$(cat kld)" "$how"
done
run 0 mpq-pack -q --effort fast -f safetensors -p vary.plan -m gptq -c "$text" $few --salience square -o square.st "$tiny"
cmp -s square.st three.st && fail "--salience square changes nothing" || pass
run 2 mpq-pack -f safetensors -p vary.plan --salience cube -o x.st "$tiny"
run 0 mpq-stats -q -c "$text" --samples 8 -f hessian -o h.st "$tiny"
run 0 mpq-pack -q --effort fast -f safetensors -p vary.plan -m gptq --hessian h.st -o h.packed "$tiny"
run 0 mpq-pack -q --effort fast -f safetensors -p vary.plan -m gptq -c "$text" $few --resume -o resumed.st "$tiny"
same resumed.st three.st
run 0 mpq-pack --effort fast -f safetensors -p vary.plan -m hqq -o hqq.st "$tiny"
says "does not serve are rounded by rtn"

# fake files have the values of the packed ones; packed ones stay as they are
run 0 mpq-pack -q --effort fast -f fake -p vary.plan -o fake.st "$tiny"
run 0 mpq-eval -q -x "$valid" --ctx 128 --chunks 2 --only nll vary.st; grep -v '^#' out | cut -f3- >a
run 0 mpq-eval -q -x "$valid" --ctx 128 --chunks 2 --only nll fake.st; grep -v '^#' out | cut -f3- >b
awk 'NR == FNR { x = $2; next } { d = x - $2; print (d < 0.01 && d > -0.01 ? "same" : "differ") }' a b >c
equal same "$(cat c)" "bf16 of the same values"
run 0 mpq-pack -q -f safetensors -p vary.plan -o again.st vary.st
mpq-eval -q -x "$valid" --ctx 128 --chunks 2 --only nll again.st | grep -v '^#' | cut -f3- >b; same a b
sh_run 0 "cat vary.st | mpq-pack -q -f safetensors -p vary.plan -o pipe.st -"; same again.st pipe.st

# as a choice: the bits and the size that mpq-alloc tells
run 0 mpq-stats -q "$tiny"; mpq-score out >scores.tsv
run 0 mpq-alloc -q --runtime native -t int2g32v,int4g32v -b 3.8 scores.tsv; cp out plan.tsv
equal 3.8 "$(sed -n "s|^##size \([^ ]*\) bits.*|\1|p" plan.tsv | xargs printf %.1f)" "mean bits"
run 0 mpq-pack -q --effort fast -f safetensors -p plan.tsv -o planned.st "$tiny"
equal "$(sed -n 's/^##size .*file=\([0-9]*\).*/\1/p' plan.tsv)" "$(wc -c <planned.st | tr -d ' ')" "size told"
run 1 mpq-alloc -q --runtime native -t int3g32v -b 4 -f gptqmodel scores.tsv; one_line
says "GPTQModel takes intB[gN][s] or floats, not int3g32v"
run 1 mpq-pack -f gguf -p vary.plan -o x.gguf "$tiny"; one_line; absent x.gguf
says "int3g32v: a GGUF file cannot hold it"
for bad in int3v int1g32v int8g32v int3g20v; do
    plan $bad >bad.plan
    run 1 mpq-pack -f safetensors -p bad.plan -o x.st "$tiny"; says "unknown type $bad"; absent x.st
done

# maps that are none: bits of 0, of 9, a mean that the type does not say, none at all
at=$(head -c 400000 vary.st | grep -ao '"blk.0.attn_q[^"]*\.bits":{[^}]*}' | head -1 |
    sed 's/.*"data_offsets":\[\([0-9]*\),.*/\1/')
head=$(od -An -tu8 -N8 vary.st | tr -d ' ')
for byte in '\000' '\011' '\007'; do
    cp vary.st broken.st
    printf "$byte" | dd of=broken.st bs=1 seek=$((8 + head + at)) conv=notrunc 2>/dev/null
    run 1 mpq-eval -q -x "$valid" broken.st; one_line; says "its bits are not from 1 to 8"
done
sed 's/attn_q.weight.bits/attn_q.weight.xxxx/' vary.st >broken.st
run 1 mpq-eval -q -x "$valid" broken.st; one_line; says ".bits: is missing"

finish
