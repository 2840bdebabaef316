"""Tests for harness/drivers/colours.py: the commands by which a script rolls our gateway out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.drivers import colours, control
from harness.drivers.embedded.state import Secrets, State
from harness.drivers.reference import ReferenceStack


class FakeParts:
    """Blue serves, green is down; what is done is written down."""

    def __init__(self, place: Path) -> None:
        self.scratch = place
        self.state = State("r1", str(place), str(place), {}, 1.0, ["gateway"])
        self.secrets = Secrets({}, {"gateway-blue": {"A": "1"}})
        self.running, self.did = {"gateway-blue"}, []
        self.workers = [{7: 1}]

    def is_running(self, name: str) -> bool:
        return name in self.running

    def prepare(self, name: str) -> None:
        self.did.append(f"prepare {name}")

    def start(self, name: str) -> None:
        self.running.add(name)
        self.did.append(f"start {name}")

    def stop(self, name: str) -> None:
        self.running.discard(name)
        self.did.append(f"stop {name}")

    def switch_edge(self, colour: str) -> None:
        self.did.append(f"edge {colour}")

    def edge_workers(self) -> dict[int, int]:
        return self.workers.pop(0) if len(self.workers) > 1 else self.workers[0]


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeParts:
    made = FakeParts(tmp_path)

    class Stack(ReferenceStack):
        parts = made

        @classmethod
        def attach(cls, _state: Path) -> Stack:
            return cls("r1", tmp_path, name="fake", allow=frozenset())

    monkeypatch.setattr(colours, "driver", lambda _: Stack)
    made.state.save()
    return made


def act(parts: FakeParts, *words: str) -> int:
    return colours.main([f"--state={parts.scratch / 'stack.json'}", *words])


def test_a_release_is_all_the_settings_of_the_colour_that_is_started(parts: FakeParts) -> None:
    parts.secrets.overrides["gateway-green"] = {"OLD": "1"}
    assert act(parts, "start", "green", "--release=B=2 'C=x y'") == 0
    assert parts.did == ["prepare gateway-green", "start gateway-green"]
    kept = Secrets.load(parts.scratch).overrides
    assert kept == {"gateway-blue": {"A": "1"}, "gateway-green": {"B": "2", "C": "x y"}}


@pytest.mark.parametrize("action", ["start", "stop"])
def test_the_gateway_that_serves_is_left_alone(
    parts: FakeParts, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert act(parts, action, "blue") == 2
    assert "serves" in capsys.readouterr().err and parts.did == []


def test_the_traffic_is_sent_to_the_other_one_and_the_stack_knows(parts: FakeParts) -> None:
    assert act(parts, "send", "green") == 0
    assert parts.did == ["edge green"]
    told = json.loads((parts.scratch / "stack.json").read_text())
    assert told["colour"] == "green" and Secrets.load(parts.scratch).previous == {"A": "1"}
    assert act(parts, "stop", "blue") == 0 and parts.did[-1] == "stop gateway-blue"


def test_drained_waits_for_the_workers_from_before_the_switch(
    parts: FakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert act(parts, "drained", "blue") == 0, "nothing was switched yet"
    act(parts, "send", "green")
    parts.workers = [{7: 1, 8: 2}, {7: 1, 8: 2}, {8: 2}]
    assert act(parts, "drained", "blue") == 0 and parts.workers == [{8: 2}]
    parts.workers = [{7: 1}]
    monkeypatch.setattr(colours, "DRAIN_S", 0.2)
    assert act(parts, "drained", "blue") == 1


def test_a_word_that_is_no_setting_is_refused(parts: FakeParts) -> None:
    assert act(parts, "start", "green", "--release=latest") == 2
    with pytest.raises(UsageError, match="no setting"):
        control.settings_in(["A=1", "=2"])
    assert control.settings_in(["A=1=2", "B="]) == {"A": "1=2", "B": ""}


class Restarted:
    """A target whose roles can be restarted with settings, stopped, started and wiped."""

    did: list[tuple[Any, ...]]

    def restart(self, role: str, env: Any = None) -> None:
        self.did.append(("restart", role, env))

    def start(self, role: str) -> None:
        self.did.append(("start", role))

    def stop(self, role: str) -> None:
        self.did.append(("stop", role))

    def wipe(self, role: str) -> None:
        self.did.append(("wipe", role))


def test_a_role_is_restarted_with_settings_and_wiped_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Restarted()
    target.did = []

    class Driver:
        @staticmethod
        def attach(_state: Path) -> Restarted:
            return target

    monkeypatch.setattr(control, "driver", lambda _: Driver)
    state = tmp_path / "stack.json"
    state.write_text("{}")
    given = [f"--state={state}"]
    assert control.main([*given, "restart", "vectordb", "--set", "A=1", "--set=B=2"]) == 0
    assert control.main([*given, "restart", "vectordb"]) == 0
    assert control.main([*given, "wipe", "vectordb"]) == 0
    assert target.did == [
        ("restart", "vectordb", {"A": "1", "B": "2"}),
        ("restart", "vectordb", None),
        ("wipe", "vectordb"),
    ]
