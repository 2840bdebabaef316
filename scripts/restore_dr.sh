#!/usr/bin/env bash
# Restores both stores from the bucket (operations guide, sections 4 and 5.1). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.dayops restore_dr "$@"
