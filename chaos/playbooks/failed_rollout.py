"""Playbook for a gateway that was rolled out and does harm (guide 6.1): back to the one before."""

from __future__ import annotations

from chaos.playbooks.base import Playbook, Seen, Step, replaceable
from chaos.playbooks.looking import page_of, twice
from chaos.playbooks.parts import problem_of
from harness.drivers.base import Stack

MOST = 0.05
"""Share of requests that end in a server error, as in the alert RAG_5xx_Ratio_High."""

PARTS = ("metadata", "vectordb", "auth")


def _counts(stack: Stack) -> tuple[float, float]:
    name = "rag_gateway_requests_total"
    route = "/v1/query"
    page = page_of(stack, "gateway")
    bad = sum(page.total(name, route=route, status=status) for status in ("500", "502", "503"))
    return bad, page.total(name, route=route)


def failing(stack: Stack) -> tuple[float, float]:
    """Return how many queries ended in a server error during a window, and of how many."""
    (bad, every), (later_bad, later) = twice(lambda: _counts(stack))
    return later_bad - bad, later - every


def _only_the_gateway_fails(stack: Stack) -> Seen:
    bad, every = failing(stack)
    parts = {role: problem_of(stack, role) for role in PARTS if role in stack.roles()}
    return Seen(
        bool(every) and bad / every > MOST and not any(parts.values()),
        {"failed": bad, "queries": every, **{role: why or "ok" for role, why in parts.items()}},
    )


def _roll_back(stack: Stack) -> None:
    replaceable(stack).rollback("gateway")


def _no_longer_fails(stack: Stack) -> Seen:
    bad, every = failing(stack)
    return Seen(bool(every) and bad / every <= MOST, {"failed": bad, "queries": every})


FAILED_ROLLOUT = Playbook(
    slug="failed-rollout",
    title="The new gateway does harm",
    section="6.1",
    anchor="failed-rollout",
    starts_when="Errors or waiting began with a rollout of the gateway, and the parts behind it "
    "are well. (A new gateway that fails its health check never gets any requests.)",
    steps=(
        Step(
            slug="roll-back",
            sentence="If more than 5 % of queries fail at the gateway while every part behind it "
            "answers by itself, put the former gateway back: find out why afterwards.",
            look="`docker compose ps` says since when this gateway runs. In its /metrics: how much "
            "rag_gateway_requests_total grew for status 5xx and in all. Each part: see the page on "
            "server errors.",
            command="`scripts/rollout_gateway.sh --rollback` where that rolled it out. Otherwise "
            "point nginx's upstream at the former port and `nginx -s reload`, and `docker tag` the "
            "former image back before the next `docker compose up -d`.",
            expect="Within seconds no query fails any more; `curl -sI` through nginx names the "
            "former colour in X-Gateway-Colour.",
            way_back="Roll the new one out again, once it is known what was wrong with it.",
            condition=_only_the_gateway_fails,
            action=_roll_back,
            effect=_no_longer_fails,
            ends_cause=True,
        ),
    ),
)
