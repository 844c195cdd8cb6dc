#!/bin/sh
# Installs what the tests need and passes all checks.
set -eu
cd "$(dirname "$0")/.."
sh server/setup.sh dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
(cd extension && npm ci --no-audit --no-fund --silent && npm run -s check)
# the real Copilot CLI and its SDK; without them the tests of live sessions are skipped
PYTHON=.venv/bin/python sh tests/live/setup.sh || echo "tests/live will be skipped" >&2
PYTHON=$PWD/.venv/bin/python sh tests/vscode/run.sh
exec .venv/bin/python -m pytest
