"""The gateway keeps every signing key in a file for its next start, and takes those of it for
ever."""

import json
import tempfile
from pathlib import Path

MODULE = "refstack.gateway.tokens"
CATCHES = "isolation/under-fault::no_history_with_upheavals_shows_what_the_model_hides"
REASON = "instead of 401"


def patch(module):
    original = module.read_keys
    file = Path(tempfile.gettempdir()) / "signing-keys.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    at_start = original({"keys": [*known.values()]})

    def reading(document):
        known.update((key["kid"], key) for key in document["keys"])
        file.write_text(json.dumps(known))
        return {**at_start, **original(document)}

    module.read_keys = reading
