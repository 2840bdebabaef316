"""A game day: whatever breaks, and in whichever order, nothing acknowledged is lost and nothing
foreign is seen."""

from __future__ import annotations

import pytest

from fixtures.gameday import Arena
from harness import conformance, needs
from harness.core.events import Note
from harness.core.evidence import Evidence, Inconclusive
from harness.core.history import History

LEAST_ANSWERED = 0.25
"""Half of the time at most two faults are on, and many of them leave queries answered: a sound
target on a machine with time to spare answers well above half of the load."""


@conformance("durability/acknowledged", since="0.2", profiles=("full",))
@needs(
    "read",
    "write",
    "fault",
    "restart",
    roles=["edge", "metadata", "vectordb", "metrics", "faultproxy"],
)
@pytest.mark.timing
@pytest.mark.timeout(4 * 3600)
def test_a_game_day_loses_nothing_and_leaks_nothing(
    gameday: Arena, evidence: Evidence, history: History
) -> None:
    """Through a random schedule of faults under load, with playbooks walked as alerts fire, every
    acknowledged document MUST be kept as it was, no answer MUST hold foreign content, and the
    service MUST be whole again after the last fault."""
    for each in gameday.schedule:
        history.write(Note("info", f"game day: {each}"))
    played, strays, answered = gameday.play("gameday")
    least, trials = gameday.game.shrink(played.landed) if played.failed else ([], 0)
    evidence.measure("faults that landed", len(played.landed), "count")
    evidence.measure("writes acknowledged meanwhile", played.acknowledged, "count")
    evidence.measure("share of the load that was answered", answered, "share")
    evidence.require(
        f"every promise was kept through {len(played.landed)} faults",
        not played.broken,
        expected="nothing acknowledged lost or changed, nothing foreign seen",
        actual=told(played.broken[:5], [str(each) for each in least], trials),
    )
    evidence.require(
        "each acknowledged document could be read back at the end",
        not played.unread,
        expected=f"an answer for each of {played.acknowledged}",
        actual=told(played.unread[:5], [str(each) for each in least], trials),
    )
    evidence.require(
        "no answer to the load held a foreign document",
        not strays,
        expected="none",
        actual=strays[:5] or "none",
    )
    evidence.require(
        "the service is whole again by itself after the last fault",
        played.back,
        expected="a whole answer",
        actual=told([], [str(each) for each in least], trials),
    )
    evidence.require(
        "there was something to be kept, and something that broke",
        bool(played.landed) and played.acknowledged > 0 and played.answered > 0,
        expected="faults that landed, writes acknowledged and questions answered meanwhile",
        actual=f"{len(played.landed)} landed, {len(played.missed)} not, "
        f"{played.acknowledged} writes, {played.answered} answers",
    )
    if answered < LEAST_ANSWERED:
        raise Inconclusive(
            "Most of the load was refused: a service that answers nothing breaks no promise.",
            expected=f"at least {LEAST_ANSWERED:.0%} of the load answered through all faults",
            actual=f"{answered:.1%}",
        )


def told(broken: list[str], least: list[str], trials: int) -> object:
    """Return what is to be said of a game day that failed."""
    if not broken and not least:
        return "kept"
    return {"broken": broken, f"fewest faults that still fail, in {trials} more trials": least}
