"""`ragdrill playbook`: looks, asks, acts only where a condition holds, and says what it saw."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from chaos.playbooks import PLAYBOOKS, Playbook, Seen, Step
from harness.cli.main import main
from harness.cli.playbook import Walk
from harness.cli.runbook import render
from harness.core.errors import TargetError
from harness.core.history import History
from harness.drivers.base import Stack


class House:
    """A target of which only the name, the permissions and one switch matter here."""

    name = "house"

    def __init__(self, *allow: str) -> None:
        self.allow = frozenset(allow)
        self.burns = True
        self.done: list[str] = []


def looked(stack: Stack) -> Seen:
    return Seen(cast("House", stack).burns, {"smoke_percent": 80})


def water(stack: Stack) -> None:
    cast("House", stack).burns = False
    cast("House", stack).done.append("water")


def nothing(stack: Stack) -> None:
    cast("House", stack).done.append("nothing")


def out(stack: Stack) -> Seen:
    return Seen(not cast("House", stack).burns, {"smoke_percent": 0})


def broken(stack: Stack) -> Seen:
    raise TargetError("The smoke can't be seen.", next_step="open the window")


def step_of(slug: str, **change: Any) -> Step:
    words = {"sentence": "S", "look": "L", "command": "C", "expect": "E", "way_back": "W"}
    acts = {"condition": looked, "action": water, "effect": out}
    return Step(slug=slug, **{**words, **acts, **change})


@pytest.fixture
def playbook() -> Iterator[Playbook]:
    made = Playbook(
        slug="fire",
        title="Fire",
        section="0",
        anchor="fire",
        starts_when="Smoke.",
        steps=(step_of("water"), step_of("sand")),
    )
    yield made
    del PLAYBOOKS["fire"]


def walk(
    playbook: Playbook, house: House, tmp_path: Path, *, answer: bool = True, dry_run: bool = False
) -> tuple[Walk, io.StringIO]:
    screen = io.StringIO()
    return (
        Walk(
            playbook,
            cast("Stack", house),
            History(tmp_path),
            Console(file=screen, width=200),
            lambda question: answer,
            dry_run=dry_run,
        ),
        screen,
    )


def stages(tmp_path: Path) -> list[tuple[str, str, bool]]:
    lines = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    return [(e["step"], e["stage"], e["ok"]) for e in lines if e["kind"] == "playbook.step"]


def test_a_step_that_is_called_for_is_done_and_the_next_is_passed_over(
    playbook: Playbook, tmp_path: Path
) -> None:
    house = House("restart")
    walked, screen = walk(playbook, house, tmp_path)
    assert walked.go(playbook.steps) == 0
    assert house.done == ["water"]
    assert stages(tmp_path) == [
        ("water", "condition", True),
        ("water", "action", True),
        ("water", "effect", True),
        ("sand", "condition", False),
    ]
    assert "smoke_percent" in screen.getvalue() and "80" in screen.getvalue()


@pytest.mark.parametrize("how", [{"answer": False}, {"dry_run": True}])
def test_nothing_is_done_without_a_yes(
    playbook: Playbook, tmp_path: Path, how: dict[str, bool]
) -> None:
    house = House("restart")
    walked, screen = walk(playbook, house, tmp_path, **how)
    assert walked.go(playbook.steps) == 1
    assert house.done == []
    assert "Not done" in screen.getvalue()


def test_what_the_target_does_not_allow_is_not_done(playbook: Playbook, tmp_path: Path) -> None:
    house = House("read")
    walked, screen = walk(playbook, house, tmp_path)
    assert walked.go(playbook.steps) == 1
    assert house.done == [] and "does not allow it (restart)" in screen.getvalue()


def test_an_effect_that_does_not_come_is_told(playbook: Playbook, tmp_path: Path) -> None:
    walked, screen = walk(playbook, House("restart"), tmp_path)
    assert walked.go((step_of("pray", action=nothing),)) == 1
    assert "effect did not come" in screen.getvalue()


def test_a_check_that_cannot_be_made_is_neither_yes_nor_no(
    playbook: Playbook, tmp_path: Path
) -> None:
    house = House("restart")
    walked, screen = walk(playbook, house, tmp_path)
    assert walked.go((step_of("smell", condition=broken),)) == 2
    assert house.done == [] and "open the window" in screen.getvalue()


def test_a_step_is_taken_back(playbook: Playbook, tmp_path: Path) -> None:
    house = House("restart")
    walked, _ = walk(playbook, house, tmp_path)
    assert walked.take_back(step_of("water", undo=nothing)) == 0
    assert house.done == ["nothing"] and stages(tmp_path) == [("water", "undo", True)]


def interrupted(stack: Stack) -> None:
    cast("House", stack).done.append("half")
    raise KeyboardInterrupt


def test_ctrl_c_tells_what_was_begun_and_how_to_take_it_back(
    playbook: Playbook, tmp_path: Path
) -> None:
    house = House("restart")
    walked, screen = walk(playbook, house, tmp_path)
    walked.given = " --target staging"
    with pytest.raises(KeyboardInterrupt):
        walked.go((step_of("pray", action=nothing), step_of("sand", action=interrupted)))
    said = screen.getvalue()
    assert house.done == ["nothing", "half"]
    assert said.index("Interrupted: sand was begun") < said.index("Interrupted: pray was begun")
    assert "ragdrill playbook fire --step sand --back --target staging" in said
    assert stages(tmp_path)[-1] == ("sand", "action", False)


def test_ctrl_c_before_anything_was_done_says_so(playbook: Playbook, tmp_path: Path) -> None:
    house = House("restart")
    walked, screen = walk(playbook, house, tmp_path)

    def no_answer(question: str) -> bool:
        raise KeyboardInterrupt

    walked.ask = no_answer
    with pytest.raises(KeyboardInterrupt):
        walked.go(playbook.steps)
    assert house.done == [] and "Interrupted: nothing was done" in screen.getvalue()


def test_the_page_holds_each_playbook_under_its_anchor_with_every_command(
    playbook: Playbook,
) -> None:
    page = render()
    for each in PLAYBOOKS.values():
        assert f'<a id="{each.anchor}"></a>' in page
        assert all(step.command in page and step.look in page for step in each.steps)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["playbook", "nope", "--dry-run"], "There is no playbook 'nope'"),
        (["playbook", "latency", "--dry-run", "--target", "nowhere"], "no target 'nowhere'"),
        (["playbook", "latency", "--dry-run", "--step", "pray"], "has no step 'pray'"),
        (["playbook", "latency", "--dry-run", "--back"], "taken back one by one"),
        (["playbook", "latency", "--dry-run", "--yes"], "not allowed with"),
    ],
)
def test_a_mistake_is_a_usage_error(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 4
    assert told in capsys.readouterr().err


def test_a_stack_that_is_not_the_target_files_is_not_walked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stack.json").write_text('{"driver": "containers"}')
    up = SimpleNamespace(name="reference", scratch=tmp_path, run_id="the-run-that-is-up")
    monkeypatch.setattr("harness.cli.playbook.the_one", lambda root, run: up)
    target = tmp_path / "ours.toml"
    target.write_text(
        '[target]\nname = "ours"\ndriver = "compose"\n[compose]\nfiles = ["compose.yaml"]\n'
        '[roles.gateway]\nservice = "api"\nport = 8080\n'
    )
    assert main(["playbook", "latency", "--dry-run", "--target", str(target)]) == 4
    told = capsys.readouterr().err
    assert "driver containers (the-run-that-is-up)" in told and "ours, of driver compose" in told
    assert "ragdrill up --target" in told


def test_the_playbooks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["playbook"]) == 0
    assert "latency" in capsys.readouterr().out
