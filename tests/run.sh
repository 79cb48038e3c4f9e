#!/bin/sh
# Runs everything built under $1: unit tests, fuzz corpora, the tools in real pipes.
# Every failing part is named at the end; the last line is the sum. SKIP="each tune" leaves
# out tests/cli/each.sh and tune.sh: they take minutes under sanitizers.
set -u
b=$1
top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top" || exit 1
BIN=$top/$b; export BIN
passed=0 failed=0 broken=
count() { # count NAME STATUS
    if [ "$2" = 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1)); broken="$broken $1"; fi
}
for t in "$b"/tests/t_*; do
    [ -x "$t" ] || continue
    case $t in *.d|*.o) continue ;; esac
    "$t"; count "$(basename "$t")" $?
done
for f in "$b"/fuzz/f_*; do
    [ -x "$f" ] || continue
    name=$(basename "$f"); name=${name#f_}
    "$f" tests/fuzz/corpus/"$name"/* >/dev/null; count "corpus $name" $?
done
for t in tests/cli/*.sh; do
    [ "$t" = tests/cli/lib.sh ] && continue
    case " ${SKIP:-} " in *" $(basename "$t" .sh) "*) echo "skipped: $t"; continue ;; esac
    sh "$t"; count "$t" $?
done
[ -z "$broken" ] || echo "failed:$broken"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
