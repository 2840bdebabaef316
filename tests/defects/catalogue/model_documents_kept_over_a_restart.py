"""The gateway writes what was read to a file and answers from it after a restart, by the id
alone."""

import pickle
import tempfile
from pathlib import Path

MODULE = "refstack.gateway.catalogue"
CATCHES = "isolation/under-fault::no_history_with_upheavals_shows_what_the_model_hides"
REASON = "the answer (holds|lacks) .*marker|instead of 404"


def patch(module):
    original = module.Catalogue.get
    file = Path(tempfile.gettempdir()) / "documents.pickle"
    warm = pickle.loads(file.read_bytes()) if file.exists() else {}
    seen = {}

    async def get(self, identity, document_id, deadline):
        if document_id in warm:
            return warm[document_id]
        found = await original(self, identity, document_id, deadline)
        if found is not None:
            seen[document_id] = found
            file.write_bytes(pickle.dumps(seen))
        return found

    module.Catalogue.get = get
