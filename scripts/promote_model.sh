#!/usr/bin/env bash
# Puts another embedding model into service, and takes it back (operations guide, section 6.3). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.dayops promote_model "$@"
