"""Tests for scripts/dayops/promote_model.py: the order of its steps, and what stops it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.dayops import promote_model
from scripts.dayops.environment import Environment
from scripts.dayops.script import Busy
from scripts.dayops.spaces import Gateway, Lack, alone

OLD, NEW = "wordllama-256", "minilm-384"


class World:
    """A gateway and a vector store of which only models, alias and what is missing matter here."""

    def __init__(self) -> None:
        self.answers, self.written, self.missing = OLD, (OLD,), {OLD: 0, NEW: 7}
        self.embeds = True
        self.done: list[str] = []

    def models(self) -> list[str]:
        return sorted(self.missing)

    def behind(self) -> str:
        return self.answers

    def gateway(self) -> Gateway:
        return Gateway(self.written)

    def collection(self, model: str) -> str:
        return f"rag-chunks-{model}"

    def lack(self, model: str) -> Lack:
        return Lack(10, 10 - self.missing[model], self.missing[model], 0, 0)

    def switch(self, model: str) -> None:
        self.done.append(f"switch {model}")
        self.answers = model

    def roll(self, _command: str, _name: str, settings: dict[str, str]) -> None:
        both = settings.get("CANARY") == "1"
        stable = settings.get("GATEWAY_EMBED_STABLE_MODEL", "")
        models = (stable if both else "", settings["GATEWAY_EMBED_MODEL"])
        self.written = tuple(filter(None, models))
        self.done.append(f"roll to {'+'.join(self.written)}")

    def reindex(self, command: str, model: str) -> None:
        self.done.append(f"{command} {model}")
        self.missing[model] = 0 if self.embeds else 3


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    for name, value in {
        "QDRANT_URL": "http://127.0.0.1:1",
        "QDRANT_API_KEY": "some-secret",
        "DATABASE_URL": "postgresql://owner:x@127.0.0.1:1/rag",
        "GATEWAY_URL": "http://127.0.0.1:1",
        "REINDEX_CMD": "reindex",
        "ROLL_GATEWAY_CMD": "roll",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(promote_model, "Spaces", lambda _environment: made)
    monkeypatch.setattr(promote_model, "run_command", made.roll)
    monkeypatch.setattr(promote_model.Promotion, "_embed_with", staticmethod(made.reindex))
    return made


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, dict[str, Any], str]:
    code = promote_model.run(argv)
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    return code, lines[-1] if lines else {}, err


def test_a_promotion_writes_to_both_embeds_and_only_then_switches(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last, _ = run(capsys, "--model", NEW)
    assert (code, last["model"], last["former"]) == (0, NEW, OLD)
    assert world.done == [
        f"roll to {OLD}+{NEW}", f"reindex --missing {NEW}", f"switch {NEW}"
    ]  # fmt: skip
    world.done.clear()
    assert run(capsys, "--model", NEW)[0] == 0
    assert world.done == [], "a second run has nothing left to do"


def test_what_is_not_complete_is_never_switched_to(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.embeds = False
    code, _, err = run(capsys, "--model", NEW)
    assert code == 1 and "not complete" in err and world.answers == OLD
    world.embeds = True
    assert run(capsys, "--model", NEW)[0] == 0
    assert world.done[-2:] == [f"reindex --missing {NEW}", f"switch {NEW}"]
    assert world.done.count(f"roll to {OLD}+{NEW}") == 1, "it goes on from where it was"


def test_it_is_taken_back_as_long_as_both_are_written(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "--model", NEW)[0] == 0
    assert run(capsys, "--take-back")[0] == 0
    assert world.answers == OLD
    assert run(capsys, "--finish")[0] == 0
    assert world.done[-1] == f"roll to {OLD}"
    code, _, err = run(capsys, "--take-back")
    assert code == 1 and "promote the former model" in err


def test_the_way_back_is_refused_where_the_old_one_lacks_something(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "--model", NEW)[0] == 0
    world.missing[OLD] = 1
    assert run(capsys, "--take-back")[0] == 1
    assert world.answers == NEW


def test_a_dry_run_says_what_would_be_done(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last, _ = run(capsys, "--model", NEW, "--dry-run")
    assert code == 0 and world.done == []
    assert last["plan"] == {"write_both": True, "embed": True, "verify": True, "switch": True}
    assert last["missing"] == 7


def test_without_a_command_that_rolls_it_says_which_settings_it_waits_for(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLL_GATEWAY_CMD", "")
    code, _, err = run(capsys, "--model", NEW)
    assert code == 1 and world.done == []
    assert f"CANARY=1 GATEWAY_EMBED_MODEL={NEW} GATEWAY_EMBED_STABLE_MODEL={OLD}" in err
    world.written = (OLD, NEW)
    assert run(capsys, "--model", NEW)[0] == 0, "rolled by hand, it goes on"


def test_a_gateway_that_was_rolled_meanwhile_stops_the_switch(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed_and_be_rolled(command: str, model: str) -> None:
        world.reindex(command, model)
        world.written = (OLD,)

    embed = staticmethod(embed_and_be_rolled)
    monkeypatch.setattr(promote_model.Promotion, "_embed_with", embed)
    code, _, err = run(capsys, "--model", NEW)
    assert code == 1 and "does not write" in err and world.answers == OLD


@pytest.mark.parametrize(
    ("argv", "code", "why"),
    [
        ((), 4, "Nothing was asked for"),
        (("--model", "e5"), 1, "no collection of the model e5"),
        (("--model", NEW, "--take-back"), 4, "not allowed with"),
    ],
)
def test_a_mistake_is_told(
    world: World, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], code: int, why: str
) -> None:
    ended, _, err = run(capsys, *argv)
    assert ended == code and why in err and world.done == []


def test_the_state_of_things_is_told_and_nothing_is_done(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "--status")
    assert code == 0 and world.done == []
    assert f"{NEW}: stands by, not written; 7 of 10 chunks missing" in err


def test_two_promotions_at_once_are_one_too_many(world: World) -> None:
    environment = Environment()
    with alone(environment), pytest.raises(Busy, match="under way"), alone(environment):
        raise AssertionError("both hold it")


def test_a_failed_roll_is_no_promotion(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_given: object) -> None:
        return None

    monkeypatch.setattr(promote_model, "run_command", nothing)
    code, _, err = run(capsys, "--model", NEW)
    assert code == 2 and "other models than it was told" in err and world.answers == OLD
