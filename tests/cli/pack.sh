#!/bin/sh
# mpq-pack on real models: sizes, copies, containers, bad plans, bad outputs. The PyPI
# packages gguf, safetensors and xllamacpp are independent readers where they are there.
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model/tiny-model.gguf
hf=$top/examples/tiny-model
layers=$(sed -n 's/.*"num_hidden_layers": *\([0-9]*\).*/\1/p' "$hf/config.json")
python=
for p in "${PYTHON:-python3}" "$top/build/venv/bin/python"; do
    "$p" -c 'import gguf, numpy, safetensors' 2>/dev/null && python=$p && break
done
[ -n "$python" ] || skip "no Python with gguf and safetensors: files are read by our own reader only"

# every finished file is told with its size; the assertions on what is said go without
sizes=' bytes, [0-9.]* -> [0-9.]* bits for each weight$'
leave_sizes() { grep -v "^mpq-pack: [0-9]* -> [0-9]*$sizes" err >err.rest; cp err.rest err; }
silent() { leave_sizes; if [ ! -s err ]; then pass; else fail "not silent: $(head -3 err)"; fi; }
one_line() {
    leave_sizes
    if [ "$(wc -l <err)" = 1 ]; then pass; else fail "not one line: $(cat err)"; fi
}

# plan EMBEDDING BLOCKS [OVERRIDE...]: a table by layers; OVERRIDE is "unit<TAB>type"
plan() {
    printf '#unit\ttype\ntoken_embd\t%s\n' "$1"
    for i in $(seq 0 $((layers - 1))); do printf 'blk.%d\t%s\n' "$i" "$2"; done
    shift 2
    for o; do printf '%s\n' "$o"; done
}
total() { awk -F '\t' '$1 == "total" { print $4 }' "$1"; }
size() { wc -c <"$1" | tr -d ' '; }

# every type: the size is known beforehand, the file is as planned, and read elsewhere
for type in f32 f16 bf16 q8_0 q6_k q5_k q5_1 q5_0 q4_k q4_1 q4_0 iq4_nl iq4_xs q3_k q2_k; do
    plan bf16 $type >plan.tsv
    run 0 mpq-pack -q -p plan.tsv --dry-run "$tiny"; cp out dry
    run 2 mpq-pack -q -p plan.tsv --dry-run -o kept "$tiny"; absent kept
    run 0 mpq-pack -q -p plan.tsv --effort fast -o packed.gguf "$tiny"; silent
    equal "$(total dry)" "$(size packed.gguf)" "$type: size beforehand and after"
    run 0 mpq-pack --check plan.tsv packed.gguf; silent
    plan f16 $type >other.tsv
    run 1 mpq-pack --check other.tsv packed.gguf
    says "tensor token_embd: is bf16, the plan wants f16 (1 of"; one_line
    [ -n "$python" ] || continue
    run 0 "$python" - packed.gguf $type <<'END'
import sys
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
for t in GGUFReader(sys.argv[1]).tensors:
    want = sys.argv[2] if len(t.shape) > 1 and t.name.startswith("blk") else None
    assert want is None or t.tensor_type.name.lower() == want, (t.name, t.tensor_type)
    x = dequantize(t.data, t.tensor_type)
    assert np.isfinite(x).all() and x.std() > 0, t.name
END
done

# what keeps its type: tensor bytes and metadata as they were, four keys set or added
run 0 mpq-pack -p - "$tiny" -o same.gguf --effort max <<END
$(plan bf16 bf16)
END
silent
if [ -n "$python" ]; then
    run 0 "$python" - "$tiny" same.gguf <<'END'
import sys
import numpy as np
from gguf import GGUFReader
a, b = GGUFReader(sys.argv[1]), GGUFReader(sys.argv[2])
for x, y in zip(a.tensors, b.tensors, strict=True):
    assert x.name == y.name and x.tensor_type == y.tensor_type
    assert np.array_equal(x.data, y.data), x.name
