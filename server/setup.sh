#!/bin/sh
# Makes .venv with the package in it; with the argument "dev" also what its tests need.
# Works on a fresh Debian-like machine with Python >= 3.10; safe to run again.
set -eu
cd "$(dirname "$0")/.."

for python in python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        break
    fi
    python=
done
[ -n "$python" ] || { echo "Python 3.10 or newer is needed" >&2; exit 1; }

if [ ! -x .venv/bin/pip ]; then
    rm -rf .venv
    if ! "$python" -m venv .venv >/dev/null 2>&1; then
        # Debian ships venv apart
        rm -rf .venv
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
            "$python" -m venv .venv
        else
            "$python" -m pip install --user -q virtualenv
            "$python" -m virtualenv -q .venv
        fi
    fi
fi

.venv/bin/pip install -q --disable-pip-version-check --upgrade 'pip>=25.1'
if [ "${1:-}" = dev ]; then
    .venv/bin/pip install -q -e . --group dev
else
    .venv/bin/pip install -q -e .
fi
.venv/bin/python -m compileall -q server/session_usage
