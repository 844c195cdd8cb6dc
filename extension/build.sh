#!/bin/sh
# Makes extension/copilot-usage.vsix, one file for all platforms: the extension and, for the
# user's own Python, the server with what it needs. Needs Python with pip, and npm.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python3}

rm -rf bundled
"$python" -m pip install -q --disable-pip-version-check --no-compile --no-deps \
    --target bundled/libs -r requirements.txt ..
# compiled parts are for one platform; all of these packages work without
find bundled/libs -name '*.so' -delete
find bundled/libs -name '*.pyd' -delete
rm -rf bundled/libs/bin bundled/libs/_yaml bundled/libs/session_usage/data/samples

[ -d node_modules ] || npm ci --no-audit --no-fund --silent
rm -rf dist
npm run -s build
npx --no-install vsce package --no-dependencies --allow-missing-repository --no-rewrite-relative-links \
    -o copilot-usage.vsix >/dev/null
ls -l copilot-usage.vsix
