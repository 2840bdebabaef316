"""Tests for scripts/qdrant_tune.py: what is measured, changed, remembered and put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts import qdrant_tune
from scripts.dayops.tuning import Measured


class Bench:
    """A collection of which only its settings matter here."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {"m": 16, "ef_construct": 100, "on_disk_payload": False}
        self.deaf = False
        self.collection = "rag-chunks"
        self.asked: list[int | None] = []

    def settings(self) -> dict[str, Any]:
        return dict(self.now)

    def change(self, wanted: dict[str, Any]) -> None:
        if not self.deaf:
            self.now |= wanted

    def settle(self, _tell: object) -> float:
        return 0.1

    def measure(self, ef: int | None, questions: int) -> Measured:
        self.asked.append(ef)
        return Measured(ef, questions, 0.5, 0.4, 0.6, 1.0, 2.0, None)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setenv("QDRANT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("QDRANT_API_KEY", "some-secret")
    monkeypatch.setenv("ROLL_GATEWAY_CMD", "roll")
    monkeypatch.setattr(qdrant_tune, "Bench", lambda *_given: made)
    return made


@pytest.fixture
def rolled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    monkeypatch.setattr(qdrant_tune, "run_command", lambda _c, _n, settings: found.append(settings))
    return found


def run(
    capsys: pytest.CaptureFixture[str], place: Path, *argv: str
) -> tuple[int, dict[str, Any], str]:
    code = qdrant_tune.run([*argv, f"--state={place / 'state.json'}"])
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    return code, lines[-1], err


@pytest.mark.usefixtures("rolled")
def test_what_was_before_is_put_back_through_several_changes(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, tmp_path, "--m", "32")[0] == 0
    assert run(capsys, tmp_path, "--m", "48", "--on-disk-payload", "true")[0] == 0
    assert bench.now == {"m": 48, "ef_construct": 100, "on_disk_payload": True}
    assert run(capsys, tmp_path, "--undo")[0] == 0
    assert bench.now == {"m": 16, "ef_construct": 100, "on_disk_payload": False}
    code, _, err = run(capsys, tmp_path, "--undo")
    assert code == 1 and "nothing to undo" in err


def test_another_ef_rolls_the_gateway_and_the_next_measurement_begins_there(
    bench: Bench, rolled: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, tmp_path, "--ef", "512")[0] == 0
    assert rolled == [{"GATEWAY_SEARCH_EF": "512"}] and bench.asked == [None, 512]
    assert run(capsys, tmp_path, "--ef", "600")[0] == 0
    assert bench.asked[2:] == [512, 600]
    assert run(capsys, tmp_path, "--undo")[0] == 0
    assert rolled[-1] == {"GATEWAY_SEARCH_EF": ""}


def test_a_dry_run_measures_both_and_changes_nothing(
    bench: Bench, rolled: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last, _ = run(capsys, tmp_path, "--ef", "512", "--m", "32", "--dry-run")
    assert code == 0 and last["change"] == {"m": 32} and last["after"]["ef"] == 512
    assert rolled == [] and bench.now["m"] == 16 and list(tmp_path.iterdir()) == []


def test_without_a_knob_it_only_measures(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, last, _ = run(capsys, tmp_path)
    assert code == 0 and last["before"]["recall"] == 0.5 and "after" not in last
    assert bench.asked == [None]


def test_a_store_that_does_not_take_the_change_is_told(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.deaf = True
    code, _, err = run(capsys, tmp_path, "--on-disk-payload", "true")
    assert code == 2 and "did not take the change" in err


def test_without_a_command_nothing_rolls_and_it_says_which_setting(
    bench: Bench,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ROLL_GATEWAY_CMD", "")
    code, _, err = run(capsys, tmp_path, "--ef", "512")
    assert code == 1 and "GATEWAY_SEARCH_EF=512" in err and bench.asked == []
    assert run(capsys, tmp_path, "--ef", "512", "--dry-run")[0] == 0


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("--ef", "0"), "--ef is out of range"),
        (("--m", "1"), "--m is out of range"),
        (("--ef-construct", "2"), "--ef-construct is out of range"),
        (("--questions", "3"), "--questions is out of range"),
        (("--on-disk-payload", "yes"), "true or false"),
    ],
)
@pytest.mark.usefixtures("bench")
def test_a_value_that_can_not_be_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], why: str
) -> None:
    code, _, err = run(capsys, tmp_path, *argv)
    assert code == 4 and why in err


def test_a_state_that_can_not_be_read_is_told(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state.json").write_text("{")
    code, _, err = run(capsys, tmp_path, "--undo")
    assert code == 2 and "can't be read" in err and bench.now["m"] == 16
