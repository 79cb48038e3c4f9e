#!/bin/sh
# mpq-pack --resume: what is no part to go on from, and that it is told what differs.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model/tiny-model.gguf
text=$top/examples/tiny-model/text.calib.txt
layers=$(sed -n 's/.*"num_hidden_layers": *\([0-9]*\).*/\1/p' "$top/examples/tiny-model/config.json")
{
    printf '#unit\ttype\ntoken_embd\tbf16\n'
    for i in $(seq 0 $((layers - 1))); do printf 'blk.%d\tq4_0\n' "$i"; done
} >plan.tsv
see="-q -c $text --ctx 64 --samples 8 -f hessian"
run 0 mpq-stats $see -o a.st "$tiny"
size=$(wc -c <a.st)
pack="mpq-pack -q -p plan.tsv -m gptq --effort fast"
run 0 $pack --hessian a.st -o whole.gguf "$tiny"
# begin FILE: leaves FILE.part with some layers, since the stream of Hessians ends early
begin() {
    sh_run 1 "head -c $((size * 6 / 10)) a.st | $pack --resume --hessian - -o $1 '$tiny'"
    says "cut short"
    absent "$1"
    [ -s "$1.part" ] && pass || fail "no $1.part"
}
begin kept
run 0 $pack --resume --hessian a.st -o kept "$tiny"; same kept whole.gguf
absent kept.part
begin part
mv part.part layers.part
# refused WHAT [OPTION...]: layers.part is not gone on from, and stays as it is
refused() {
    what=$1; shift
    cp layers.part part.part
    run 1 mpq-pack -q -p plan.tsv --effort fast --resume -o part "$@"
    says "part.part: $what"; one_line
    same layers.part part.part
    absent part
}

# a stream of Hessians with the same header, of another text, or different in one layer
tail -c +30000 "$text" >later
run 0 mpq-stats -q -c later --ctx 64 --samples 8 -f hessian -o b.st "$tiny"
header=$((8 + $(od -An -tu8 -N8 a.st)))
equal "$(head -c $header a.st | cksum)" "$(head -c $header b.st | cksum)" "the header"
refused "was begun with another --hessian (layer 0): remove it" -m gptq --hessian b.st "$tiny"
{ head -c $((size / 3)) a.st; tail -c +$((size / 3 + 1)) b.st; } >ab.st
refused "was begun with another --hessian (layer " -m gptq --hessian ab.st "$tiny"
sh_run 1 "cp layers.part part.part; $pack --resume --hessian - -o part '$tiny' <b.st"
says "was begun with another --hessian"

# a folder is named with or without a slash at the end
hf=$top/examples/tiny-model
folder="$pack -f hf --resume --hessian"
run 0 $pack -f hf --hessian a.st -o want "$tiny"
sh_run 1 "head -c $((size * 6 / 10)) a.st | $folder - -o dir/ '$tiny'"
[ -s dir.part ] && pass || fail "no dir.part"
absent dir
run 0 $folder a.st -o dir// "$tiny"; sh_run 0 "diff -r want dir"; absent dir.part
rm -r dir; mkdir dir
run 0 $folder a.st -o dir/ "$tiny"; sh_run 0 "diff -r want dir"; absent dir.part
run 1 $folder a.st -o dir/ "$tiny"; says "dir: is there, with files in it"; absent dir.part

# another model: one value behind the first rows, a hyper-parameter, or --config
at=$(($(wc -c <"$tiny") / 2))
{ head -c $at "$tiny"; printf '\001'; tail -c +$((at + 2)) "$tiny"; } >middle.gguf
at=$(grep -abo 'llama.rope.freq_base' "$tiny" | cut -d: -f1)
{ head -c $((at + 24)) "$tiny"; printf '\000\000\200\077'; tail -c +$((at + 29)) "$tiny"; } >rope.gguf
for other in middle rope; do
    cp layers.part part.part
    run 1 $pack --resume --hessian a.st -o part $other.gguf
    says "part.part: was begun with 'model "; says ", now it is 'model "; one_line
    same layers.part part.part
done
run 0 mpq-stats $see -o hf.st "$hf"
sh_run 1 "head -c $((size * 6 / 10)) hf.st | $pack --resume --hessian - -o hf.gguf '$hf'"
mkdir config
cp "$hf"/*.json config
sed 's/"rms_norm_eps": *[^,]*/"rms_norm_eps": 0.001/' "$hf/config.json" >config/config.json
run 1 $pack --resume --hessian hf.st --config config -o hf.gguf "$hf/model.safetensors"
says "hf.gguf.part: was begun with 'model "
run 0 $pack --resume --hessian hf.st -o hf.gguf "$hf"; absent hf.gguf.part
# the same model from a pipe
cp layers.part part.part
sh_run 0 "$pack --resume --hessian a.st -o part <'$tiny'"; same part whole.gguf
rm part

