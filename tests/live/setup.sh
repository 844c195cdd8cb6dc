#!/bin/sh
# Fetches what the tests of live sessions run against: the real Copilot CLI (npm) and its SDK
# (PyPI), into a cache folder outside the repository. Safe to run again. Exit code 1: not reachable.
#   PYTHON              the interpreter that runs the tests (>= 3.11 for the SDK)
#   SESSION_USAGE_LIVE  the folder; default ~/.cache/session-usage/live
set -eu
python=${PYTHON:-python3}
cache=${SESSION_USAGE_LIVE:-${XDG_CACHE_HOME:-$HOME/.cache}/session-usage/live}
cli=1.0.102
sdk=1.0.27
mkdir -p "$cache"

if [ ! -e "$cache/cli-$cli" ]; then
    command -v npm >/dev/null || { echo "live tests: there is no npm" >&2; exit 1; }
    rm -rf "$cache/cli"
    npm install --prefix "$cache/cli" --no-audit --no-fund --silent \
        --fetch-retries=1 --fetch-retry-maxtimeout=2000 "@github/copilot@$cli" || {
        echo "live tests: npm cannot fetch @github/copilot@$cli" >&2
        exit 1
    }
    : >"$cache/cli-$cli"
fi
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ ! -e "$cache/sdk-$version/$sdk" ]; then
    rm -rf "$cache/sdk-$version"
    # the SDK must not fetch a CLI of its own
    COPILOT_SKIP_CLI_DOWNLOAD=1 "$python" -m pip install --quiet --disable-pip-version-check \
        --target "$cache/sdk-$version" "github-copilot-sdk==$sdk" || {
        echo "live tests: pip cannot fetch github-copilot-sdk==$sdk for Python $version" >&2
        exit 1
    }
    : >"$cache/sdk-$version/$sdk"
fi
