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

    run 2 $tool --no-such-option; says "$tool: no option --no-such-option"
    says "try $tool --help"
    run 2 $tool --=x; says "no option --"
    run 2 $tool --no-such"$(printf '\n\033')option"; says "no option --no-such??option"
    run 2 $tool -o ''; says "-o takes FILE, not an empty name"
    run 2 $tool -Z; says "no option -Z"
    run 2 $tool -j 0; says "0: -j takes a whole number from 1 to 1024"
    run 2 $tool -j; says "-j takes N"
    run 2 $tool --quiet=yes; says "--quiet takes no value"
    run 2 $tool --progress=maybe; says "takes one of auto|always|never"
    run 2 env MPQ_THREADS=many $tool; says "MPQ_THREADS=many"

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
