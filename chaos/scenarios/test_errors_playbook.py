"""playbook/errors: the restart, not luck or time, ends a spike of server errors."""

from __future__ import annotations

import pytest

from chaos.playbooks.errors import ERRORS
from fixtures.incident import Cause, Errors, Incident
from fixtures.scenario import Scenario
from harness import conformance, needs

ALERT = "RAG_5xx_Ratio_High"
MOST = 0.05
"""The share of failed requests at which the alert pages (guide 9.2 names no figure)."""

ROLES = ("edge", "metrics", "alerts", "pager", "metadata", "vectordb")


def error_incident(*causes: Cause) -> Incident:
    """Return the incident of these causes that the alert on server errors tells of."""
    return Incident(causes=causes, alert=ALERT, objective=Errors(MOST), playbook=ERRORS.slug)


@conformance("playbook/errors", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(420)
def test_restart_ends_a_hung_metadata_store(scenario: Scenario) -> None:
    """When the metadata store hangs, the alert on server errors MUST be delivered and its restart
    MUST end them, while without it they stay; no acknowledged write is lost meanwhile."""
    hung = Cause("pause", {"role": "metadata"}, ended_by="metadata-restart")
    scenario.prove(error_incident(hung), ERRORS.step("metadata-restart"))


@conformance("playbook/errors", since="0.2", profiles=("full",))
@needs("read", "write", "fault", "restart", roles=ROLES)
@pytest.mark.timing
@pytest.mark.timeout(420)
def test_restart_ends_a_hung_vector_store(scenario: Scenario) -> None:
    """When the vector store hangs, the alert on server errors MUST be delivered and its restart
    MUST end them, while without it they stay; no acknowledged write is lost meanwhile."""
    hung = Cause("pause", {"role": "vectordb"}, ended_by="vectordb-restart")
    scenario.prove(error_incident(hung), ERRORS.step("vectordb-restart"))
