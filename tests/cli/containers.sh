#!/bin/sh
# Folders that vLLM and Transformers load: what lies in them, what is refused, that nothing
# half done is left. Whether the packages that define them read them, tests/bench/
# containers.py shows; bytes of small matrices are in tests/unit/t_checkpoint.c.
. "$(dirname "$0")/lib.sh"
hf=$top/examples/tiny-model
python=
for p in "${PYTHON:-python3}" "$top/build/venv/bin/python"; do
    "$p" -c 'import json' 2>/dev/null && python=$p && break
done
run 0 mpq-stats -q --only rtn "$hf"; cp out hf.tsv
# plan RULES: awk's choice of t for a matrix $2 of the blocks
plan() {
    awk "BEGIN { print \"#unit\ttype\" } \$1 == \"##tensor\" {
        t = \$3; if (\$2 ~ /^blk/) { $1 } print \$2 \"\t\" t }" hf.tsv
}
none_left() { # none_left DIR: neither it nor one under way
    if [ -e "$1" ] || ls -d "$1".?????? >/dev/null 2>&1; then fail "$1 was left"; else pass; fi
}

plan 't = $2 ~ /down/ ? "int8g32s" : $2 ~ /attn_output/ ? "int3g32" : $2 ~ /blk.1.ffn/ ? "f16" : "int4g64"' >p.tsv
for f in hf compressed-tensors gptq gptq-v2; do
    run 0 mpq-pack -q -p p.tsv -f $f -j 1 -o $f "$hf"; silent
    run 0 mpq-pack -q -p p.tsv -f $f -j 3 -o again/ "$hf"
    for file in config.json model.safetensors tokenizer.json; do same $f/$file again/$file; done
    equal "$(cd "$hf" && ls config.json tokenizer.json | wc -l)" 2
    same $f/tokenizer.json "$hf/tokenizer.json"
    rm -r again
    run 0 mpq-pack -p p.tsv -f $f --dry-run "$hf"
    equal "$(awk '/^total/ { print $4 }' out)" "$(wc -c <$f/model.safetensors | tr -d ' ')" "size of $f"
    [ -z "$python" ] && continue
    run 0 "$python" - $f/config.json $f <<'END'
import json, sys
config = json.load(open(sys.argv[1]))
assert config["hidden_size"] == 256
q = config.get("quantization_config")
form = sys.argv[2]
if form == "hf":
    assert q is None
elif form == "compressed-tensors":
    groups = [(g["weights"]["num_bits"], g["weights"]["group_size"],
               g["weights"]["symmetric"], len(g["targets"])) for g in q["config_groups"].values()]
    assert sorted(groups) == [(3, 32, False, 5), (4, 64, False, 23), (8, 32, True, 5)], groups
    assert "model.layers.1.mlp.up_proj" in q["ignore"] and "lm_head" in q["ignore"]
else:
    assert (q["bits"], q["group_size"], q["sym"]) == (4, 64, False)
    assert q["checkpoint_format"] == ("gptq" if form == "gptq" else "gptq_v2")
    d = q["dynamic"]
    assert d["+:^model\\.layers\\.0\\.mlp\\.down_proj$"] == {"bits": 8, "group_size": 32, "sym": True}
    assert d["-:^model\\.layers\\.1\\.mlp\\.(gate|up|gate_up)_proj$"] == {}
    assert len(d) == 5 + 5 + 1
END
done
# the folder of floats is a model again, about as near as the native container is
run 0 mpq-pack -q -p p.tsv -f safetensors -o native "$hf"
for m in hf native; do
    run 0 mpq-eval -q --ref "$hf" -x "$hf/text.valid.txt" --ctx 256 --chunks 4 $m
    awk -F '\t' '$3 == "kld" { print $4 }' out >$m.kld
done
run 0 awk -v a="$(cat hf.kld)" -v b="$(cat native.kld)" 'BEGIN { exit !(a > 0 && a < 1.3 * b) }'
# every quantizer
for m in hqq awq gptq; do
    c="-c $hf/text.calib.txt --ctx 128 --samples 8"; [ $m = hqq ] && c=
    # shellcheck disable=SC2086 # words
    run 0 mpq-pack -q -p p.tsv -m $m $c -f gptq -o $m.gptq "$hf"
    run 1 cmp -s $m.gptq/model.safetensors gptq/model.safetensors
    # shellcheck disable=SC2086
    run 0 mpq-pack -q -p p.tsv -m $m $c -f hf -o $m.hf "$hf"
    run 0 mpq-eval -q --ref "$hf" -x "$hf/text.valid.txt" --ctx 256 --chunks 4 $m.hf; cp out table
    run 0 awk -F '\t' -v b="$(cat native.kld)" '$3 == "kld" { ok = $4 > 0 && $4 < 2.5 * b } END { exit !ok }' table
