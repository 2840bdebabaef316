"""``ragdrill gameday`` shows its schedule, and refuses what can't be played."""

from __future__ import annotations

import pytest

from harness.cli.gameday import CASE
from harness.cli.main import main
from harness.core.registry import case_id, declaration_of
from harness.core.verdicts import ExitCode


def test_the_plan_is_printed_and_the_seed_decides_it(capsys: pytest.CaptureFixture[str]) -> None:
    plans = []
    for seed in ("7", "7", "8"):
        assert main(["gameday", "--plan", "--minutes", "5", "--seed", seed]) == ExitCode.PASS
        plans.append(capsys.readouterr().out)
    assert plans[0] == plans[1] != plans[2]
    assert len(plans[0].splitlines()) > 5


@pytest.mark.parametrize("minutes", ["0.1", "100000", "-1"])
def test_a_length_that_cannot_be_played_is_refused(
    minutes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gameday", "--plan", "--minutes", minutes]) == ExitCode.USAGE
    assert "--minutes from 0.5 to 480" in capsys.readouterr().err


def test_the_command_runs_a_case_that_is_there() -> None:
    from chaos.scenarios import test_gameday

    function = test_gameday.test_a_game_day_loses_nothing_and_leaks_nothing
    declared = declaration_of(function)
    assert declared is not None
    assert case_id(declared.slug, function.__name__) == CASE
