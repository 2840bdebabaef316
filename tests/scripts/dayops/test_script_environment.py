"""Tests for scripts/dayops/environment.py: what is missing is named before work begins."""

from __future__ import annotations

import pytest

from harness.core.errors import UsageError
from scripts.dayops.environment import CONTRACT, Environment, table


def test_a_missing_variable_is_named_with_what_it_means() -> None:
    with pytest.raises(
        UsageError, match=r"(?s)QDRANT_URL is not set.*vector store.*export QDRANT_URL"
    ):
        Environment({})["QDRANT_URL"]


def test_every_missing_variable_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Environment.with_all("QDRANT_URL", "DATABASE_URL", "BACKUP_BUCKET", values={})
    assert "QDRANT_URL" in str(caught.value) and "DATABASE_URL" in str(caught.value)
    assert "BACKUP_BUCKET" not in str(caught.value)


def test_an_empty_value_counts_as_missing() -> None:
    with pytest.raises(UsageError, match="QDRANT_API_KEY is empty"):
        Environment({"QDRANT_API_KEY": ""})["QDRANT_API_KEY"]


def test_an_address_without_a_scheme_is_refused_and_its_secret_is_not_shown() -> None:
    with pytest.raises(UsageError, match="DATABASE_URL is no address") as caught:
        Environment({"DATABASE_URL": "rag_admin:hunter2@db"})["DATABASE_URL"]
    assert "hunter2" not in str(caught.value)


def test_defaults_hold_where_nothing_is_set() -> None:
    environment = Environment({"BACKUP_BUCKET": ""})
    assert environment["BACKUP_BUCKET"] == "rag-backups"
    assert environment.has("BACKUP_BUCKET") and not environment.has("STOP_WRITERS_CMD")


def test_a_slash_at_the_end_of_an_address_changes_nothing() -> None:
    assert Environment({"QDRANT_URL": "http://q:6333/"})["QDRANT_URL"] == "http://q:6333"


def test_the_help_names_every_variable() -> None:
    assert all(name in table() for name in CONTRACT)
