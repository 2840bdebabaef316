#!/usr/bin/env bash
# Puts a new key of a provider into service, with no failed request (operations guide, section 8.1). See --help.
set -euo pipefail
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$root exec "$python" -m scripts.rotation provider_key "$@"
