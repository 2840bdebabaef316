"""playbook/errors: nobody is sent to restart what works."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from chaos.playbooks.errors import ERRORS
from fixtures.faults import Inject
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

BROKEN_LINKS: dict[str, tuple[str, dict[str, Any]]] = {
    "a vector store that is well, behind a broken link": (
        "http-status",
        {"link": "gateway-vectordb", "status": 500},
    ),
    "a metadata store that is well, behind a cut link": ("down", {"link": "gateway-metadata"}),
}


@conformance("playbook/errors", since="0.2")
@needs("read", "fault", roles=["edge", "faultproxy", "metadata", "vectordb"])
@pytest.mark.parametrize("case", BROKEN_LINKS)
def test_a_broken_link_calls_for_no_restart(
    case: str, stack: Stack, faults: Inject, evidence: Evidence
) -> None:
    """Where a part works and only the way to it is broken, no step of the playbook that restarts
    a part MUST call for that: it would end the service of a part that is well."""
    slug, arguments = BROKEN_LINKS[case]
    with faults(slug, **arguments), ThreadPoolExecutor(len(ERRORS.steps)) as threads:
        looks = {step.slug: threads.submit(step.condition, stack) for step in ERRORS.steps}
        seen = {slug: each.result() for slug, each in looks.items()}
    wrong = {name: each.detail for name, each in seen.items() if each.ok}
    evidence.require(
        f"{case}: no restart is called for",
        not wrong,
        expected="every condition false",
        actual=wrong or {name: each.detail for name, each in seen.items()},
    )
