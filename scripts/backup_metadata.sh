#!/usr/bin/env bash
# Backs the metadata store up into the bucket (operations guide, section 5). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.dayops backup_metadata "$@"
