"""The state file of another driver's run is told from that of a booted stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.errors import TargetError
from harness.drivers.embedded.state import STATE_NAME, State
from harness.drivers.running import running


def test_the_state_of_an_attached_run_is_no_booted_stack(tmp_path: Path) -> None:
    place = tmp_path / "20260101T000000Z-ci-abcdef"
    place.mkdir()
    state = place / STATE_NAME
    state.write_text(json.dumps({"run_id": place.name, "target": {"target": {}}}))
    with pytest.raises(TargetError, match="no booted stack"):
        State.load(state)
    assert running(tmp_path) == []