assert list(a.fields) == [k for k in b.fields if k in a.fields]
new = set(b.fields) - set(a.fields)
assert new <= {"general.file_type", "general.quantization_version", "mpq.plan",
               "mpq.provenance"}, new
for k in a.fields:
    if k.startswith("GGUF.") or k in ("general.file_type", "general.quantization_version"):
        continue
    x, y = a.fields[k], b.fields[k]
    assert x.types == y.types and all(np.array_equal(p, q)
                                      for p, q in zip(x.parts, y.parts)), k
def value(k):
    return b.fields[k].parts[b.fields[k].data[0]]
assert value("general.file_type")[0] == 32          # mostly bf16
assert value("general.quantization_version")[0] == 2
assert len(value("mpq.provenance")) == 1024
assert [b.fields["mpq.plan"].parts[i][0] for i in b.fields["mpq.plan"].data] == \
    [int(t.tensor_type) for t in b.tensors]
END
fi

# the same bytes for every number of threads, from a file, a pipe, a compressed pipe, and
# a plan on standard input
plan q6_k q4_k "$(printf 'blk.1.ffn_down\tq8_0')" >plan.tsv
run 0 mpq-pack -p plan.tsv -j 1 -o one.gguf "$tiny"
run 0 mpq-pack -p plan.tsv -j 4 -o four.gguf "$tiny"; same one.gguf four.gguf
sh_run 0 "mpq-pack -p plan.tsv <'$tiny' >pipe.gguf"; same one.gguf pipe.gguf
sh_run 0 "cat '$tiny' | mpq-pack -p plan.tsv - | cat >pipe.gguf"; same one.gguf pipe.gguf
sh_run 0 "gzip -1 -c '$tiny' | mpq-pack -p plan.tsv -o pipe.gguf"; same one.gguf pipe.gguf
sh_run 0 "mpq-pack -p - '$tiny' <plan.tsv >pipe.gguf"; same one.gguf pipe.gguf
cp "$tiny" inplace.gguf
run 2 mpq-pack -p plan.tsv -o inplace.gguf inplace.gguf; says "is read as well"
run 2 mpq-pack -p - - ; says "standard input is asked for twice"

# a plan made for other weights of the same shape is followed, and that is said
mpq-stats -q --only moments -l 0 "$tiny" | grep '^##[ft]' >shape
{ cat shape; cat plan.tsv; } >own.tsv
run 0 mpq-pack -p own.tsv -o id.gguf "$tiny"; silent
id=$(sed -n 's/^##file .* model_id=\([0-9a-f]\{16\}\).*/\1/p' own.tsv)
equal 16 "${#id}" "model_id"
sed "s/model_id=$id/model_id=0123456789abcdef/" own.tsv >others.tsv
run 0 mpq-pack -p others.tsv -o others.gguf "$tiny"; one_line; same id.gguf others.gguf
says "others.tsv: was made for other weights, or another form of them (model_id 0123456789abcdef, $tiny has $id)"
run 0 mpq-pack --check own.tsv others.gguf; silent
run 0 grep -c "model Tiny arithmetic and text model, id $id " id.gguf
sed "s/model_id=$id/model_id=0/" own.tsv >odd.tsv # edited: as if there were none
run 0 mpq-pack -p odd.tsv -o others.gguf "$tiny"; silent

# sizes before and after, unless -q; bits by hand
weights=$(awk -F '\t' '/^total/ { print $3 }' dry)
run 0 mpq-pack -p plan.tsv -o one.gguf "$tiny"
equal "mpq-pack: $(size "$tiny") -> $(size one.gguf) bytes, $(awk -v a="$(size "$tiny")" -v b="$(size one.gguf)" -v n="$weights" \
    'BEGIN { printf "%.2f -> %.2f", 8 * a / n, 8 * b / n }') bits for each weight" "$(cat err)"
