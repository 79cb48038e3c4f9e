#!/bin/sh
# Sees to what the build (or the tests, the demo) needs. On Debian and Ubuntu missing
# packages are installed where root or a password-free sudo allows it; otherwise the
# exact command to type is printed, and the exit status is 1. On other systems the
# command for their package manager is printed, where the names are known.
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

# LAPACKE is a library of its own, or in OpenBLAS.
has_lapacke() {
    pkg-config --exists lapacke && return
    # shellcheck disable=SC2046
    printf '#include <lapacke.h>\nint main(void) { return LAPACKE_dsyevd == 0; }\n' |
        ${CC:-cc} -x c - -o /dev/null $(pkg-config --cflags --libs openblas)
}

build() {
    need gcc sh -c 'command -v "${CC:-cc}" || command -v gcc'
    need libc6-dev sh -c 'printf "#include <stdio.h>\n" | ${CC:-cc} -E -'
    need pkg-config command -v pkg-config
    lib libopenblas-dev openblas
    need liblapacke-dev has_lapacke
    lib zlib1g-dev zlib
    lib libyaml-dev yaml-0.1
    lib libjansson-dev jansson
    lib libpcre2-dev libpcre2-8
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

# Debian's name, then Fedora's, Arch's, Homebrew's; - where the system brings it along
others() {
    cat <<END
gcc             gcc                 gcc      -
libc6-dev       glibc-devel         glibc    -
pkg-config      pkgconf-pkg-config  pkgconf  pkgconf
libopenblas-dev openblas-devel      openblas openblas
liblapacke-dev  lapack-devel        lapacke  lapack
zlib1g-dev      zlib-devel          zlib     zlib
libyaml-dev     libyaml-devel       libyaml  libyaml
libjansson-dev  jansson-devel       jansson  jansson
libpcre2-dev    pcre2-devel         pcre2    pcre2
check           check-devel         check    check
mandoc          mandoc              mandoc   mandoc
python3         python3             python   python3
python3-venv    python3             python   python3
END
}
# other COLUMN COMMAND...: what to type where that package manager is there
other() {
    column=$1; shift
    command -v "$1" >/dev/null 2>&1 || return 1
    names=$(others | awk -v missing="$missing" -v column="$column" '
        BEGIN { n = split(missing, m, " "); for (i = 1; i <= n; i++) wanted[m[i]] = 1 }
        ($1 in wanted) && $column != "-" && !seen[$column]++ { printf " %s", $column }')
    echo "deps.sh: missing, by Debian's names:$missing; here probably:" >&2
    echo "  $*$names" >&2
}

install="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    other 2 dnf install || other 3 pacman -S --needed || {
        other 4 brew install &&
            echo "  export PKG_CONFIG_PATH=\"\$(brew --prefix openblas)/lib/pkgconfig:\$(brew --prefix lapack)/lib/pkgconfig\"" >&2
    } || {
        echo "deps.sh: missing, by Debian's names:$missing" >&2
        echo "deps.sh: install them with this system's package manager" >&2
    }
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
