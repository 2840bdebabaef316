#!/usr/bin/env bash
# Rotates the key that signs tokens, with no failed request (operations guide, section 8.1). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.rotation signing_key "$@"
