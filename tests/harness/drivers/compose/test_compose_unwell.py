"""A project that does not come up: what is told, and that nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from compose_lab import engine_for, stack_of, written

from harness.core.errors import HarnessError

pytestmark = pytest.mark.slow

PROJECT = """
services:
  api:
    image: ragdrill/base:0.1.0
    command: [sh, -c, "echo the price of a bad setting >&2; exit 3"]
    environment: {{LEFT_OUT: "{given}"}}
"""
TARGET = """
[target]
driver = "compose"
[compose]
files = ["compose.yaml"]
[roles.gateway]
service = "{service}"
port = 8080
"""


def told(folder: Path, *, given: str = "x", service: str = "api") -> str:
    """Start the project, which must fail; returns what was told once nothing of it is left."""
    client = engine_for("base", "faultproxy")
    from harness.drivers.containers.removal import find

    project, target = PROJECT.format(given=given), TARGET.format(service=service)
    stack = stack_of(written(folder / "theirs", project, target), folder)
    with pytest.raises(HarnessError) as caught:
        stack.up()
    assert not find(client, stack.run_id)
    assert not (folder / "ragdrill" / stack.run_id).exists()
    return str(caught.value)


def test_a_service_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    text = told(tmp_path)
    assert "api: exited (3)" in text
    assert "the price of a bad setting" in text


def test_a_service_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    assert "did you mean api" in told(tmp_path, service="apii")


def test_a_secret_that_nobody_gave_is_told_in_composes_words(tmp_path: Path) -> None:
    assert "SURELY_NOT_SET" in told(tmp_path, given="${SURELY_NOT_SET:?}")
