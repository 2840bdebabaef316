"""Removes documents of the hot tier that have outlived their retention, from both stores.

A document is due when it was ingested more than --days days ago; one that is exactly so old is
kept, and so is one without a date. With --dry-run nothing is changed, and due.jsonl names what a
run with the same --as-of would remove: the same documents, the same points, the same digest. A run
writes removed.jsonl (a line a document, before it goes) and retention.json below --out. It goes
batch by batch, the metadata store first, as the gateway deletes: an interrupted run leaves no
point that is not listed for removal, and the next one, with the same --out, goes on from there.
"""

from __future__ import annotations

import getpass
import json
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.core.errors import UsageError
from scripts.dayops.script import Task, main, parser
from scripts.leakage.claims import VectorStore
from scripts.retention.plan import Metadata, PlanDigest
from scripts.retention.policy import (
    DAYS,
    Policy,
    days_of,
    moment_of,
    refuse_too_many,
    tenants_of,
)
from scripts.retention.pruning import AT_ONCE, Pruning, Record, Vectors, reconcile

NEEDED = ("DATABASE_URL", "QDRANT_URL", "QDRANT_API_KEY")
SHARE = "50%"
MOST_NAMED = 1000
CHECKOUT = Path(__file__).resolve().parents[1]


def _arguments() -> Any:
    made = parser("retention_worker.py", __doc__ or "", (*NEEDED, "QDRANT_ALIAS"))
    made.add_argument("--dry-run", action="store_true", help="change nothing, name what would go")
    made.add_argument("--days", default=str(DAYS), help=f"days that are kept (default {DAYS})")
    made.add_argument(
        "--tenant-days", action="append", default=[], metavar="TENANT=DAYS",
        help="other days for a tenant, or never; can be given again",
    )  # fmt: skip
    made.add_argument(
        "--only-tenant", action="append", default=[], metavar="TENANT",
        help="look at this tenant alone; can be given again",
    )  # fmt: skip
    made.add_argument(
        "--as-of", metavar="MOMENT", help="judge ages at this moment, not now (ISO 8601, with zone)"
    )
    made.add_argument(
        "--at-most", default=SHARE, metavar="SHARE",
        help="refuse to take more of all documents (default 50%%)",
    )  # fmt: skip
    made.add_argument("--really", action="store_true", help="take more than that all the same")
    made.add_argument(
        "--batch", type=int, default=AT_ONCE, metavar="N", help=f"documents a time ({AT_ONCE})"
    )
    made.add_argument(
        "--out", type=Path, metavar="DIR", help="where the record goes (default: below runs/)"
    )
    return made


def _work(task: Task) -> None:
    chosen, log = task.arguments, task.log
    days, tenants, share = days_of(chosen.days), tenants_of(chosen.tenant_days), _share(chosen)
    began = datetime.now(UTC)
    out = chosen.out or CHECKOUT / "runs" / f"retention-{began:%Y%m%dT%H%M%SZ}"
    store = VectorStore(task.environment["QDRANT_URL"], task.environment["QDRANT_API_KEY"])
    with Metadata(task.environment["DATABASE_URL"]) as metadata, store:
        vectors = Vectors(store, task.environment["QDRANT_ALIAS"])
        there = metadata.now()
        moment = moment_of(chosen.as_of, there, datetime.now(UTC))
        policy = Policy(moment, days, tenants, tuple(chosen.only_tenant))
        told: dict[str, Any] = {
            "dry_run": chosen.dry_run,
            "as_of": moment.isoformat(),
            "cutoff": policy.cutoff.isoformat(),
            "days": days,
            "tenant_days": {name: held or "never" for name, held in tenants.items()},
            "only_tenants": list(policy.only),
            **_doubts(task, metadata, vectors, policy, there),
        }
        if not chosen.dry_run:
            metadata.alone()
        due, documents = metadata.count(policy)
        log.event("due", documents=due, of=documents, cutoff=told["cutoff"])
        if chosen.dry_run:
            told |= _list(metadata, policy, out / "due.jsonl")
            log.say(f"{told['documents']:,} of {documents:,} documents would go; nothing did")
        else:
            refuse_too_many(due, documents, share, really=chosen.really)
            told |= _prune(task, metadata, vectors, policy, out / "removed.jsonl", due)
            log.say(f"{told['documents']:,} documents are on record as removed")
    told |= {
        "share_refused": share,
        "began": began.isoformat(),
        "by": f"{_user()}@{platform.node()}",
    }
    told["ended"] = datetime.now(UTC).isoformat()
    name = "dry-run.json" if chosen.dry_run else "retention.json"
    (out / name).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    task.told.update(told)


def _share(chosen: Any) -> float:
    text = str(chosen.at_most)
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise UsageError("--at-most is a share.", expected="such as 50% or 0.5", actual=text)
    if chosen.batch < 1:
        raise UsageError("--batch is too small.", expected="1 or more", actual=chosen.batch)
    return share


def _doubts(
    task: Task, metadata: Metadata, vectors: Vectors, policy: Policy, now: datetime
) -> dict[str, Any]:
    """What a person should look at; none of it is pruned."""
    strangers = metadata.strangers(policy)
    if strangers:
        task.log.warn("tenants_unknown", f"no document is of {strangers}", tenants=strangers)
    undated = metadata.undated(policy, now, MOST_NAMED)
    if undated:
        task.log.warn(
            "documents_undated",
            f"{len(undated)} documents have no usable date and stay",
            documents=undated,
        )
    points = vectors.undated(policy, MOST_NAMED)
    if points:
        count = sum(len(ids) for ids in points.values())
        task.log.warn("points_undated", f"{count} points have no date", points=points)
    return {"tenants_unknown": strangers, "documents_undated": undated, "points_undated": points}


def _list(metadata: Metadata, policy: Policy, path: Path) -> dict[str, Any]:
    digest = PlanDigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for each in metadata.listed(policy):
            line = each.as_line()
            digest.add(line)
            file.write(line)
    return _figures(digest, path)


def _prune(
    task: Task, metadata: Metadata, vectors: Vectors, policy: Policy, path: Path, due: int
) -> dict[str, Any]:
    former = reconcile(path, metadata)
    record = Record(path)
    try:
        pruning = Pruning(metadata, vectors, record, task.log, task.arguments.batch)
        ended = pruning.work_off()
        removed = pruning.run(policy, due)
    finally:
        record.close()
    more = {"removed_by_this_run": removed, "deletions_ended": ended, "never_removed": former}
    return _figures(record.digest(), path) | more


def _figures(digest: PlanDigest, path: Path) -> dict[str, Any]:
    return {
        "documents": digest.documents,
        "points": digest.points,
        "digest": digest.total,
        "record": str(path),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def run(argv: Sequence[str] | None = None) -> int:
    """Prune and tell; returns the exit code."""
    return main("retention_worker.py", _arguments(), NEEDED, _work, argv)


if __name__ == "__main__":
    raise SystemExit(run())