# killed while it reads its inputs, it leaves no unfinished output beside the part; that
# there can be an output is seen before the work, and a fifo is opened once
for form in gguf hf; do
    mkfifo stream
    $pack -f $form --resume --hessian stream -o killed "$tiny" 2>/dev/null &
    pid=$!
    exec 9<>stream
    head -c $((size * 6 / 10)) a.st >&9
    n=0
    while [ $n -lt 200 ] && [ ! -s killed.part ]; do sleep 0.05; n=$((n + 1)); done
    kill -KILL $pid
    wait $pid 2>/dev/null
    exec 9>&-
    absent killed
    rm stream killed.part
done
early="head -c $((size * 6 / 10)) a.st | $pack --hessian -"
sh_run 1 "$early -o no/such/file '$tiny'"; says "no/such/file: No such file"
sh_run 1 "$early -o dir '$tiny'"; says "dir: Is a directory"
sh_run 1 "$early -f hf -o dir '$tiny'"; says "dir: is there, with files in it"
mkfifo fifo
cat fifo >got &
run 0 $pack --hessian a.st -o fifo "$tiny"
wait $!; same got whole.gguf

# files of somebody else, whatever they begin with
for bytes in something '\000\000\000\000\000\000\000\000\000\000\000\000' 'mpq-part'; do
    printf "$bytes" >odd.part; cp odd.part was
    run 1 $pack --resume --hessian a.st -o odd "$tiny"
    says "odd.part: is no unfinished file of mpq-pack"; one_line
    same odd.part was
done
head -c 100000 /dev/zero >odd.part
run 1 $pack --resume --hessian a.st -o odd "$tiny"; one_line
equal 100000 "$(wc -c <odd.part)" "a file of zeros"
rm odd.part
: >target; ln -s target odd.part
run 1 $pack --resume --hessian a.st -o odd "$tiny"; says "odd.part: is a symbolic link"; one_line
[ -L odd.part ] && [ ! -s target ] && pass || fail "a symbolic link was followed"
rm odd.part; ln -s nowhere odd.part
run 1 $pack --resume --hessian a.st -o odd "$tiny"; says "odd.part: is a symbolic link"
absent nowhere odd
rm odd.part
{ printf 'mpq-part 2\n'; tail -c +12 layers.part; } >odd.part
run 1 $pack --resume --hessian a.st -o odd "$tiny"
says "odd.part: was begun by another version of mpq-pack"
# ended before it had all its bytes: nothing is lost, so it is begun again
cp layers.part odd.part
printf '\000' | dd of=odd.part bs=1 seek=11 conv=notrunc 2>/dev/null
head -c 1000 odd.part >o && mv o odd.part
sh_run 0 "$pack --resume --hessian - -o odd '$tiny' <a.st"; same odd whole.gguf

# what differs is told, and nothing but that
gptq="-m gptq --hessian a.st"
refused "was begun with '--damp 0.2', now it is '--damp 0.20000001':" $gptq --damp 0.20000001 "$tiny"
refused "was begun with '--effort fast', now it is '--effort max':" $gptq --effort max "$tiny"
refused "was begun with '-m gptq', now it is '-m awq':" -m awq --hessian a.st "$tiny"
refused "was begun with '-f gguf', now it is '-f fake':" $gptq -f fake "$tiny"
refused "was begun without '--salience square':" $gptq --salience square "$tiny"
run 0 mpq-stats -q -c "$text" --ctx 64 --samples 8 -f imatrix -o i.gguf "$tiny"
refused "was begun without '--imatrix" $gptq --imatrix i.gguf "$tiny"
refused "was begun without '--ctx 64':" -m gptq -c "$text" --ctx 64 "$tiny"
sed 's/^blk.1	q4_0/blk.1	q8_0/' plan.tsv >other.tsv
refused "was begun with '-p " $gptq -p other.tsv "$tiny"
cp layers.part odd.part
sh_run 1 "head -c $((size * 6 / 10)) a.st | $pack --imatrix i.gguf --resume --hessian - -o im '$tiny'"
mv im.part odd.part
run 1 $pack --resume --hessian a.st -o odd "$tiny"
says "odd.part: was begun with '--imatrix "; says "', now it is without: remove it to begin anew"
rm odd.part
finish
