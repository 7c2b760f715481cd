#!/bin/sh
# Make .venv with the package and all that its development needs, at the versions in constraints.txt.
#   venv.sh make    create .venv, or bring it up to date
#   venv.sh lock    write constraints.txt anew from what pyproject.toml allows today
# PYTHON=/path/to/python chooses the Python to start from.
set -eu
cd "$(dirname "$0")/.."
log=.setup/venv.log
mkdir -p .setup

say() { echo "  $*" >&2; }
die() { echo "$*" >&2; exit 1; }

# Run quietly; show all that it said if it fails.
quietly() {
    "$@" >"$log" 2>&1 || { cat "$log" >&2; die "failed: $1 (its output is above)"; }
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Print a Python >= 3.11, rather one that can make environments.
find_python() {
    without=
    for candidate in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3 python3.14; do
        new_enough "$candidate" || continue
        if has_venv "$candidate"; then echo "$candidate"; return; fi
        without=${without:-$candidate}
    done
    [ -n "$without" ] || die "Python 3.11 or newer is needed and was not found: install it, or name it: make PYTHON=/path/to/python3"
    add_venv "$without"
    echo "$without"
}

# Debian and Ubuntu keep venv in a package of its own.
add_venv() {
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "$1 cannot make virtual environments. Install the package $package: sudo apt-get install $package"
    fi
    say "installing $package"
    quietly apt-get -q update
    quietly env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$package"
    has_venv "$1" || die "$1 still cannot make virtual environments, with $package installed"
}

pip_install() {
    env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX "$1/bin/python" -m pip install --no-input --disable-pip-version-check -q \
        $2 -e '.[dev]'
}

make_venv() {
    root=$(pwd -P)
    if ! new_enough .venv/bin/python || { [ -f .venv/root ] && [ "$(cat .venv/root)" != "$root" ]; }; then
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        quietly "$python" -m venv --clear .venv
    fi
    say "installing the packages in constraints.txt (a minute or so the first time)"
    quietly pip_install .venv '-c constraints.txt'
    pwd -P >.venv/root
}

lock() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' INT TERM
    quietly .venv/bin/python -m venv "$scratch/venv"
    quietly pip_install "$scratch/venv" ''
    {
        echo '# Every package that development installs, exactly. Written by `make lock`.'
        "$scratch/venv/bin/python" -m pip --disable-pip-version-check freeze --exclude-editable 2>/dev/null
    } >"$scratch/constraints.txt"
    cp "$scratch/constraints.txt" constraints.txt
    say "constraints.txt: $(grep -c == constraints.txt) packages"
}

case ${1:-} in
    make) make_venv ;;
    lock) lock ;;
    *) die "usage: venv.sh make|lock" ;;
esac
