#!/bin/sh
# What all programs share: help, version, misuse, messages, exit status.
. "$(dirname "$0")/lib.sh"

for tool in mpq-stats mpq-score mpq-calibmix mpq-alloc mpq-pack mpq-eval; do
    run 0 $tool --help; silent
    prints "usage: $tool"
    prints "--output FILE"
    equal 0 "$(awk 'length > 80' out | wc -l)" "$tool --help: lines over 80 columns"
    # the help ends in one pipeline to copy
    prints "example:"
    run 0 $tool -V; prints "$tool 0."
    sh_run 1 "$tool --help >/dev/full"; says "standard output: No space left"; one_line
    sh_run 1 "$tool --version >&-"; says "standard output: Bad file descriptor"; one_line

    run 2 $tool --no-such-option; says "$tool: --no-such-option: no such option"
    says "try '$tool --help'"
    run 2 $tool --=x; says "$tool: --: no such option"
    run 2 $tool --no-such"$(printf '\n\033')option"; says "$tool: --no-such??option: no such option"
    run 2 $tool -o ''; says "$tool: -o: needs FILE, not an empty name"
    run 2 $tool -Z; says "$tool: -Z: no such option"
    run 2 $tool -j 0; says "$tool: -j: '0' is not a whole number from 1 to 1024"
    run 2 $tool -j; says "$tool: -j: needs N"
    run 2 $tool --threads; says "$tool: --threads: needs N"
    run 2 $tool --threads=x; says "$tool: --threads: 'x' is not a whole number"
    run 2 $tool --quiet=yes; says "$tool: --quiet: takes no value"
    run 2 $tool --progress=maybe; says "$tool: --progress: 'maybe' is not one of auto|always|never"
    run 2 env MPQ_THREADS=many $tool; says "$tool: MPQ_THREADS: 'many' is not a whole number"

    # called without anything it does not sit and wait at the terminal
    if script --version 2>&1 | grep -q util-linux; then
        sh_run 2 "script -qec $tool /dev/null </dev/null"
        prints "$tool: nothing to read: standard input is a terminal"
        prints "usage: $tool [options] ["; prints "try '$tool --help'"
    fi

    # every option of the help stands in the man page, and the other way around
    $tool --help | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u >help.txt
    cat "$top/man/$tool.1" "$top/man/mpq.7" | sed 's/\\-/-/g' |
        grep -oE 'Fl -[a-z][a-z0-9-]*' | sed 's/Fl /-/' | sort -u >man.txt
    equal "" "$(comm -23 help.txt man.txt | tr '\n' ' ')" "$tool: options without a man page"
    sed 's/\\-/-/g' "$top/man/$tool.1" | grep -oE '^\.It .*Fl -[a-z][a-z0-9-]*' |
        grep -oE 'Fl -[a-z][a-z0-9-]*' | sed 's/Fl /-/' | sort -u >own.txt
    equal "" "$(comm -13 help.txt own.txt | tr '\n' ' ')" "$tool: man page names options that are not there"
done

# an input that is not there, or not what it should be
for tool in mpq-stats mpq-score mpq-alloc; do
    run 1 $tool missing.file; says "missing.file: No such file or directory"; one_line
    run 1 $tool -o result missing.file; absent result
    run 1 $tool 'Broken pipe'; says "Broken pipe: No such file or directory"; one_line
    printf 'neither a model nor a table\n' >odd
    run 1 $tool -o result odd; says "odd"; one_line; absent result
    run 1 $tool "$top/tests"; one_line
    : >empty
    run 1 $tool -o result empty; says "empty"; one_line; absent result
    sh_run 1 "$tool </dev/null"; says "standard input"; one_line
done

# where there is no apt-get, what is missing is told in the words of what there is
mkdir fake
for c in sh cat awk; do ln -s "$(command -v $c)" fake/; done
for pair in "dnf:dnf install gcc glibc-devel" "pacman:pacman -S --needed gcc glibc" \
    "brew:brew install pkgconf openblas lapack"; do
    printf '#!/bin/sh\n' >"fake/${pair%%:*}"; chmod +x "fake/${pair%%:*}"
    run 1 env PATH="$PWD/fake" sh "$top/tests/deps.sh" build
    says "missing, by Debian's names: gcc"; says "  ${pair#*:}"
    rm "fake/${pair%%:*}"
done
run 1 env PATH="$PWD/fake" sh "$top/tests/deps.sh" build; says "this system's package manager"
equal "" "$(cd "$top" && make -s help | grep -v '^make \|^Variables\|^its own')" "make help"

