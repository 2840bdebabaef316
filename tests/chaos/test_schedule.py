"""A schedule is drawn by its seed alone, and its faults go together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.faults.schedule import (
    AT_ONCE,
    CHOICES,
    FIRST_S,
    LAST_S,
    Choice,
    draw,
    possible,
)
from fixtures.faults import make_fault
from harness.core.errors import UsageError


def test_the_same_seed_draws_the_same_schedule_and_another_one_another() -> None:
    assert draw(7, 600) == draw(7, 600)
    assert draw(7, 600) != draw(8, 600)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_every_choice_is_a_fault_of_the_catalogue(choice: Choice) -> None:
    fault = make_fault(choice.fault, **dict(choice.arguments))
    assert fault.on.endswith(choice.part)


@given(st.integers(0, 2**31), st.floats(40, 1800))
def test_faults_of_a_schedule_go_together(seed: int, seconds: float) -> None:
    planned = draw(seed, seconds)
    assert planned
    assert [each.at_s for each in planned] == sorted(each.at_s for each in planned)
    for number, each in enumerate(planned):
        assert each.at_s >= FIRST_S
        assert each.until_s <= seconds - LAST_S + 0.2
        on = [other for other in planned[:number] if other.until_s > each.at_s + 0.2]
        assert len(on) < AT_ONCE
        near = [other for other in planned[:number] if other.until_s + FIRST_S > each.at_s + 0.2]
        assert each.choice.part not in {other.choice.part for other in near}


def test_what_a_target_does_not_have_is_not_drawn() -> None:
    choices = possible(["gateway-embed"], ["embed", "vectordb"])
    on = {dict(choice.arguments).get("link") for choice in choices}
    assert on == {"gateway-embed", None}
    assert {dict(c.arguments).get("role") for c in choices} == {"embed", "vectordb", None}


@pytest.mark.parametrize(("seconds", "choices"), [(20.0, CHOICES), (600.0, ())])
def test_what_leaves_nothing_to_draw_is_refused(
    seconds: float, choices: tuple[Choice, ...]
) -> None:
    with pytest.raises(UsageError, match="No schedule can be drawn"):
        draw(1, seconds, choices)
