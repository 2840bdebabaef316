"""Plans the split of the vector store's shards (operations guide, section 7): how many points each
collection holds, how it has grown, when it reaches the limit, and the shards it then needs.

Asks the vector store, and Prometheus for the growth (rag_vectordb_points); changes nothing. The
number of shards is fixed when a collection is made, so a split is another collection: `create` in
the log is the body that makes it, to be filled and put behind the alias.
"""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.checks.collection import Collection
from harness.core.errors import TargetError, UsageError
from scripts.dayops.alert_history import ask
from scripts.dayops.scratch_collections import is_scratch
from scripts.dayops.script import Refused, Task, main, parser
from scripts.dayops.shards import LIMIT, Growth, growth, in_words, plan
from scripts.dayops.vectorstore import VectorStore

SCRIPT = "plan_shards.py"
NEEDS = ("QDRANT_URL", "QDRANT_API_KEY")
READS = (*NEEDS, "PROMETHEUS_URL")
SERIES = "rag_vectordb_points"
SAMPLES = 500
CODES = """exit codes:
  0  told, whether a split is due or not (`due` in the last log line)
  1  refused: there is no such collection
  2  the vector store or Prometheus does not answer; run it again
  4  wrong usage: an argument or a variable is missing or wrong
"""


def grown(prometheus: str, collection: str, days: float, now: datetime) -> Growth | None:
    """Return how a collection grew over the last ``days``; None where too little was kept.

    Raises:
        TargetError: Prometheus does not answer as one.
    """
    name = collection.replace("\\", "\\\\").replace('"', '\\"')
    step = max(15.0, days * 86_400 / SAMPLES)
    query = {
        "query": f'max by (collection) ({SERIES}{{collection="{name}"}})',
        "start": f"{(now - timedelta(days=days)).timestamp():.3f}",
        "end": f"{now.timestamp():.3f}",
        "step": f"{step:g}",
    }
    answer = ask(prometheus, "/api/v1/query_range", query)
    try:
        found = answer["data"]["result"]
        samples = [(float(at), float(value)) for at, value in found[0]["values"]] if found else []
    except (KeyError, TypeError, ValueError) as error:
        raise TargetError(
            "Prometheus gave no series.", expected=f"a matrix of {SERIES}", actual=str(answer)[:200]
        ) from error
    return growth(samples)


def work(task: Task) -> None:
    """Plan every collection, or the one that was named."""
    chosen, log, environment = task.arguments, task.log, task.environment
    for name in ("limit", "per_shard", "horizon_days", "over_days"):
        given = getattr(chosen, name)
        if given is not None and given <= 0:
            raise UsageError(f"--{name.replace('_', '-')} must be more than nothing.", actual=given)
    url, key = environment["QDRANT_URL"], environment["QDRANT_API_KEY"]
    store, now = VectorStore(url, key), datetime.now(UTC)
    there = [name for name in store.collections() if not is_scratch(name)]
    names = there
    if chosen.collection:
        names = [store.aliases().get(chosen.collection, chosen.collection)]
        if names[0] not in there:
            raise Refused(
                f"There is no collection or alias {chosen.collection!r}.",
                expected=", ".join(sorted({*there, *store.aliases()})) or "any collection",
            )
    if not environment.has("PROMETHEUS_URL"):
        log.warn("growth_unknown", "PROMETHEUS_URL is not set: nothing is known of growth")
    due: list[str] = []
    for name in names:
        collection = Collection(url, name, api_key=key)
        info = collection.info()
        found = None
        if environment.has("PROMETHEUS_URL"):
            found = grown(environment["PROMETHEUS_URL"], name, chosen.over_days, now)
        planned = plan(
            name,
            collection.count(),
            info["config"]["params"],
            found,
            limit=chosen.limit,
            per_shard=chosen.per_shard or max(1, chosen.limit // 2),
            horizon_days=chosen.horizon_days,
            now=now,
        )
        told = planned.told()
        if planned.due and planned.shards > planned.shards_now:
            path = f"/collections/{urllib.parse.quote(name, safe='')}-{planned.shards}-shards"
            body = {**_settings(info["config"]), "shard_number": planned.shards}
            indexes = sorted(info.get("payload_schema") or {})
            told["create"] = {"method": "PUT", "path": path, "body": body, "indexes": indexes}
            due.append(name)
        log.event("plan", **told)
        log.say(in_words(planned, chosen.limit, chosen.horizon_days))
    task.told.update(collections=len(names), due=due)


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """What another collection is made with so that it is like this one, but for its shards."""
    made = {name: value for name, value in config["params"].items() if value is not None}
    for name in ("hnsw_config", "quantization_config"):
        if config.get(name) is not None:
            made[name] = config[name]
    return made


def run(argv: Sequence[str] | None = None) -> int:
    """Run the script; returns its exit code."""
    arguments = parser(SCRIPT, __doc__ or "", READS, codes=CODES)
    arguments.add_argument("--collection", metavar="NAME", help="or an alias (default: all)")
    arguments.add_argument(
        "--limit", type=int, default=LIMIT, metavar="POINTS",
        help=f"points of a collection at which a split is due (default: {LIMIT:,}, the guide's)",
    )  # fmt: skip
    arguments.add_argument(
        "--per-shard", type=int, metavar="POINTS",
        help="points that a shard may hold at the horizon (default: half the limit, so that it can "
        "double before it is to be split again)",
    )  # fmt: skip
    arguments.add_argument(
        "--horizon-days", type=float, default=365.0, metavar="DAYS",
        help="how far ahead a split is planned (default: 365)",
    )  # fmt: skip
    arguments.add_argument(
        "--over-days", type=float, default=28.0, metavar="DAYS",
        help="how far back growth is looked at (default: 28)",
    )  # fmt: skip
    return main(SCRIPT, arguments, NEEDS, work, argv)


if __name__ == "__main__":
    raise SystemExit(run())
