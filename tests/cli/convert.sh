#!/bin/sh
# Hugging Face folders become GGUF files: sizes known before, the same bytes from every
# way in, values as another program wrote them, and what is refused. Whether llama.cpp
# takes them and real vocabularies come back, tests/bench/convert.py shows.
. "$(dirname "$0")/lib.sh"
hf=$top/examples/tiny-model nets=$top/tests/data/nets
python=
for p in "${PYTHON:-python3}" "$top/build/venv/bin/python"; do
    "$p" -c 'import gguf, numpy' 2>/dev/null && python=$p && break
done

size() { wc -c <"$1" | tr -d ' '; }
# plan TYPE TABLE: a row for each matrix of the table; keep: the present type
plan() {
    awk -v to="$1" 'BEGIN { print "#unit\ttype" }
        $1 == "##tensor" { print $2 "\t" (to == "keep" || $5 % 32 ? $3 : to) }' "$2"
}
# figures FILE: what mpq-stats says of the model in 9 digits, since sums depend on the
# order of rows; sorted
figures() {
    run 0 mpq-stats -q --only moments "$1"
    grep -v '^#' out | awk -F '\t' '{ printf "%s %s %.9g\n", $2, $3, $4 }' | sort
}
# folder NAME: a copy of a small net, with its tokenizer
folder() { rm -rf "$1"; cp -R "$nets/$1" "$1"; cp "$nets/tokenizer.json" "$1"; }
# promised TABLE: header and vectors as ##file says
promised() { awk '$1 == "##file" { print $2 + substr($4, 6) }' "$1"; }

# ---- a model with a tokenizer of its own: GGUF by default, its size known to everyone
run 0 mpq-stats -q --only rtn "$hf"; cp out hf.tsv
grep -q '^##file .* 32 .*container=gguf' hf.tsv && pass || fail "the table does not say gguf"
plan q4_0 hf.tsv >q4.tsv; plan keep hf.tsv >keep.tsv
for p in q4 keep; do
    run 0 mpq-pack -p $p.tsv --dry-run "$hf"; cp out dry
    run 0 mpq-pack -q -p $p.tsv -j 1 -o $p.gguf "$hf"; silent
    equal "$(awk '/^total/ { print $4 }' dry)" "$(size $p.gguf)" "size of $p.gguf"
    equal GGUF "$(head -c 4 $p.gguf)"
    run 0 mpq-pack -q -p $p.tsv -j 3 -f gguf -o again.gguf "$hf"; same $p.gguf again.gguf
    run 0 mpq-pack --check $p.tsv $p.gguf
done
equal "$(awk '/^header/ { h = $4 } /^f32/ { f = $4 } END { print h + f }' dry)" "$(promised hf.tsv)" "what ##file says"
sh_run 0 "mpq-pack -q -p q4.tsv -f gguf --config '$hf' - <'$hf/model.safetensors' >again.gguf"
same q4.gguf again.gguf
run 0 mpq-score -q -m mse hf.tsv; cp out scores.tsv
bytes=$(size q4.gguf)
run 0 mpq-alloc -q --size "$bytes" -t q4_0,q8_0 -o fit.tsv scores.tsv
run 0 mpq-pack -q -p fit.tsv -o fit.gguf "$hf"
[ "$(size fit.gguf)" -le "$bytes" ] && pass || fail "$(size fit.gguf) bytes, the budget is $bytes"
# the conversion is read again as the shipped GGUF is
figures keep.gguf >a; figures "$hf/tiny-model.gguf" >b; same a b
# a native type asks for the native container, which becomes a GGUF later
plan int4 hf.tsv >int4.tsv
run 0 mpq-pack -q -p int4.tsv -o int4.st "$hf"
run 0 mpq-pack --check int4.tsv int4.st
run 1 mpq-pack -q -p int4.tsv -f gguf -o no.gguf "$hf"; one_line; absent no.gguf
says "type int4: a GGUF file cannot hold it: -f safetensors does"
run 0 mpq-pack -q -p keep.tsv -f safetensors -o native.st "$hf"
run 0 mpq-pack -q -p q4.tsv -f gguf -o again.gguf native.st; same q4.gguf again.gguf
# so does a container of a GGUF: the same tensors and keys
run 0 mpq-pack -q -p q4.tsv -f gguf -o a.gguf "$hf/tiny-model.gguf"
run 0 mpq-pack -q -p keep.tsv -f safetensors -o native.st "$hf/tiny-model.gguf"
run 0 mpq-pack -q -p q4.tsv -f gguf -o b.gguf native.st
equal "$(size a.gguf)" "$(size b.gguf)" "size by way of a container"

