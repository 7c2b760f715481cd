#!/bin/sh
# Make .setup/checkov, an environment of its own for checkov, whose packages conflict with ours.
set -eu
cd "$(dirname "$0")/.."
log=.setup/checkov.log
mkdir -p .setup
{
    .venv/bin/python -m venv --clear .setup/checkov
    env -u PIP_USER -u PIP_TARGET -u PIP_PREFIX .setup/checkov/bin/python -m pip install \
        --no-input --disable-pip-version-check -q -r scripts/checkov.txt
} >"$log" 2>&1 || { cat "$log" >&2; echo "failed: checkov (its output is above)" >&2; exit 1; }
