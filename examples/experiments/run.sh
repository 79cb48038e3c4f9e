#!/bin/sh
# The experiments of README.md, on the tiny model or on MODEL with the variables of
# ../tasa/Makefile, given as arguments: NAME=VALUE... (paths from that folder, or absolute)
#
#   sh run.sh tau                 (a) do text and task rank units alike?
#   sh run.sh shares              (b) quality by the share of the second source
#   sh run.sh methods [BITS...]   (c) all methods at each budget
set -eu
cd "$(dirname "$0")/../tasa"
what=${1:?tau, shares or methods}; shift
bits= n=$#
while [ "$n" -gt 0 ]; do # the variables stay arguments
    case $1 in *=*) set -- "$@" "$1" ;; *) bits="$bits $1" ;; esac
    shift; n=$((n - 1))
done
tasa() { make -s --no-print-directory "$@"; }
# rows NAME VALUE: a report's rows behind a column NAME, the header with the first
head=1
rows() {
    awk -v OFS='\t' -v name="$1" -v value="$2" -v head="$head" '
        /^#plan/ { if (head) print name, substr($0, 2) } !/^#/ { print value, $0 }' "$report"
    head=
}
report=$(mktemp)
trap 'rm -f "$report"' EXIT
case $what in
tau)
    tasa tau "$@" | grep -v '^##' ;;
shares)
    for point in 1 2 3 4 5; do
        tasa report POINT=$point CONTROLS= OTHERS= "$@" >"$report"
        rows point $point
    done ;;
methods)
    for b in ${bits:-3 3.25 3.5 3.75 4}; do
        tasa report BITS="$b" OTHERS='text nsds nv se mse zd ewq kurtboost' "$@" >"$report"
        rows bits "$b"
    done ;;
*)
    echo "run.sh: $what: tau, shares or methods" >&2; exit 2 ;;
esac
