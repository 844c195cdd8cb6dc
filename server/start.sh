#!/bin/sh
# Sets everything up and shows what this machine's sessions cost (sample sessions if it has none).
set -eu
cd "$(dirname "$0")/.."
sh server/setup.sh
if .venv/bin/session-usage list --limit 1 --json | grep -q '"id"'; then
    exec .venv/bin/session-usage report --by agent,model
fi
exec .venv/bin/session-usage demo
