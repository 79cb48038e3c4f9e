#!/bin/sh
# What a compiler does not check: formatting, man pages, and the directions in which
# folders may include each other:
#   cmd -> method -> model -> quant -> num -> base     and  quant -> fmt -> base
set -u
cd "$(dirname "$0")/.." || exit 1
status=0
bad() { echo "lint: $*"; status=1; }

# allowed FOLDER OTHER...: files of lib/FOLDER include only their own and OTHER
allowed() {
    folder=$1; shift
    pattern=$(echo "$folder $*" | tr ' ' '|')
    grep -nE '^#include "[a-z]+/' lib/"$folder"/*.[ch] 2>/dev/null |
        grep -vE "\"($pattern)/" >/tmp/lint.$$ && bad "arrow drawn the wrong way:" &&
        cat /tmp/lint.$$
    rm -f /tmp/lint.$$
}
allowed base
allowed num base
allowed fmt base
allowed quant num fmt base
allowed model quant num fmt base
allowed method model quant num fmt base

# header FOLDER: only lib/FOLDER includes it
only() {
    grep -ln "#include <$1" lib/*/*.[ch] cmd/*.[ch] | grep -v "^lib/$2/" |
        while read -r f; do echo "lint: $f includes $1, which is lib/$2's"; done |
        grep . && status=1
}
only cblas.h num; only lapacke.h num; only zlib.h fmt; only yaml.h fmt; only jansson.h fmt
only pcre2.h fmt

# An assertion within $() is counted in a shell that is gone before the sum is made.
grep -nE '\$\((run|sh_run|says|prints|same|equal) ' tests/cli/*.sh | grep -v '^tests/cli/lib.sh' |
    sed 's/^/lint: an assertion that cannot fail: /' | grep . && status=1

# clang before 18 gives a function that it picks a version of a global symbol of another
# name: no other file may call it, and no two may be called alike.
grep -n '^MPQ_CLONES ' lib/*/*.c | grep -v 'MPQ_CLONES static ' |
    sed 's/^/lint: a function with MPQ_CLONES that is not static: /' | grep . && status=1
grep -h -A1 '^MPQ_CLONES ' lib/*/*.c | sed -n 's/^\([a-z_0-9]*\)(.*/\1/p' | sort | uniq -d |
    while read -r f; do echo "lint: two functions with MPQ_CLONES are called $f"; done |
    grep . && status=1

if command -v clang-format >/dev/null; then
    clang-format --dry-run -Werror cmd/*.[ch] lib/*/*.[ch] tests/unit/*.[ch] \
        tests/fuzz/*.[ch] >/tmp/lint.$$ 2>&1 || {
        bad "formatting differs from .clang-format (make format):"
        grep -o '^[^:]*:[0-9]*' /tmp/lint.$$ | cut -d: -f1 | sort -u; }
    rm -f /tmp/lint.$$
else
    echo "lint: clang-format is not installed: formatting not checked"
fi
if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning man/*.[157] || bad "man pages"
else
    echo "lint: mandoc is not installed: man pages not checked"
fi
exit $status
