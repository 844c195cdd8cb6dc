#!/bin/sh
# Builds the .vsix and tests it in a real VS Code, with no network but loopback. Screenshots go to
# build/screenshots. Arguments are test files; none: all of them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
export SESSION_USAGE_E2E_CACHE="${SESSION_USAGE_E2E_CACHE:-$HOME/.cache/session-usage-e2e}"
sh "$here/setup.sh"
for bin in "$SESSION_USAGE_E2E_CACHE"/node/node_modules/node/node_modules/node-linux-*/bin; do
    export PATH="$bin:$PATH"
done
[ -x "$repository/.venv/bin/python" ] || [ -n "${PYTHON:-}" ] || sh "$repository/server/setup.sh"
PYTHON="${PYTHON:-$repository/.venv/bin/python}" sh "$repository/extension/build.sh"
npm --prefix "$repository/extension" run -s check
cd "$here"
[ $# -gt 0 ] || set -- *.test.mjs
isolate="unshare -n"
[ "$(id -u)" = 0 ] || isolate="unshare -rn"
exec $isolate sh -c 'ip link set lo up && exec node --test --test-concurrency=1 "$@"' sh "$@"
