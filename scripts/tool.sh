#!/bin/sh
# Make .setup/NAME, an environment of its own for tools whose packages are none of ours or conflict
# with them, at the versions in scripts/NAME.txt.
#   tool.sh NAME
set -eu
cd "$(dirname "$0")/.."
name=$1
log=.setup/$name.log
mkdir -p .setup
{
    .venv/bin/python -m venv --clear ".setup/$name"
    env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX ".setup/$name/bin/python" -m pip install \
        --no-input --disable-pip-version-check -q -r "scripts/$name.txt"
} >"$log" 2>&1 || { cat "$log" >&2; echo "failed: $name (its output is above)" >&2; exit 1; }
