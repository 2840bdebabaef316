"""Every fault of the catalogue has a measured example in a test module beside this one."""

from __future__ import annotations

import importlib
from pathlib import Path

from chaos.faults import FAULTS

# Each `test_*faults*.py` here says in EXAMPLES (slug: arguments) which faults it measures.
MODULES = sorted(path.stem for path in Path(__file__).parent.glob("test_*faults*.py"))


def test_there_is_an_example_of_every_fault_and_of_nothing_else() -> None:
    examples = [
        slug for name in MODULES for slug in getattr(importlib.import_module(name), "EXAMPLES", {})
    ]
    assert set(examples) == set(FAULTS)
    assert len(examples) == len(set(examples)), "a fault is measured in one place"
