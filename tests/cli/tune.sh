#!/bin/sh
# mpq-pack with quantizers that look at what matrices are multiplied with: the same bytes
# whatever the threads and interruptions, every way in which it can be asked wrongly.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model/tiny-model.gguf
text=$top/examples/tiny-model/text.calib.txt
layers=$(sed -n 's/.*"num_hidden_layers": *\([0-9]*\).*/\1/p' "$top/examples/tiny-model/config.json")
sizes=' bytes, [0-9.]* -> [0-9.]* bits for each weight$'
calib=' sequences, [0-9]* tokens$'
silent() {
    grep -v -e "^mpq-pack: [0-9]* -> [0-9]*$sizes" -e "$calib" err >err.rest
    if [ ! -s err.rest ]; then pass; else fail "not silent: $(head -3 err.rest)"; fi
}
plan() { # plan TYPE [OVERRIDE...]
    printf '#unit\ttype\ntoken_embd\tbf16\n'
    for i in $(seq 0 $((layers - 1))); do printf 'blk.%d\t%s\n' "$i" "$1"; done
    shift
    for o; do printf '%s\n' "$o"; done
}
few="--ctx 128 --samples 8 --effort fast"
ask() { run "$1" mpq-pack -p plan.tsv "$@" "$tiny"; }

# what goes with what
plan q4_0 >plan.tsv
run 2 mpq-pack -p plan.tsv -m gptq -o f "$tiny"; says "-m gptq takes -c FILE, or --hessian FILE"
run 2 mpq-pack -p plan.tsv -m gptq -c "$text" --hessian h -o f "$tiny"; says "-m gptq takes"
run 2 mpq-pack -p plan.tsv -m hqq --hessian h -o f "$tiny"; says "-m hqq takes no --hessian"
run 2 mpq-pack -p plan.tsv --damp 0.1 -o f "$tiny"; says "--damp is for -m gptq"
run 2 mpq-pack -p plan.tsv --ctx 64 -o f "$tiny"; says "--ctx is for -c FILE"
run 2 mpq-pack -p plan.tsv --resume "$tiny"; says "--resume takes -o FILE"
run 2 mpq-pack -p plan.tsv --resume -o /dev/full "$tiny"; says "/dev/full is a pipe or a device"
run 2 mpq-pack -p - -m gptq -c - -o f "$tiny"; says "standard input is asked for twice"
run 1 mpq-pack -p plan.tsv -m gptq -c absent -o f "$tiny"; says "absent: No such file"
head -c 300 "$text" >short
run 1 mpq-pack -p plan.tsv -m gptq -c short -o f "$tiny"; says "short: "; one_line
run 1 mpq-pack -p plan.tsv -m gptq -c "$text" --ctx 128 --samples 1 -o f \
    --imatrix absent "$tiny"
absent f

# every type; the same bytes for every number of threads, from a pipe, and in a fake file
for type in q8_0 q6_k q4_k q4_0 iq4_nl q3_k q2_k; do
    plan $type "$(printf 'blk.1.ffn_down\tf16')" >plan.tsv
    run 0 mpq-pack -p plan.tsv -m gptq -c "$text" $few -j 1 -o one.gguf "$tiny"; silent
    run 0 mpq-pack -p plan.tsv -m gptq -c "$text" $few -j 3 -o three.gguf "$tiny"
    same one.gguf three.gguf
    run 0 mpq-pack --check plan.tsv one.gguf
    run 0 mpq-pack -q -p plan.tsv -m rtn --effort fast -o rtn.gguf "$tiny"
    if cmp -s one.gguf rtn.gguf; then fail "$type: gptq is rtn"; else pass; fi
done
sh_run 0 "cat '$text' | mpq-pack -p plan.tsv -m gptq -c - $few -o pipe.gguf '$tiny'"
same one.gguf pipe.gguf

# rounding weighed by a text is weighed, and the same in a store
plan q3_k >plan.tsv
run 0 mpq-pack -q -p plan.tsv -c "$text" $few -o one.gguf "$tiny"
run 0 mpq-pack -q -p plan.tsv -c "$text" $few --resume -o two.gguf "$tiny"
run 0 mpq-pack -q -p plan.tsv --effort fast -o three.gguf "$tiny"
run 0 mpq-eval -q --ref "$tiny" -x "$top/examples/tiny-model/text.valid.txt" --chunks 2 \
    --only kld one.gguf
