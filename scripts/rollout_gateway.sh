#!/usr/bin/env bash
# Rolls a new gateway out beside the old one, and back (operations guide, section 6.1). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.dayops rollout_gateway "$@"
