"""Playbook for an upgrade of the vector store that went wrong (guide 6.2): back to the snapshot."""

from __future__ import annotations

from typing import Any

import httpx

from chaos.playbooks.backups import newest_day, run_to_a_good_end
from chaos.playbooks.base import Playbook, Seen, Step
from chaos.playbooks.parts import problem_of
from harness.core.errors import TargetError
from harness.drivers.base import Stack

ALIAS = "rag-chunks"


def _behind_the_alias(stack: Stack) -> tuple[str, dict[str, Any]]:
    """Return the state of what the alias points at: its status and what is known of it."""
    url = stack.endpoint("vectordb").url
    key = {"api-key": stack.credentials("vectordb").get("api_key", "")}
    try:
        answer = httpx.get(f"{url}/collections/{ALIAS}", headers=key, timeout=5, trust_env=False)
        told = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise TargetError(
            "The vector store does not tell of its collections.",
            expected=f"an answer from {url}/collections/{ALIAS}",
            actual=f"{type(error).__name__}: {error}",
            next_step="see the page on server errors: vectordb-restart",
        ) from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        return "missing", {}
    result = told.get("result") or {}
    return str(result.get("status", answer.status_code)), {"points": result.get("points_count")}


def _up_but_not_whole(stack: Stack) -> Seen:
    own = problem_of(stack, "vectordb")
    if own is not None:
        return Seen(False, {"itself": own})
    status, more = _behind_the_alias(stack)
    return Seen(status not in ("green", "yellow", "grey"), {"collection": status, **more})


def _restore(stack: Stack) -> None:
    day = newest_day(stack, "vectordb")
    run_to_a_good_end(stack, "restore_dr.sh", "--date", day, "--store", "vectordb")


def _whole(stack: Stack) -> Seen:
    status, more = _behind_the_alias(stack)
    return Seen(status in ("green", "yellow", "grey"), {"collection": status, **more})


FAILED_UPGRADE = Playbook(
    slug="failed-upgrade",
    title="The vector store is up after an upgrade, and its data are not",
    section="6.2",
    anchor="failed-upgrade",
    starts_when="After a version bump the vector store answers /readyz, and queries fail or find "
    "nothing.",
    steps=(
        Step(
            slug="restore-snapshot",
            sentence="If the store answers but what the alias points at is missing or red, put the "
            "former version back and restore the snapshot that was taken before the upgrade.",
            look='`curl -s -H "api-key: $QDRANT_API_KEY" '
            f"http://QDRANT:6333/collections/{ALIAS} | jq .result.status`: red or not found is for "
            "this step; green and yellow are not.",
            command="`scripts/upgrade_qdrant.sh --undo` where that upgraded it. Otherwise `docker "
            "tag` the former image back and `docker compose up -d qdrant`, then "
            "`scripts/restore_dr.sh --date <day of the upgrade> --store vectordb`",
            expect="The status is green, and the number of points is what the backup's manifest "
            "names.",
            way_back="The former collection is there until the next restore.",
            condition=_up_but_not_whole,
            action=_restore,
            effect=_whole,
            needs=("destroy",),
            ends_cause=True,
        ),
    ),
)
