"""A project that does not come up: what is told, and that nothing of it stays."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.core.target import load_target

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
    pytest.importorskip("docker")
    from harness.drivers.compose.cli import require_compose
    from harness.drivers.compose.stack import ComposeStack
    from harness.drivers.containers.engine import connect
    from harness.drivers.containers.pulling import is_there
    from harness.drivers.containers.removal import find

    try:
        require_compose()
        client = connect()
    except HarnessError as error:
        pytest.skip(error.what)
    for name in ("base", "faultproxy"):
        if not is_there(client, f"ragdrill/{name}:0.1.0"):
            pytest.skip(f"run `make images`: ragdrill/{name} is not built")
    (folder / "compose.yaml").write_text(PROJECT.format(given=given))
    (folder / "target.toml").write_text(TARGET.format(service=service))
    (folder / "ragdrill").mkdir()
    os.environ["RAGDRILL_IMAGES"] = "local"
    run_id = f"unwell-{secrets.token_hex(4)}"
    target = load_target(folder / "target.toml")
    stack = ComposeStack.of_target(run_id, folder / "ragdrill", folder / "logs", target)
    with pytest.raises(HarnessError) as caught:
        stack.up()
    assert not find(client, run_id)
    assert not (folder / "ragdrill" / run_id).exists()
    return str(caught.value)


def test_a_service_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    text = told(tmp_path)
    assert "api: exited (3)" in text
    assert "the price of a bad setting" in text


def test_a_service_that_is_not_there_is_told_before_anything_starts(tmp_path: Path) -> None:
    assert "did you mean api" in told(tmp_path, service="apii")


def test_a_secret_that_nobody_gave_is_told_in_composes_words(tmp_path: Path) -> None:
    assert "SURELY_NOT_SET" in told(tmp_path, given="${SURELY_NOT_SET:?}")
