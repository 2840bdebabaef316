"""Playbook for a namespace leakage alert (guide 9.3): audit, and purge exactly what leaked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaos.playbooks.base import Playbook, Seen, Step
from chaos.playbooks.parts import problem_of
from harness.core.errors import TargetError
from harness.core.run import CHECKOUT
from harness.drivers.base import Stack
from harness.drivers.operator import run_script

CLEAN, LEAK = 0, 1
"""Exit codes of the scripts: nothing leaked is there; leaks were found, or are left."""


def report_directory(stack: Stack) -> Path:
    """Where the audits of this target's incident lie; it outlives a target that is taken down."""
    return CHECKOUT / "runs" / f"leakage-{stack.run_id}"


def _auditable(stack: Stack) -> Seen:
    problems = {role: problem_of(stack, role) for role in ("vectordb", "metadata")}
    return Seen(not any(problems.values()), {role: p or "ok" for role, p in problems.items()})


def _audit(stack: Stack) -> None:
    ended = run_script(stack, "leakage_audit.py", "--out", str(report_directory(stack)))
    if ended.exit_code not in (CLEAN, LEAK):
        raise TargetError(
            "The audit could not be done, which shows nothing: neither a leak nor that there is "
            "none.",
            expected="exit code 0 (clean) or 1 (leaks)",
            actual=f"exit code {ended.exit_code}: {ended.told}",
            next_step="mend what it names, and audit again",
        )


def report(stack: Stack) -> dict[str, Any] | None:
    """Return the figures of the last audit, ``None`` if none was finished."""
    try:
        told = json.loads((report_directory(stack) / "report.json").read_text())
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def _audited(stack: Stack) -> Seen:
    told = report(stack)
    if told is None:
        return Seen(False, {"report": f"none in {report_directory(stack)}"})
    return Seen(True, {"leaks": told.get("leaks"), "points": told.get("points")})


def _leaks_reported(stack: Stack) -> Seen:
    told = report(stack)
    leaks = told.get("leaks") if told else None
    return Seen(bool(leaks), {"leaks": leaks, "report": str(report_directory(stack))})


def _purge(stack: Stack) -> None:
    ended = run_script(stack, "leakage_purge.py", "--findings", str(report_directory(stack)))
    if ended.exit_code != CLEAN:
        raise TargetError(
            "The purge did not end with nothing leaked left.",
            expected="exit code 0",
            actual=f"exit code {ended.exit_code}: {ended.told}",
            next_step=f"read purge.md in {report_directory(stack)}; the same command goes on from "
            "where it stopped",
        )


def _nothing_left(stack: Stack) -> Seen:
    _audit(stack)
    leaks = (report(stack) or {}).get("leaks")
    return Seen(leaks == 0, {"leaks": leaks})


LEAKAGE = Playbook(
    slug="leakage",
    title="Namespace leakage: a point is not where it belongs",
    section="9.3",
    anchor="leakage",
    starts_when="RAG_Leakage_Found pages, or the chat has a message of the leakage audit with the "
    "address of its report.",
    alerts=("RAG_Leakage_Found",),
    steps=(
        Step(
            slug="audit",
            sentence="Open the report that the message links to, then audit now: the report tells "
            "of then. The audit changes nothing.",
            look='`curl -m 2 http://QDRANT:6333/readyz` and `psql "$DATABASE_URL" -c '
            "'SELECT 1'`: an audit of stores that don't answer shows nothing.",
            command="`python scripts/leakage_audit.py --out runs/leakage-incident` (for what the "
            'metadata store holds against itself alone: `psql "$DATABASE_URL" -f '
            "scripts/leakage_audit.sql`)",
            expect="Exit code 0 (clean) or 1 (leaks); index.html and leaks.jsonl name each point "
            "with its owner and with whom it was shown to.",
            way_back="Nothing to take back.",
            condition=_auditable,
            action=_audit,
            effect=_audited,
            needs=("read",),
        ),
        Step(
            slug="purge",
            sentence="If the audit found leaks, purge exactly those points. Who could have seen "
            "them is in the report, and has to be told to whoever answers for data protection "
            "before it is forgotten.",
            look="`jq .leaks runs/leakage-incident/report.json` is more than 0; "
            "`python scripts/leakage_purge.py --findings runs/leakage-incident --dry-run` names "
            "what would go.",
            command="`python scripts/leakage_purge.py --findings runs/leakage-incident`",
            expect="Exit code 0; purge.md says what went and that the audit afterwards found "
            "nothing. Documents that lost a point of their own are named there: write them again.",
            way_back="removed.jsonl holds each removed point as it was; a point that should have "
            "stayed is written back from there, or its document is written again.",
            condition=_leaks_reported,
            action=_purge,
            effect=_nothing_left,
            needs=("destroy",),
            ends_cause=True,
        ),
    ),
)
