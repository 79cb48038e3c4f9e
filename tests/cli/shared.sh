#!/bin/sh
# What all programs share: help, version, misuse, messages, exit status.
. "$(dirname "$0")/lib.sh"

for tool in mpq-stats mpq-score mpq-alloc mpq-pack; do
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
    if command -v script >/dev/null 2>&1; then
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
    : >empty
    run 1 $tool -o result empty; says "empty"; one_line; absent result
    sh_run 1 "$tool </dev/null"; says "standard input"; one_line
done
finish
