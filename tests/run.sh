#!/bin/sh
# Installs what the tests need and passes all checks.
set -eu
cd "$(dirname "$0")/.."
sh server/setup.sh dev
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
.venv/bin/lint-imports
exec .venv/bin/python -m pytest
