#!/usr/bin/env bash
# Backs the vector store up into the bucket (operations guide, sections 4 and 5). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.dayops backup_qdrant "$@"
