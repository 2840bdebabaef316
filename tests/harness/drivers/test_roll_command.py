"""Tests for harness/drivers/roll.py: a gateway is rolled to what stands in the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.drivers import roll


class House:
    """A target whose gateway can be rolled; it only remembers to what."""

    def __init__(self) -> None:
        self.rolled: list[tuple[str, dict[str, str]]] = []

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        self.rolled.append((role, dict(env)))

    def rollback(self, role: str) -> None:
        raise AssertionError(f"nobody asked to roll {role} back")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in roll.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "stack.json"
    path.write_text(json.dumps({"driver": "embedded"}))
    return path


def lead_to(stack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = SimpleNamespace(attach=lambda _state: stack)
    monkeypatch.setattr(roll, "driver", lambda _name: kind)


def test_what_stands_in_the_environment_is_rolled_out_empty_values_too(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    lead_to(house, monkeypatch)
    monkeypatch.setenv("CANARY", "")
    monkeypatch.setenv("GATEWAY_EMBED_MODEL", "minilm-384")
    monkeypatch.setenv("GATEWAY_DATABASE_URL", "postgresql://elsewhere")
    assert roll.main([f"--state={state}"]) == 0
    assert house.rolled == [("gateway", {"CANARY": "", "GATEWAY_EMBED_MODEL": "minilm-384"})]


def test_nothing_to_roll_to_is_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert roll.main([f"--state={state}"]) == 2
    assert "No setting was given" in capsys.readouterr().err


def test_a_target_that_can_not_be_rolled_is_told(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lead_to(object(), monkeypatch)
    monkeypatch.setenv("CANARY", "1")
    assert roll.main([f"--state={state}"]) == 2
    assert "can't be rolled" in capsys.readouterr().err


def test_a_state_that_is_not_there_is_told(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANARY", "1")
    assert roll.main([f"--state={tmp_path / 'none.json'}"]) == 2
    assert "is not there" in capsys.readouterr().err