run 0 mpq-pack -q -p plan.tsv -o one.gguf "$tiny"; equal "" "$(cat err)" "said under -q"
# a symbolic link is replaced, not followed
cp four.gguf pointed.gguf; ln -s pointed.gguf link.gguf; plan q8_0 q8_0 >q8.tsv
run 0 mpq-pack -q -p q8.tsv --effort fast -o link.gguf "$tiny"; same four.gguf pointed.gguf
[ -f link.gguf ] && [ ! -h link.gguf ] && pass || fail "-o LINK: the link is still there"
run 0 mpq-pack --check q8.tsv link.gguf

# quantized once more: said once
run 0 mpq-pack -p plan.tsv -o again.gguf one.gguf; silent
plan q4_0 q4_0 >q4.tsv
run 0 mpq-pack -p q4.tsv -o again.gguf one.gguf; one_line
says "tensors are quantized already and quantized again (token_embd: q6_k to q4_0)"
run 0 mpq-pack -q -p q4.tsv -o again.gguf one.gguf; silent

# llama-quantize's lines; what they leave out is said
printf 'blk\\.0\\.ffn_down=q3_k\nattn_v=q8_0\n' >lines
run 0 mpq-pack -p lines -o lines.gguf "$tiny"; says "tensors that no pattern names"
printf 'nothing_like_it=q8_0\n' >lines
run 1 mpq-pack -p lines -o nothing.gguf "$tiny"; one_line; absent nothing.gguf

# the native container: any bits and groups; read again as a model, and as documented
plan int8 int3g100 "$(printf 'blk.0.attn_q\tint1g32s')" "$(printf 'blk.0.attn_k\tint5s')" \
    "$(printf 'blk.0.attn_v\tq4_k')" >native.tsv
run 1 mpq-pack -p native.tsv -o native.gguf -f gguf "$tiny"; one_line; absent native.gguf
says "tensor token_embd: type int8: a GGUF file cannot hold it: -f safetensors does"
for model in "$tiny" "$hf"; do
    run 0 mpq-pack -p native.tsv -f safetensors --dry-run "$model"; cp out dry
    run 0 mpq-pack -p native.tsv -f safetensors -o native.st "$model"; silent
    equal "$(total dry)" "$(size native.st)" "native: size beforehand and after"
    run 0 mpq-pack --check native.tsv native.st; silent
    run 0 mpq-pack -p native.tsv -f fake -o fake.st "$model"; silent
    run 0 mpq-pack --check native.tsv fake.st
    run 1 mpq-pack --check q4.tsv fake.st
    says "the plan wants q4_0 ($((layers * 7 + 1)) of"
    run 0 mpq-pack -p native.tsv -f fake -o fake2.st native.st; silent
    [ -n "$python" ] || continue
    # the reader that mpq-formats(5) shows must come to what the fake file holds
    sed -n '/^import numpy/,/^\.Ed/p' "$top/man/mpq-formats.5" | sed '$d' >reader.py
    run 0 "$python" - native.st fake.st "$model" <<'END'
import json, os, sys
import numpy as np
from safetensors import safe_open
sys.path.insert(0, ".")
from reader import matrix
def bf16(x):  # to nearest, ties to even
    b = x.astype("f4").view("u4").astype("u8")
    return ((b + 0x7fff + (b >> 16 & 1)) >> 16 << 16).astype("u4").view("f4")
def stored(f, name):
    # safetensors' numpy has no bfloat16: take the bytes
    with open(sys.argv[2], "rb") as file:
        head = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(head))[name]
        file.seek(8 + head + entry["data_offsets"][0])
        raw = file.read(entry["data_offsets"][1] - entry["data_offsets"][0])
    assert entry["dtype"] == "BF16", name
    return (np.frombuffer(raw, "<u2").astype("u4") << 16).view("f4").reshape(entry["shape"])
