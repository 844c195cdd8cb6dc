#!/bin/sh
# Installs what the tests in the real VS Code need: Chromium and a compiler-free code-server with its
# own Node. Works on a fresh Debian-like machine; about 1 GB goes to the cache folder, nothing here.
# Ends with 77 where Chromium or the tools around it can neither be found nor installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SESSION_USAGE_E2E_CACHE:-$HOME/.cache/session-usage-e2e}
code_server=4.139.1
node=24.21.0

have() { command -v "$1" >/dev/null 2>&1; }

complete() { have "${CHROMIUM:-chromium}" && have ip && have npm; }

if ! complete && have apt-get; then
    packages="chromium fonts-dejavu-core iproute2"
    have npm || packages="$packages npm"
    sudo=
    [ "$(id -u)" = 0 ] || sudo="sudo -n"
    # shellcheck disable=SC2086 # lists of words
    { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $packages; } \
        >/dev/null 2>&1 || true
fi
if ! complete; then
    echo "tests/vscode skipped: Chromium, ip or npm is missing and cannot be installed (apt-get as root)" >&2
    exit 77
fi

if ! unshare -nm true 2>/dev/null && ! unshare -rnm true 2>/dev/null; then
    echo "tests/vscode skipped: no network namespace of its own can be made here (unshare)" >&2
    exit 77
fi

quiet="--no-audit --no-fund --silent"
# without native builds: logs and the agent host are missing, terminals and file watching work
install_editor() {
    rm -rf "$cache" && mkdir -p "$cache/node" "$cache/code-server" &&
        echo '{"private": true}' >"$cache/node/package.json" &&
        echo '{"private": true}' >"$cache/code-server/package.json" &&
        npm install --prefix "$cache/node" $quiet "node@$node" || return 1
    for bin in "$cache"/node/node_modules/node/node_modules/node-linux-*/bin; do
        PATH=$bin:$PATH
    done
    npm install --prefix "$cache/code-server" $quiet --ignore-scripts "code-server@$code_server" ||
        return 1
    for folder in . extensions; do
        (cd "$cache/code-server/node_modules/code-server/lib/vscode/$folder" &&
            npm install $quiet --omit=dev --ignore-scripts) || return 1
    done
    echo "$code_server $node" >"$cache/versions"
}
# shellcheck disable=SC2086 # lists of words
if { [ "$(cat "$cache/versions" 2>/dev/null)" != "$code_server $node" ] && ! install_editor; } ||
    ! (cd "$here" && npm ci $quiet); then
    echo "tests/vscode skipped: code-server, Node and Playwright cannot be fetched from npm" >&2
    exit 77
fi