cp out weighed
run 0 mpq-eval -q --ref "$tiny" -x "$top/examples/tiny-model/text.valid.txt" --chunks 2 \
    --only kld two.gguf; same weighed out
run 0 mpq-eval -q --ref "$tiny" -x "$top/examples/tiny-model/text.valid.txt" --chunks 2 \
    --only kld three.gguf
if cmp -s weighed out; then fail "a text does not weigh the rounding"; else pass; fi

# the embedding of a tied model, which is the output too
plan q4_0 | sed 's/^token_embd.*/token_embd\tq4_0/' >plan.tsv
run 0 mpq-pack -p plan.tsv -m gptq -c "$text" $few -j 1 -o one.gguf "$tiny"; silent
run 0 mpq-pack -p plan.tsv -m gptq -c "$text" $few -j 3 -o three.gguf "$tiny"
same one.gguf three.gguf
run 0 mpq-pack --check plan.tsv one.gguf

# closer to the model than rounding alone, by divergence
plan q3_k >plan.tsv
valid=$top/examples/tiny-model/text.valid.txt
run 0 mpq-pack -q -p plan.tsv -c "$text" --ctx 256 -o rtn.gguf "$tiny"
run 0 mpq-pack -q -p plan.tsv -m gptq -c "$text" --ctx 256 -o gptq.gguf "$tiny"
for m in rtn gptq; do
    run 0 mpq-eval -q --ref "$tiny" -x "$valid" --ctx 256 --chunks 8 $m.gguf
    awk -F '\t' '$3 == "kld" { print $4 }' out >$m.kld
done
run 0 awk -v a="$(cat gptq.kld)" -v b="$(cat rtn.kld)" 'BEGIN { exit !(a > 0 && a < 0.8 * b) }'

# hqq: types that it does not serve are told once
plan q4_0 "$(printf 'blk.1.ffn_down\tq4_k')" >plan.tsv
run 0 mpq-pack -p plan.tsv -m hqq -o hqq.gguf "$tiny"
says "1 matrices of types that hqq does not serve are rounded by rtn (blk.1.ffn_down: q4_k)"
run 0 mpq-pack -p plan.tsv -m hqq -j 1 -o one.gguf "$tiny"; same one.gguf hqq.gguf
run 0 mpq-pack --check plan.tsv hqq.gguf

# awq: the scales are taken over, whatever the architecture, so that at 8 bits the model is
# about as near as without them (a wrong scale shows in the first digit); norms, and matrices of floats, change
run 2 mpq-pack -p plan.tsv -m awq -o f "$tiny"; says "-m awq takes -c FILE, or --hessian FILE"
run 2 mpq-pack -p plan.tsv -m awq -c "$text" --damp 0.1 -o f "$tiny"
says "--damp is for -m gptq"
head -c 3000 "$text" >some; some=some
kld() { # kld NAME REF FILE [OPTION...]: the divergence, into NAME.kld
    name=$1 ref=$2 file=$3; shift 3
    run 0 mpq-eval -q --ref "$ref" -x "$some" --ctx 128 --chunks 8 "$@" "$file"
    awk -F '\t' '$3 == "kld" { print $4 }' out >"$name.kld"
}
# less A B [TIMES]: the divergence A.kld, above 0, is less than TIMES (1.3) B.kld
less() {
    run 0 awk -v a="$(cat "$1.kld")" -v b="$(cat "$2.kld")" -v by="${3:-1.3}" \
        'BEGIN { exit !(a > 0 && a < b * by) }'
}
for net in llama qwen2 qwen3 gemma gemma2 gemma3 llama-tied mistral; do
    cp -R "$top/tests/data/nets/$net" "$net"
    cp "$top/tests/data/nets/tokenizer.json" "$net"
    run 0 mpq-stats -q --only rtn "$net"
    awk 'BEGIN { print "#unit\ttype" } $1 == "##tensor" {
        print $2 "\t" ($2 ~ /ffn_gate/ ? "f32" : $2 ~ /^blk/ ? "int8g15" : $3) }' out >net.tsv
    run 0 mpq-pack -q -p net.tsv -c some --ctx 64 -o rtn.st "$net"
    run 0 mpq-pack -v -p net.tsv -m awq -c some --ctx 64 -o awq.st "$net"
    says "attn_norm: takes scales over"
    kld rtn "$net" rtn.st; kld awq "$net" awq.st
    less awq rtn 3
    run 0 mpq-pack -q -p net.tsv -f fake -m awq -c some --ctx 64 -j 1 -o awq.fake "$net"
    kld awq "$net" awq.fake --config "$net"
    less awq rtn 3