# the wrong kind of input is told what it is, and which tool takes it
tiny=$top/examples/tiny-model/tiny-model.gguf
mpq-stats --only moments,rtn "$tiny" >stats.tsv
mpq-score -m mse stats.tsv >scores.tsv
mpq-alloc -q -b 4 -t q2_k,q4_k,q8_0 scores.tsv >plan.tsv
for tool in mpq-score "mpq-alloc -b 3"; do
    run 1 $tool "$tiny"; one_line; says "tiny-model.gguf: a GGUF model, not a table: run mpq-stats on it first"
    sh_run 1 "$tool <'$tiny'"; one_line; says "standard input: a GGUF model"
    run 1 $tool "$top/examples/tiny-model/model.safetensors"; one_line
    says "model.safetensors: a safetensors model, not a table: run mpq-stats"
    run 1 $tool "$top/examples/tiny-model"; one_line
    says "a folder, not a table: if it is a model, run mpq-stats on it first"
done
run 1 mpq-score plan.tsv; one_line
says "plan.tsv:1: a table of plan (mpq-pack -p reads it), stats expected, from mpq-stats"
run 1 mpq-score scores.tsv; one_line; says "a table of scores (mpq-alloc reads it), stats expected"
run 1 mpq-alloc -b 3 stats.tsv; one_line
says "stats.tsv: a table of stats (mpq-score reads it), scores or damage expected, from mpq-score"
run 1 mpq-pack -p stats.tsv "$tiny"; one_line
says "a table of stats (mpq-score reads it), plan expected, from mpq-alloc"
run 1 mpq-pack -p "$tiny" "$tiny"; one_line; says "a GGUF model, not a table"
run 1 mpq-pack -p "$tiny" plan.tsv; one_line; says "plan.tsv: a table of plan, not a model: mpq-pack -p reads it"
run 1 mpq-stats scores.tsv; one_line; says "scores.tsv: a table of scores, not a model: mpq-alloc reads it"
sh_run 1 "mpq-stats stats.tsv | mpq-score -o result"; absent result
grep -v '^##' stats.tsv >bare.tsv
run 1 mpq-stats bare.tsv; one_line; says "bare.tsv: a table, not a model"
run 1 mpq-stats "$top/examples/tiny-model/config.json"; one_line; says "config.json: JSON, neither GGUF nor safetensors: give its folder"
printf 'PK\003\004and so on' >pytorch_model.bin
run 1 mpq-stats pytorch_model.bin; one_line; says "a zip archive, as PyTorch writes them"
# what is read with what the command line names is not written over
mkdir folder; hf=$top/examples/tiny-model
cp "$hf/config.json" "$hf/tokenizer.json" "$hf/model.safetensors" folder
for f in model.safetensors config.json tokenizer.json; do
    run 2 mpq-stats --only moments folder -o "folder/$f"; says "'folder/$f' is read as well"
done
run 2 mpq-stats --only moments folder/model.safetensors -o folder/config.json; says "is read as well"
same folder/config.json "$hf/config.json"
echo old >folder/stats.tsv
run 0 mpq-stats --only moments folder -o folder/stats.tsv
touch m-00001-of-00002.gguf m-00002-of-00002.gguf
run 2 mpq-stats m-00001-of-00002.gguf -o m-00002-of-00002.gguf; says "is read as well"
head -2 "$hf/problems.eval.jsonl" >few.jsonl; printf -- '- file: few.jsonl\n' >list.yaml
run 2 mpq-eval --only loss -k list.yaml "$tiny" -o few.jsonl; says "'few.jsonl' is read as well"
run 2 mpq-eval --ctx 8 -x list.yaml -k list.yaml "$tiny" --save-ref few.jsonl
says "--save-ref: 'few.jsonl' is read as well"
run 2 mpq-eval --each q4_k --only loss -k list.yaml "$tiny" --resume few.jsonl
says "--resume: 'few.jsonl' is read as well"
# rows without names of their columns
grep -v '^#' stats.tsv >rows.tsv
run 1 mpq-score rows.tsv; one_line
says "rows.tsv:1: a row before the line of column names, such as #layer<TAB>unit<TAB>stat<TAB>value"
grep -v '^#' scores.tsv >rows.tsv
run 1 mpq-alloc -b 3 rows.tsv; one_line; says "such as #unit<TAB>score<TAB>params"
grep -v '^#' plan.tsv >rows.tsv
run 1 mpq-pack -p rows.tsv "$tiny"; one_line; says "such as #unit<TAB>type"
finish
