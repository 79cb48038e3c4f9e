# For the tests of the programs in real pipes. A test sources this file and calls the
# functions below; every assertion counts once. The programs are taken from $BIN.
# Each test runs in a folder of its own, removed at the end; $top is the project.

top=$(cd "$(dirname "$0")/../.." && pwd)
BIN=${BIN:-$top/bin}
PATH=$BIN:$PATH
LC_ALL=C
export PATH LC_ALL
unset MAKEFLAGS MFLAGS # of a make that runs the tests: those in them are others
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
cd "$tmp" || exit 1
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); echo "FAIL: $*"; }
skip() { skipped=$((skipped + 1)); echo "skipped: $*"; }

# run STATUS COMMAND...: runs it with output in ./out and ./err, asserts the exit status.
# Never within $(): what is counted there is lost.
run() {
    want=$1; shift
    "$@" >out 2>err; got=$?
    if [ "$got" = "$want" ]; then pass; else
        fail "exit $got instead of $want: $*"; sed 's/^/    /' err | head -5; fi
}
# sh_run STATUS 'PIPELINE': the same for a line of shell.
sh_run() { run "$1" sh -c "$2"; }
# says TEXT: standard error of the last run holds TEXT.
says() {
    if grep -qF -- "$1" err; then pass; else
        fail "does not say '$1' but: $(head -3 err)"; fi
}
# one_line: the last run said exactly one line.
one_line() {
    if [ "$(wc -l <err)" = 1 ]; then pass; else fail "not one line: $(cat err)"; fi
}
# silent: the last run said nothing.
silent() { if [ ! -s err ]; then pass; else fail "not silent: $(head -3 err)"; fi; }
# prints TEXT: standard output of the last run holds TEXT.
prints() { if grep -qF -- "$1" out; then pass; else fail "does not print '$1'"; fi; }
# same A B: equal files.
same() { if cmp -s "$1" "$2"; then pass; else fail "$1 and $2 differ"; fi; }
# absent FILE...: none of them is there, nor an unfinished FILE.XXXXXX.
absent() {
    for f; do
        if [ -e "$f" ] || ls "$f".?????? >/dev/null 2>&1; then fail "$f was left"; else pass; fi
    done
}
# equal WANT GOT [WHAT]
equal() { if [ "$1" = "$2" ]; then pass; else fail "${3:-value}: $2 instead of $1"; fi; }

# finish: the closing line; call it last.
finish() {
    echo "$(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}