n = 0
with safe_open(sys.argv[1], "np") as f:
    meta = f.metadata()
    names = [k[9:] for k in meta if k.startswith("mpq.type.")]
    for name in names:
        if not meta["mpq.type." + name].startswith("int"):
            continue
        assert np.array_equal(bf16(matrix(sys.argv[1], name)), stored(f, name)), name
        n += 1
    assert n > 20 and meta["mpq.container"] == "native 1"
    if os.path.isdir(sys.argv[3]):
        for file in "config.json", "tokenizer.json":
            with open(os.path.join(sys.argv[3], file)) as text:
                assert meta[file] == text.read()
    else:
        assert meta["llama.block_count"].startswith("u32 ")
with safe_open(sys.argv[2], "np") as f:
    assert f.metadata()["format"] == "pt"
END
done

# plans that do not fit the model
bad_plan() { # bad_plan WORDS [OPTION...]: of the plan in bad.tsv
    words=$1; shift
    run 1 mpq-pack -p bad.tsv -o bad.gguf "$@" "$tiny"; says "$words"; one_line
    absent bad.gguf
}
plan bf16 q4_k "$(printf 'blk.99\tq4_k')" >bad.tsv; bad_plan "blk.99"
plan bf16 q4_k "$(printf 'blk.0.ffn_dwn\tq4_k')" >bad.tsv; bad_plan "blk.0.ffn_dwn"
plan bf16 q4_k "$(printf 'blk.0\tq4_k')" >bad.tsv; bad_plan "blk.0"
plan bf16 q4_k | grep -v 'blk.1' >bad.tsv; bad_plan "blk.1"
plan bf16 q4_k | grep -v token_embd >bad.tsv; bad_plan "token_embd"
plan bf16 q9_z >bad.tsv; bad_plan "q9_z"
plan bf16 q4_k "$(printf 'output\tq6_k')" >bad.tsv; bad_plan "unit output is tied to token_embd"
{ echo '##mpq plan 1 model=Another%20one'; plan bf16 q4_k "$(printf 'blk.99\tq4_k')"
  echo "##end $((layers + 2))"; } >bad.tsv
bad_plan "unit blk.99 is no layer or matrix of the model (the plan is of Another one, the model is "
plan bf16 q8_k >bad.tsv; bad_plan "mpq-pack does not write q8_k"
plan bf16 iq2_xs >bad.tsv; bad_plan "mpq-pack does not write iq2_xs"
{ echo "##mpq scores 1"; plan bf16 q4_k; echo "##end 1"; } >bad.tsv; bad_plan "scores"
{ echo "##mpq plan 1"; plan bf16 q4_k; } >bad.tsv; bad_plan "cut short"
plan bf16 q4_k | sed 1s/unit/united/ >bad.tsv; bad_plan "unit"
printf '#unit\ttype\n' >bad.tsv; bad_plan ""
run 1 mpq-pack -p missing.tsv "$tiny"; says "missing.tsv"; one_line
run 2 mpq-pack "$tiny"; says "takes -p PLAN"
run 2 mpq-pack -p plan.tsv --check plan.tsv "$tiny"; says "takes -p PLAN"
for way in "-o x.gguf" --dry-run "-f gguf" "-f auto" "-m hqq" "--imatrix none"; do
    run 2 mpq-pack --check plan.tsv $way one.gguf; says "--check writes nothing: take out ${way%% *}"
    absent x.gguf
done
run 2 mpq-pack -p plan.tsv -m best "$tiny"; says "mpq-pack: -m: 'best' is not one of rtn"
run 2 mpq-pack -p plan.tsv "$tiny" "$tiny"

# outputs that fail
run 1 mpq-pack -p plan.tsv -o /dev/full "$tiny"; says "No space left"; one_line
sh_run 1 "mpq-pack -p plan.tsv '$tiny' >/dev/full"; says "No space left"; one_line
run 1 mpq-pack -p plan.tsv -o nowhere/x.gguf "$tiny"; says "nowhere/x.gguf"; one_line
sh_run 0 "mpq-pack -p plan.tsv '$tiny' | head -c 1000 >head; test -s head"; silent
cp one.gguf kept.gguf
head -c 100000 "$tiny" >cut.gguf
run 1 mpq-pack -p plan.tsv -o kept.gguf cut.gguf; one_line; same one.gguf kept.gguf
if command -v script >/dev/null 2>&1; then
    run 2 script -qec "mpq-pack -p plan.tsv '$tiny'" /dev/null
    prints "terminal"
