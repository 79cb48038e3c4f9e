#!/bin/sh
# Turns the rules of the runtimes into a C file, so that the programs carry them along.
# Written as numbers: C99 promises string literals of 4,095 bytes only.
#
# usage: embed.sh FILE.yaml... > rules_data.c
set -eu
cat <<'END'
/* Made by lib/rules/embed.sh from lib/rules; not to be edited. */
#include "model/rules.h"

END
n=0
for f; do
    if LC_ALL=C grep -q '[^ -~]' "$f"; then
        echo "embed.sh: $f: only printable ASCII, without tabs" >&2; exit 1
    fi
    echo "static const char text_$n[] = {"
    od -An -v -tu1 "$f" | sed 's/  *\([0-9]\)/ \1/g; s/\([0-9]\) /\1, /g; s/$/,/; s/^ */    /'
    echo "    0"
    echo "};"
    n=$((n + 1))
done
echo
echo "const struct mpq_rule_file mpq_rule_files[] = {"
n=0
for f; do
    name=${f##*/}
    echo "    { \"${name%.yaml}\", text_$n, sizeof text_$n - 1 },"
    n=$((n + 1))
done
echo "    { 0, 0, 0 },"
echo "};"