done

# a GGUF becomes a folder again: the same perplexity, on every architecture
for net in llama llama-llama3 llama-linear qwen2 qwen3 gemma gemma2 gemma3; do
    cp -R "$top/tests/data/nets/$net" "net.$net"
    cp "$top/tests/data/nets/tokenizer.json" "net.$net"
    run 0 mpq-stats -q --only rtn "net.$net"
    awk 'BEGIN { print "#unit\ttype" } $1 == "##tensor" { print $2 "\t" $3 }' out >keep.tsv
    run 0 mpq-pack -q -p keep.tsv -o "$net.gguf" "net.$net"
    run 0 mpq-pack -p keep.tsv -f hf -o "back.$net" "$net.gguf"
    says "its tokenizer is none that can be written" # SentencePiece
    cp "$top/tests/data/nets/tokenizer.json" "back.$net"
    for m in "net.$net" "back.$net"; do
        run 0 mpq-eval -q -x "$hf/text.valid.txt" --ctx 64 --chunks 4 "$m"
        awk -F '\t' '$3 == "ppl" { printf "%.5g\n", $4 }' out >"$m.ppl"
    done
    same "net.$net.ppl" "back.$net.ppl"
done
run 0 mpq-stats -q --only rtn "$hf/tiny-model.gguf"
awk 'BEGIN { print "#unit\ttype" } $1 == "##tensor" { print $2 "\t" ($2 ~ /^blk/ ? "int4g32s" : $3) }' out >g.tsv
run 0 mpq-pack -q -p g.tsv -f gptq -o fromgguf "$hf/tiny-model.gguf"

run 0 mpq-pack -q -p g.tsv -f hf -o fromhf "$hf/tiny-model.gguf"
for m in fromhf "$hf/tiny-model.gguf"; do
    run 0 mpq-eval -q --tokens -x "$hf/text.valid.txt" "$m"; grep -v '^##' out >ids.$(basename "$m")
done
same ids.fromhf ids.tiny-model.gguf

# what a container cannot hold: types and tensors
plan 't = $2 ~ /down/ ? "q4_k" : $2 ~ /attn_k/ ? "int4g96" : $2 ~ /attn_v/ ? "q8_0" : "int5g32"' >bad.tsv
run 1 mpq-pack -p bad.tsv -f gptq -o no "$hf"; one_line; none_left no
says "a GPTQ checkpoint cannot hold blk.0.ffn_down as q4_k and 4 more: it takes intB[gN][s]"
says "blk.0.ffn_gate as int5g32 and 19 more: it takes 2, 3, 4 and 8 bits"
run 1 mpq-pack -p bad.tsv -f compressed-tensors -o no "$hf"; one_line; none_left no
says "blk.0.attn_k as int4g96 and 4 more: the group does not divide the row"
says "blk.0.attn_v as q8_0 and 4 more"
plan 't = "int4"' | sed 's/^token_embd.*/token_embd\tint4/' >embed.tsv
run 1 mpq-pack -p embed.tsv -f gptq -o no "$hf"; one_line
says "token_embd as int4: it takes linear weights of the blocks alone"
# where it goes
run 2 mpq-pack -p p.tsv -f gptq "$hf"; says "takes -o DIR"
run 2 mpq-pack -p p.tsv -f gptq -o - "$hf"; says "takes -o DIR"
mkdir -p full empty; echo x >full/x; echo x >file
run 1 mpq-pack -p p.tsv -f gptq -o full "$hf"; says "full: is there, with files in it"
equal x "$(ls full)"
run 1 mpq-pack -p p.tsv -f gptq -o file "$hf"; says "file: is there, and no folder"
run 1 mpq-pack -p p.tsv -f gptq -o nowhere/dir "$hf"; says "nowhere/dir: No such file"
run 0 mpq-pack -q -p p.tsv -f gptq -o empty "$hf"; same empty/model.safetensors gptq/model.safetensors
# sources that cannot be folders
cp "$hf/model.safetensors" alone.safetensors
run 1 mpq-pack -p p.tsv -f hf -o no alone.safetensors; none_left no
mkdir twice; cp "$hf/model.safetensors" "$hf/tokenizer.json" twice; cp gptq/config.json twice
run 1 mpq-pack -p p.tsv -f hf -o no twice; none_left no
says "weights packed by gptq, which are not read here"
# interrupted
for s in TERM HUP XCPU; do
    if sh -c "kill -$s \$\$; exit 0" 2>/dev/null; then # under nohup
        skip "SIG$s is ignored here"
        continue
    fi
    mpq-pack -q -p p.tsv -m gptq -c "$hf/text.calib.txt" -f gptq -o no "$hf" & pid=$!
    sleep 1; kill -$s $pid; wait $pid 2>/dev/null
    none_left no
done
finish