fi
# a signal takes the unfinished file with it
plan q2_k q2_k >slow.tsv
plan q5_0 q5_0 >again.tsv
mpq-pack -q -p slow.tsv --effort max -j 1 -o slow.gguf "$tiny" & pid=$!
sleep 0.1; kill -TERM $pid 2>/dev/null; wait $pid 2>/dev/null; status=$?
if [ $status = 0 ]; then skip "packing was done before the signal"; else absent slow.gguf; fi
# but not one that the caller ignores, as nohup does
(trap '' HUP; exec mpq-pack -q -p slow.tsv -j 1 -o slow.gguf "$tiny") & pid=$!
sleep 0.1; kill -HUP $pid 2>/dev/null; wait $pid; equal 0 $? "SIGHUP under nohup"; rm -f slow.gguf
# a limit on the size of files is an error like any other
sh_run 1 "ulimit -f 100; mpq-pack -p plan.tsv -o limit.gguf '$tiny'"
says "limit.gguf: File too large"; one_line; absent limit.gguf
# words for a standard error that is closed do not end up in the output
run 0 mpq-pack -p again.tsv --effort fast -o again.gguf packed.gguf; says "quantized already and quantized again"
sh_run 0 "mpq-pack -p again.tsv --effort fast -o closed.gguf packed.gguf 2>&-"
same again.gguf closed.gguf

