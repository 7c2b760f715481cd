#!/bin/sh
# Make .setup/emulator, the virtual environment of the AWS emulator that `make deploy-test` deploys to.
# It is apart from .venv: it pins its own botocore, and the functions that it runs must find nothing
# of ours but what was deployed. tests/deployment/constraints.txt has every version.
#   emulator.sh make    create it
#   emulator.sh lock    write the constraints anew, for the packages below
set -eu
cd "$(dirname "$0")/.."
constraints=tests/deployment/constraints.txt
log=.setup/emulator.log
# The pinned emulator; what it needs to answer CloudWatch's CBOR; what Lambda's own Python has; and
# this machine's build of what the provisioner's zip has for ARM64.
packages='ministack==1.5.33 cbor2 boto3 cryptography'

die() { echo "$*" >&2; exit 1; }

quietly() {
    "$@" >"$log" 2>&1 || { cat "$log" >&2; die "failed: $1 (its output is above)"; }
}

pip_install() {
    # shellcheck disable=SC2086
    env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX "$1/bin/python" -m pip install --no-input --disable-pip-version-check -q \
        $2 $packages
}

make_venv() {
    echo '  installing the packages in tests/deployment/constraints.txt' >&2
    quietly .venv/bin/python -m venv --clear .setup/emulator
    quietly pip_install .setup/emulator "-c $constraints"
}

lock() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 1' INT TERM
    quietly .venv/bin/python -m venv "$scratch/venv"
    quietly pip_install "$scratch/venv" ''
    {
        echo '# The AWS emulator and all that it needs, exactly. Written by `sh scripts/emulator.sh lock`.'
        "$scratch/venv/bin/python" -m pip --disable-pip-version-check freeze
    } >"$scratch/constraints.txt"
    cp "$scratch/constraints.txt" "$constraints"
}

mkdir -p .setup
case ${1:-} in
    make) make_venv ;;
    lock) lock ;;
    *) die "usage: emulator.sh make|lock" ;;
esac