done
some=$valid
hf=$top/examples/tiny-model
plan q3_k "$(printf 'blk.1.ffn_up\tf32')" >plan.tsv
run 0 mpq-pack -q -p plan.tsv -o rtn.gguf "$tiny"
run 0 mpq-pack -q -p plan.tsv -m awq -c "$text" --ctx 128 -j 1 -o awq.gguf "$tiny"
for m in rtn awq; do kld $m "$tiny" $m.gguf; done
less awq rtn 0.97
run 0 mpq-pack --check plan.tsv awq.gguf
run 0 mpq-pack -q -p plan.tsv -m awq -c "$text" --ctx 128 -j 3 -o three.gguf "$tiny"
same awq.gguf three.gguf
run 0 mpq-stats -q -c "$text" --ctx 128 --samples 128 -f hessian -o h "$tiny"
run 0 mpq-pack -q -p plan.tsv -m awq --hessian h -o three.gguf "$tiny"
kld three "$tiny" three.gguf; less three awq
# a file of another layer, or with tokens that weigh by gradients
run 0 mpq-stats -q -c "$text" --ctx 128 --samples 8 -l 1 -f hessian -o one "$tiny"
for m in gptq awq; do
    run 0 mpq-pack -p plan.tsv -m $m --effort fast --hessian one -o x.gguf "$tiny"
    says "matrices that no token reached or that are not in one are rounded row by row (blk.0.attn_q)"
done
run 0 mpq-stats -q -c "$text" --ctx 128 --samples 4 -f hessian --fisher -o weighed "$tiny"
run 1 mpq-pack -p plan.tsv -m awq --hessian weighed -o x2.gguf "$tiny"; one_line
says "weighed: inputs weighed by gradients, which awq does not take"; absent x2.gguf
# the scale of a Hessian does not matter, a power of 4 to no bit; no sum of squares is negative
edit() { # edit FACTOR VALUE: h times FACTOR, VALUE as the first number, into e, as F64
    python3 -c "import array, json, struct
data = open('h', 'rb').read()
at = 8 + struct.unpack('<Q', data[:8])[0]
head = json.loads(data[8:at])
for name in head:
    if name != '__metadata__':
        head[name]['dtype'] = 'F64'
        head[name]['data_offsets'] = [2 * v for v in head[name]['data_offsets']]
head = json.dumps(head).encode()
x = array.array('d', [v * $1 for v in array.array('f', data[at:])])
x[0] = $2
open('e', 'wb').write(struct.pack('<Q', len(head)) + head + x.tobytes())"
}
if command -v python3 >/dev/null; then
    cp plan.tsv awq.tsv; plan q4_0 >gptq.tsv
    run 0 mpq-pack -q -p gptq.tsv -m gptq --effort fast --hessian h -o gptq.gguf "$tiny"
    for factor in 2.0**500 2.0**-500; do
        edit $factor 'x[0]'
        for m in awq gptq; do
            effort=default file=three.gguf
            [ $m = awq ] || effort=fast file=gptq.gguf
            run 0 mpq-pack -q -p $m.tsv -m $m --effort $effort --hessian e -o scaled.gguf "$tiny"
            same scaled.gguf $file
        done
    done
    edit 1 -0.5
    for m in awq gptq; do
        run 1 mpq-pack -q -p $m.tsv -m $m --hessian e -o no.gguf "$tiny"
        one_line; says "e: tensor blk.0.attn_q.gram: its diagonal has -0.5 at column 0"
        absent no.gguf
    done
