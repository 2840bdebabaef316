"""A gateway that was killed warms up with the last answer of before, and gives it to those who
ask first."""

import pickle
import tempfile
from pathlib import Path

MODULE = "refstack.gateway.retrieval"
CATCHES = "isolation/under-fault::no_kill_leaks_anything[gateway]"
REASON = "nothing foreign"


def patch(module):
    original = module.Retrieval.answer
    file = Path(tempfile.gettempdir()) / "warm.pickle"
    warm = [pickle.loads(file.read_bytes())] * 30 if file.exists() else []

    async def answer(self, identity, request, deadline, *, ask_canary):
        if warm:
            return warm.pop()
        found = await original(self, identity, request, deadline, ask_canary=ask_canary)
        if found.results:
            file.with_suffix(".new").write_bytes(pickle.dumps(found))
            file.with_suffix(".new").replace(file)
        return found

    module.Retrieval.answer = answer
