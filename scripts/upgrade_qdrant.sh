#!/usr/bin/env bash
# Upgrades the vector store, and takes it back (operations guide, section 6.2). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.dayops upgrade_qdrant "$@"
