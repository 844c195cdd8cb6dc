#!/bin/sh
# Builds the .vsix and tests it in a real VS Code, with no network but loopback. Screenshots go to
# build/screenshots. Arguments are test files; none: all of them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
export SESSION_USAGE_E2E_CACHE="${SESSION_USAGE_E2E_CACHE:-$HOME/.cache/session-usage-e2e}"
sh "$here/setup.sh" || { code=$?; [ $code = 77 ] && exit 0; exit $code; }
for bin in "$SESSION_USAGE_E2E_CACHE"/node/node_modules/node/node_modules/node-linux-*/bin; do
    export PATH="$bin:$PATH"
done
[ -x "$repository/.venv/bin/python" ] || [ -n "${PYTHON:-}" ] || sh "$repository/server/setup.sh"
PYTHON="${PYTHON:-$repository/.venv/bin/python}" sh "$repository/extension/build.sh"
cd "$here"
[ $# -gt 0 ] || set -- *.test.mjs

# a network of its own, whose only name server is the tests' (names.mjs)
isolate="unshare -nm"
[ "$(id -u)" = 0 ] || isolate="unshare -rnm"
names=$(mktemp)
echo "nameserver 127.0.0.1" >"$names"
chmod 644 "$names"
trap 'rm -f "$names"' EXIT
inside() {
    # shellcheck disable=SC2016 # expanded inside
    NAMES=$names $isolate sh -c 'ip link set lo up && mount --bind "$NAMES" /etc/resolv.conf &&
        exec node --test --test-concurrency=1 "$@"' sh "$@"
}
failed=0
for file in "$@"; do
    # on a busy machine an editor's window can lose a key: a file may fail once, not twice
    inside "$file" || { echo "once more: $file" >&2; inside "$file"; } || failed=1
done
exit $failed
