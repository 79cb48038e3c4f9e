#!/bin/sh
# The examples of the manual pages, run as they are printed, on the shipped model. Lines
# of a block that begin with "$ " are commands, those that go on further in are the rest
# of them, and all others what they print on standard output (where a page leaves that
# out, only the exit status counts).
. "$(dirname "$0")/lib.sh"
tiny=$top/examples/tiny-model/tiny-model.gguf

# what examples call their inputs
mkdir work; cd work || exit 1
ln -s "$tiny" model.gguf; ln -s "$tiny" m.gguf
ln -s "$top/examples/tiny-model/text.valid.txt" wiki.txt
ln -s "$top/examples/tiny-model/problems.eval.jsonl" sums.jsonl
ln -s "$top/examples/tiny-model/text.calib.txt" text.txt
ln -s "$top/examples/tiny-model/problems.calib.jsonl" problems.jsonl
mpq-stats -o stats.tsv "$tiny"
mpq-score -o scores.tsv stats.tsv
mpq-score -t q2_k,q3_k,q4_k,q6_k -o damage.tsv stats.tsv
# probes, as if measured: damages of these types, and another order for the task
for m in ppl loss; do
    mpq-score -t q2_k,q4_k stats.tsv | awk -F'\t' -v OFS='\t' -v m=$m '
        /^##(mpq|end)/ { next } /^##/ { print; next }
        /^#/ { print "#unit", "type", "bits", "params", "task", "metric", "base",
                     "value", "delta", "se"; next }
        { d = $5 / 1e6 / (m == "loss" ? 1 + NR % 3 : 1)
          print $1, $2, $3, $4, "text", m, 10, 10 + d, d, d / 9 }' >$m.tsv
done
mv loss.tsv task.tsv
mpq-alloc -q -b 3 -t q2_k,q4_k -o plan.tsv scores.tsv
mpq-pack -p plan.tsv -o small.gguf "$tiny"

# blocks PAGE: each block of its EXAMPLES as NUMBER.sh and NUMBER.want
blocks() {
    awk '/^\.Sh/ { examples = $2 == "EXAMPLES" }
        !examples { next }
        /^\.Bd/ { n++; inside = 1; command = 0; next }
        /^\.Ed/ { inside = 0; next }
        /^\.Dl/ { n++; sub(/^\.Dl /, ""); print_line(); next }
        inside { print_line() }
        function print_line() {
            gsub(/\\e/, "\\"); gsub(/\\-/, "-"); gsub(/\\\(ha/, "^")
            if (sub(/^\$ /, "")) command = 1
            else if (command && /^[> ]/) sub(/^>/, "")
            else command = 0
            print > (n (command ? ".sh" : ".want"))
        }' "$1"
}
for page in "$top"/man/*.[157]; do
    rm -f ./[0-9]*.sh ./[0-9]*.want
    blocks "$page"
    for script in [0-9]*.sh; do
        [ -e "$script" ] || continue # a page without commands
        shown=${script%.sh}.want
        if grep -q '^llama-' "$script" && ! command -v llama-quantize >/dev/null; then
            skip "$(basename "$page"): llama-quantize is not there"
            continue
        fi
        run 0 sh -e "./$script"
        [ -e "$shown" ] || continue # the page leaves out what it prints
        # what is said on standard error may be shown too; there, of other processors and
        # libraries, numbers may have other last digits: any number does for a number
        if cmp -s out "$shown"; then pass; continue; fi
        cat err out | sed 's/[0-9][0-9.]*\(e[+-][0-9]*\)*/N/g' >masked
        if sed 's/[0-9][0-9.]*\(e[+-][0-9]*\)*/N/g' "$shown" | cmp -s - masked; then pass; else
            fail "$(basename "$page"): $(head -1 "$script") ... prints:"
            cat err out | diff "$shown" - | head -8 | sed 's/^/    /'
        fi
    done
done
cd ..
finish