# ---- every architecture, as the package gguf wrote the same weights
for net in "$nets"/*/; do
    net=$(basename "$net")
    [ -e "$nets/$net.gguf" ] || continue
    folder "$net"
    run 0 mpq-stats -q --only rtn "$net"; plan keep out >p.tsv
    run 0 mpq-pack -q -p p.tsv -o "$net.gguf" "$net"; silent
    figures "$net" >a; figures "$net.gguf" >b; same a b
    if [ -n "$python" ]; then
        run 0 "$python" - "$net.gguf" "$nets/$net.gguf" <<'END'
import sys
import gguf, numpy as np
got, want = (gguf.GGUFReader(p) for p in sys.argv[1:3])
read = lambda t: gguf.quants.dequantize(t.data, t.tensor_type)
by_name = {t.name: read(t) for t in got.tensors}
assert len(by_name) == len(want.tensors)
for t in want.tensors:
    a, b = by_name[t.name], read(t)
    assert a.shape == b.shape, t.name
    if t.name == "rope_freqs.weight":
        assert np.allclose(a, b, rtol=1e-5), t.name
    else:
        assert np.array_equal(a, b), t.name
for k, f in want.fields.items():
    if k.startswith("GGUF.") or k.endswith((".scores", ".token_type", "file_type")):
        continue
    a, b = got.fields[k].contents(), f.contents()
    assert a == b or abs(a - b) <= 1e-6 * abs(b), k
END
    fi
done
[ -n "$python" ] || skip "no Python with gguf: values held against our own reader only"
# what GGUF's architecture has no word for
folder gemma2-scalar
run 1 mpq-pack -p keep.tsv -f gguf -o no.gguf gemma2-scalar; one_line; absent no.gguf
run 0 mpq-stats -q --only rtn gemma2-scalar; plan keep out >p.tsv
run 1 mpq-pack -p p.tsv -f gguf -o no.gguf gemma2-scalar; one_line; absent no.gguf
says "query_pre_attn_scalar: llama.cpp's gemma2 would compute with another"
run 0 mpq-pack -p p.tsv -o scalar.st gemma2-scalar
says "the native container is written instead of a GGUF"
folder mistral
run 0 mpq-stats -q --only rtn mistral; plan keep out >p.tsv
run 0 mpq-pack -p p.tsv -o mistral.gguf mistral; says "no sliding window: with more than 8 tokens"

# ---- refused: one line, no file
# bad TEXT: packs the folder m, which must fail with TEXT
bad() {
    run 1 mpq-pack -p p.tsv -f gguf -o no.gguf m; one_line; says "$1"; absent no.gguf
}
# again: m as it was
again() { rm -rf m; folder llama; mv llama m; }
# edit FILE SED: changes a file of m
edit() { sed "$2" "m/$1" >new && mv new "m/$1"; }
again; run 0 mpq-stats -q --only rtn m; plan keep out >p.tsv
edit config.json 's/"model_type": "llama"/"model_type": "walrus"/'
bad "architecture walrus: mpq-pack turns llama, qwen2, qwen3, gemma, gemma2 and gemma3 into GGUF"
again; edit config.json '/num_attention_heads/d'; bad "config.json: num_attention_heads is missing"
again; edit config.json '/max_position/d'; bad "config.json: max_position_embeddings is missing"
again; edit config.json 's/"hidden_act": "silu"/"hidden_act": "gelu_new"/'
bad "config.json: hidden_act: llama.cpp's llama would compute with another"
again; edit config.json 's/"rope_scaling": null/"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}/'
bad 'rope type "dynamic" is not supported'
again; edit config.json 's/"intermediate_size": 52/"intermediate_size": 50/'
bad "the hyper-parameters ask for"
again; rm m/tokenizer.json; bad "no tokenizer.json: a GGUF needs its tokens"
again; rm m/config.json; run 1 mpq-pack -p p.tsv -f gguf -o no.gguf m; one_line; absent no.gguf
again; echo '{' >m/tokenizer.json; bad "tokenizer.json"
again; echo '{' >m/tokenizer_config.json; bad "tokenizer_config.json"
again; edit tokenizer.json 's/"type": *"BPE"/"type": "Unigram"/'; bad "a tokenizer of type Unigram"
again; edit tokenizer.json 's/"merges"/"marges"/'; bad "model.merges is no array of pairs"
again; edit tokenizer.json 's/"content": *"<s>"/"content": "<\\u0000s>"/'
bad "tokenizer.json: added token 0 has a character U+0000"
# more tokens than rows, and fewer: those are padded
again; edit tokenizer.json 's/"id": 2,/"id": 96,/'; bad "has id 96, the embedding 96 rows"
again; edit tokenizer.json 's/"z": *[0-9]*,//'
run 0 mpq-pack -q -p p.tsv -f gguf -o padded.gguf m
grep -aq '\[PAD[0-9]*\]' padded.gguf && pass || fail "no padding token"
# a tensor with another name is missing
again; sed 's/layers\.1\.mlp\.up_proj/layers.1.mlp.ux_proj/' m/model.safetensors >new && mv new m/model.safetensors
run 1 mpq-pack -p p.tsv -f gguf -o no.gguf m; one_line; absent no.gguf

# ---- pre-tokenizers
rm -rf m; mkdir m; cp "$hf/config.json" "$hf/tokenizer.json" "$hf/model.safetensors" m
pre() { run 0 mpq-pack -q -p keep.tsv -o pre.gguf "$@" m; }
edit tokenizer.json 's/"individual_digits": *true/"individual_digits": false/'
run 1 mpq-pack -p keep.tsv -f gguf -o no.gguf m; one_line; absent no.gguf
says "a pre-tokenizer that is not known: Digits gpt2: --pre NAME says which"
run 0 mpq-pack -q -p keep.tsv --pre smollm -o pre.gguf m; silent
run 0 mpq-pack -p keep.tsv --pre default -o pre.gguf m
says "with the pre-tokenizer default a GGUF parts text otherwise than tokenizer.json"
grep -aq default pre.gguf && pass || fail "--pre is not in the file"
run 1 mpq-pack -p keep.tsv --pre walrus -f gguf -o no.gguf m; one_line; says "walrus"; absent no.gguf
# special tokens, the template and ends of generation
cp "$hf/tokenizer.json" m
printf '{"add_bos_token": true, "eos_token": {"content": "<|endoftext|>"}, "chat_template": "a{{ b }}"}' >m/tokenizer_config.json
printf '{"eos_token_id": [0, 7]}' >m/generation_config.json
pre; grep -aq 'a{{ b }}' pre.gguf && pass || fail "no chat template"
grep -aq 'tokenizer.ggml.eot_token_id' pre.gguf && pass || fail "no second end of generation"
printf 'c{{ d }}' >m/chat_template.jinja; printf '{}' >m/tokenizer_config.json
pre; grep -aq 'c{{ d }}' pre.gguf && pass || fail "no template from its file"
finish
