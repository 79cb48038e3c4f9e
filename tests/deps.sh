#!/bin/sh
# Sees to what the build (or the tests, the demo) needs. On Debian and Ubuntu missing
# packages are installed where root or a password-free sudo allows it; otherwise the
# exact command to type is printed, and the exit status is 1.
#
# usage: deps.sh build|check|demo
set -u
missing=

# need DEBIAN-PACKAGE COMMAND...: the package is missing if the command fails
need() {
    package=$1; shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
lib() { need "$1" pkg-config --exists "$2"; }

build() {
    need gcc sh -c 'command -v "${CC:-cc}" || command -v gcc'
    need libc6-dev sh -c 'printf "#include <stdio.h>\n" | ${CC:-cc} -E -'
    need pkg-config command -v pkg-config
    lib libopenblas-dev openblas
    lib liblapacke-dev lapacke
    lib zlib1g-dev zlib
    lib libyaml-dev yaml-0.1
    lib libjansson-dev jansson
}

case ${1:-} in
build) build ;;
check) build; lib check check; need mandoc command -v mandoc ;;
demo) build
      need python3 command -v python3
      need python3-venv python3 -c 'import venv, ensurepip' ;;
*) echo "usage: deps.sh build|check|demo" >&2; exit 2 ;;
esac
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "deps.sh: not found, by their Debian names:$missing" >&2
    echo "deps.sh: install them with this system's package manager" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then as_root=
elif sudo -n true 2>/dev/null; then as_root="sudo -n"
else
    echo "deps.sh: missing:$missing" >&2
    echo "  sudo apt-get update && sudo $install" >&2
    exit 1
fi
echo "installing:$missing" >&2
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
# lists may be missing altogether (containers) or old: refresh only when needed
DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND
# shellcheck disable=SC2086
{ $as_root $install || { $as_root apt-get update && $as_root $install; }; } >"$log" 2>&1 || {
    tail -5 "$log" >&2
    echo "deps.sh: that failed; by hand: apt-get update && $install" >&2
    exit 1
}