# importance weights, in llama-imatrix's old form, written here byte by byte: the weighted
# error goes down where the weight is, and a matrix without an entry is named
u32() { # u32 N...: little-endian
    for n; do
        printf "\\$(printf %03o $((n & 255)))\\$(printf %03o $((n >> 8 & 255)))"
        printf "\\$(printf %03o $((n >> 16 & 255)))\\$(printf %03o $((n >> 24 & 255)))"
    done
}
f32_one=1065353216
imatrix() { # imatrix COLS NAME: every fourth column counts, a little the others
    u32 1 ${#2}; printf %s "$2"; u32 1 "$1"
    for i in $(seq "$1"); do
        if [ $((i % 4)) = 1 ]; then u32 $f32_one; else u32 $((f32_one - 10 * 8388608)); fi
    done
}
plan bf16 bf16 "$(printf 'blk.0.ffn_up\tq2_k')" "$(printf 'blk.0.ffn_gate\tq2_k')" >iq.tsv
imatrix 256 blk.0.ffn_up.weight >some.imatrix
run 0 mpq-pack -p iq.tsv -o plain.gguf "$tiny"; silent
run 0 mpq-pack -p iq.tsv --imatrix some.imatrix -o weighted.gguf "$tiny"; one_line
says "does not know 1 matrices, which are rounded without weights (blk.0.ffn_gate)"
sh_run 0 "mpq-pack -q -p iq.tsv --imatrix - '$tiny' <some.imatrix >again.gguf"; silent
same weighted.gguf again.gguf
if [ -n "$python" ]; then
    run 0 "$python" - "$tiny" plain.gguf weighted.gguf <<'END'
import sys
import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize
a, b, c = [{t.name: dequantize(t.data, t.tensor_type).astype("f8")
            for t in GGUFReader(p).tensors} for p in sys.argv[1:]]
w = np.where(np.arange(256) % 4 == 0, 1, 2 ** -10)
up, gate = "blk.0.ffn_up.weight", "blk.0.ffn_gate.weight"
def error(x):
    return (w * (x[up] - a[up]) ** 2).sum()
assert error(c) < .5 * error(b), (error(c), error(b))
assert np.array_equal(b[gate], c[gate])
END
fi
run 2 mpq-pack -p iq.tsv --imatrix - - ; says "standard input is asked for twice"
run 1 mpq-pack -p plan.tsv --imatrix missing.gguf "$tiny"; says "missing.gguf"; one_line
run 1 mpq-pack -p plan.tsv --imatrix "$tiny" -o no.gguf "$tiny"; one_line; absent no.gguf
imatrix 128 blk.0.ffn_up.weight >short.imatrix
run 1 mpq-pack -p iq.tsv --imatrix short.imatrix -o no.gguf "$tiny"; one_line
says "blk.0.ffn_up"; absent no.gguf
imatrix 256 blk.77.ffn_up.weight >other.imatrix
run 1 mpq-pack -p iq.tsv --imatrix other.imatrix -o no.gguf "$tiny"; one_line
says "other.imatrix: knows no matrix of"; absent no.gguf
head -c 500 some.imatrix >cut.imatrix
run 1 mpq-pack -p iq.tsv --imatrix cut.imatrix -o no.gguf "$tiny"; one_line; absent no.gguf

# random plans: the size beforehand is the size after, and tells of the model's tables
models=$tiny
for m in "${MPQ_TEST_MODELS:-/nonexistent}"/*.gguf; do [ -f "$m" ] && models="$models $m"; done
[ "$models" != "$tiny" ] || skip "MPQ_TEST_MODELS=DIR is not set: sizes on larger models"
for model in $models; do
    [ "$model" = "$tiny" ] && seeds="1 2 3 4 5 6" || seeds=1
    for seed in $seeds; do
        run 0 mpq-stats --only moments "$model"
        awk -v seed=$seed 'BEGIN { srand(seed); print "#unit\ttype"
                n = split("q8_0 q4_0 q5_1 iq4_nl f16 q4_1 q5_0", t, " ")
                k = split("q6_k q5_k q4_k q3_k q2_k iq4_xs", u, " ") }
            /^##tensor / { x = t[int(rand() * n) + 1]
                if ($5 % 256 == 0 && rand() < .6) x = u[int(rand() * k) + 1]
                print $2 "\t" x }' out >random.tsv
        run 0 mpq-pack -p random.tsv --dry-run "$model"; cp out dry
        run 0 mpq-pack -q -p random.tsv --effort fast -o random.gguf "$model"
        equal "$(total dry)" "$(size random.gguf)" "$(basename "$model"), plan $seed: size"
    done
    rm -f random.gguf
done

# llama.cpp loads it
if [ -n "$python" ] && "$python" -c 'import xllamacpp' 2>/dev/null; then
    run 0 "$python" "$top/examples/complete.py" "$tmp/one.gguf" "Tom has 3 apples" 4
    prints "Tom has 3 apples"
else
    skip "no Python with xllamacpp: llama.cpp does not load the file"
fi
# a value that the scales of a type cannot reach is refused, whoever rounds
tiny=$top/examples/tiny-model/tiny-model.gguf
mpq-stats -q --only moments "$tiny" |
    awk 'BEGIN { print "#unit\ttype" } /^##tensor / && $5 > 1 { print $2 "\tf32" }' >f32.tsv
run 0 mpq-pack -q -p f32.tsv -o far.gguf "$tiny"
printf '\312\362\111\161' | # 1e30, in the last matrix
    dd of=far.gguf bs=1 seek=$(($(wc -c <far.gguf) - 4096)) conv=notrunc 2>/dev/null
for type in q4_0 f16; do
    sed "s/f32/$type/" f32.tsv >far.tsv
    run 1 mpq-pack -q -p far.tsv -o far.out far.gguf; one_line
    says "far.gguf: tensor blk.4.ffn_down.weight: a value of 1e+30, and type $type goes to 65504"
done
run 1 mpq-pack -q -p far.tsv -m hqq -o far.out far.gguf; one_line
absent far.out
sed "s/f32/bf16/" f32.tsv >far.tsv
run 0 mpq-pack -q -p far.tsv -o far.out far.gguf
finish
