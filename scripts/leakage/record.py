"""The record of a purge: what went, what stayed and what is left to do."""

from __future__ import annotations

import getpass
import json
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scripts.leakage.auditing import Report
from scripts.leakage.findings import KINDS
from scripts.leakage.purging import REMOVED_FILE, Outcome

MOST_DOCUMENTS = 1000


def write_record(outcome: Outcome, after: Report | None, directory: Path) -> Path:
    """Write ``purge.json`` and ``purge.md``; returns the latter's path."""
    name = "dry-run" if outcome.dry_run else "purge"
    figures = _figures(outcome, after)
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    (directory / f"{name}.json").write_text(text, encoding="utf-8")
    page = directory / f"{name}.md"
    page.write_text(_page(outcome, after, figures), encoding="utf-8")
    return page


def _figures(outcome: Outcome, after: Report | None) -> dict[str, Any]:
    return {
        "dry_run": outcome.dry_run,
        "began": _utc(outcome.began),
        "ended": _utc(outcome.ended),
        "by": f"{_user()}@{platform.node()}",
        "removed": {kind: outcome.removed[kind] for kind in KINDS},
        "removed_by_collection": dict(outcome.by_collection),
        "gone_already": outcome.gone,
        "spared": outcome.spared,
        "recorded_over_all_runs": outcome.recorded,
        "rest": outcome.rest,
        "documents_to_embed_again": sorted(outcome.to_embed)[:MOST_DOCUMENTS],
        "leaks_afterwards": None if after is None else after.leaks,
    }


def _page(outcome: Outcome, after: Report | None, figures: dict[str, Any]) -> str:
    would = "would be removed (dry run: nothing was)" if outcome.dry_run else "removed"
    lines = [
        f"# Purge of leaked points{', dry run' if outcome.dry_run else ''}",
        "",
        f"{figures['began']} to {figures['ended']}, by {figures['by']}.",
        "",
        f"- {outcome.total} points {would}. `{record_file(outcome.dry_run)}` names "
        f"{outcome.recorded}, those of earlier runs included.",
        f"- {outcome.gone} were gone already, {outcome.spared} were no leak any more.",
    ]
    lines += [f"- {kind}: {count}" for kind, count in figures["removed"].items() if count]
    if outcome.dry_run:
        return "\n".join(lines) + "\n"
    for name, rest in outcome.rest.items():
        lines.append(
            f"- The rest of {name} is as it was: {rest['points_after']} points, digest "
            f"`{rest['digest_after'][:16]}` before and after."
        )
    if not outcome.rest:
        lines.append("- The rest was not compared by content; `--digest` does that.")
    if after is not None:
        left = f"finds {after.leaks} more" if after.leaks else "is clean"
        lines.append(f"- The audit afterwards {left}: {after.points} points.")
    lines += ["", "## Left to do", ""]
    if outcome.to_embed:
        lines.append(
            f"- {len(outcome.to_embed)} documents miss a point now (`documents_to_embed_again` in "
            "the JSON): run the gateway's reindex job for each model."
        )
    lines.append("- Backups made while these points were there still hold them.")
    return "\n".join(lines) + "\n"


def record_file(dry_run: bool) -> str:
    """Return the name of the file that names every point."""
    return f"dry-run-{REMOVED_FILE}" if dry_run else REMOVED_FILE


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