fi
run 0 mpq-pack -q -p plan.tsv -m awq -c "$text" --ctx 128 -o hf.gguf "$hf"
kld hf "$tiny" hf.gguf; less hf awq
# what is quantized and stays so takes nothing over
plan q8_0 >eight.tsv
run 0 mpq-pack -q -p eight.tsv -o eight.gguf "$tiny"
plan q4_0 "$(printf 'blk.1.attn_v\tq8_0')" >plan.tsv
run 0 mpq-pack -p plan.tsv -m awq -c "$text" $few -o f.gguf eight.gguf
says "3 matrices that awq does not serve are rounded row by row (blk.1.attn_q)"

# interrupted at random moments, with SIGKILL, it ends in the same bytes
plan q4_0 >plan.tsv
long="-m gptq --ctx 256 --samples 40 -j 2"
run 0 mpq-pack -q -p plan.tsv $long -c "$text" -o whole.gguf "$tiny"
n=0
for i in 1 2 3 4 5 6 7 8 9 10; do
    mpq-pack -q -p plan.tsv $long -c "$text" --resume -o resumed.gguf "$tiny" &
    pid=$!
    sleep "0.$((i * 37 % 100 / 10))$((i * 7 % 10))"
    kill -$([ $((i % 3)) = 0 ] && echo TERM || echo KILL) $pid 2>/dev/null && n=$((n + 1))
    wait $pid 2>/dev/null
    [ -e resumed.gguf ] && break
done
if [ $n -gt 0 ]; then pass; else fail "never interrupted"; fi
if [ ! -e resumed.gguf ]; then
    run 1 mpq-pack -q -p plan.tsv $long --damp 0.02 -c "$text" --resume -o resumed.gguf "$tiny"
    says "resumed.gguf.part: was begun with '--damp 0.2', now it is '--damp 0.02'"
    run 0 mpq-pack -q -p plan.tsv $long -c "$text" --resume -o resumed.gguf "$tiny"
fi
same whole.gguf resumed.gguf
absent resumed.gguf.part
# a finished layer that is not what it was is no part to go on from
mpq-pack -q -p plan.tsv $long -c "$text" --resume -o hurt.gguf "$tiny" &
pid=$!
n=0
while [ $n -lt 1200 ]; do # until a layer is finished
    case $(od -An -j11 -N1 -tu1 hurt.gguf.part 2>/dev/null) in ''|*' 0') ;; *) break ;; esac
    sleep 0.05; n=$((n + 1))
done
if [ $n -lt 1200 ]; then pass; else fail "no layer was finished"; fi
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
mv hurt.gguf.part damaged.gguf.part
printf '\125\252' | dd of=damaged.gguf.part bs=1 seek=5000 conv=notrunc 2>/dev/null
run 1 mpq-pack -q -p plan.tsv $long -c "$text" --resume -o damaged.gguf "$tiny"
says "damaged.gguf.part: blk.0"
says "is damaged: remove it to begin anew"
rm damaged.gguf.part
absent damaged.gguf
run 0 mpq-pack -q -p plan.tsv -m awq -c "$text" $few -o whole.gguf "$tiny"
run 0 mpq-pack -q -p plan.tsv -m awq -c "$text" $few --resume -o resumed.gguf "$tiny"
same whole.gguf resumed.gguf
for m in rtn hqq; do # these have nothing to look at, but may be asked
    run 0 mpq-pack -q -p plan.tsv -m $m -o whole.gguf "$tiny"
    run 0 mpq-pack -q -p plan.tsv -m $m --resume -o resumed.gguf "$tiny"
    same whole.gguf resumed.gguf
done
echo something >resumed.gguf.part
run 1 mpq-pack -q -p plan.tsv --resume -o resumed.gguf "$tiny"
says "resumed.gguf.part: is no unfinished file of mpq-pack"
equal something "$(cat resumed.gguf.part)" "somebody's file"
: >resumed.gguf.part
run 0 mpq-pack -q -p plan.tsv --resume -o resumed.gguf "$tiny"
finish
