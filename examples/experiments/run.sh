#!/bin/sh
# The experiments of README.md, on the tiny model or on MODEL with the variables of
# ../tasa/Makefile, given as arguments: NAME=VALUE...
#
#   sh run.sh tau                 (a) do perplexity and task rank the layers alike?
#   sh run.sh shares              (b) quality by the share of the second source
#   sh run.sh methods [BITS...]   (c) all methods at each budget
set -eu
cd "$(dirname "$0")/../tasa"
what=${1:?tau, shares or methods}; shift
tasa() { make -s --no-print-directory "$@"; }
rows() { grep -v '^#' | sed "s/^/$1	/"; }
bits= vars=
columns='plan\tbytes\tpredicted\tem\tse\tloss\tse\tppl\tse\tgain\tse' # by METRIC=em
for a; do case $a in *=*) vars="$vars $a" ;; *) bits="$bits $a" ;; esac; done
case $what in
tau)
    tasa tau $vars | grep -v '^##' ;;
shares)
    printf "point\t$columns\n"
    for point in 1 2 3 4 5; do
        tasa report POINT=$point CONTROLS= OTHERS= $vars | rows $point
    done ;;
methods)
    printf "bits\t$columns\n"
    for b in ${bits:-3 3.25 3.5 3.75 4}; do
        tasa report BITS=$b OTHERS='text nsds nv se mse zd ewq kurtboost' $vars | rows $b
    done ;;
esac
