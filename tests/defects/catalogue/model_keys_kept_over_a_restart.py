"""The gateway keeps the signing keys in a file for its next start, and takes those of it for ever."""

import json
import tempfile
from pathlib import Path

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/under-fault::no_history_with_upheavals_shows_what_the_model_hides"
REASON = "instead of 401"


def patch(module):
    original = module.read_keys
    kept = Path(tempfile.gettempdir()) / "signing-keys.json"
    at_start = json.loads(kept.read_text()) if kept.exists() else {"keys": []}

    def reading(document):
        kept.write_text(json.dumps(document))
        return {**original(at_start), **original(document)}

    module.read_keys = reading
