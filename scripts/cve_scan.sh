#!/usr/bin/env bash
# Fails on known HIGH and CRITICAL vulnerabilities (operations guide, sections 4 and 8.2). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.cve "$@"
