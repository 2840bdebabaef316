"""tune/ef: a search that keeps more candidates finds more, and takes longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client.models import HnswConfigDiff, OptimizersConfigDiff

from fixtures.scripts import Ran, RunScript
from fixtures.tuned import Filled
from harness import conformance, needs
from harness.core.evidence import Evidence

SCRIPT = "qdrant_tune.py"
POINTS, SIZE = 5_000, 48
THIN = HnswConfigDiff(m=4, ef_construct=8, full_scan_threshold=10)
"""An index so thin that a short search misses much of what is near."""

SOON = OptimizersConfigDiff(indexing_threshold=1)
LOW_EF, HIGH_EF = 10, 400
LOW = 0.85


def measured(ran: Ran, when: str) -> dict[str, Any]:
    """Return what the script measured before or after, as its last log line tells it."""
    found = ran.event("finished").get(when)
    return found if isinstance(found, dict) else {}


def random_vectors(points: int, size: int) -> np.ndarray:
    """Return vectors without any structure, in which the nearest are hard to find."""
    return np.random.default_rng(7).normal(size=(points, size))


@conformance("tune/ef", since="0.2")
@needs("read", "write", roles=["vectordb"])
def test_a_higher_ef_finds_more_and_its_cost_is_shown(
    scratch_collection: Filled, run_script: RunScript, tmp_path: Path, evidence: Evidence
) -> None:
    """On a collection where recall is low, raising ef SHOULD raise it beyond the intervals of both
    measurements, with the latency of both shown, and a dry run change nothing."""
    name = scratch_collection(
        random_vectors(POINTS, SIZE), lambda _: {}, hnsw_config=THIN, optimizers_config=SOON
    )
    ran = run_script(
        SCRIPT, f"--collection={name}", f"--from-ef={LOW_EF}", f"--ef={HIGH_EF}",
        "--dry-run", f"--state={tmp_path / 'state.json'}",
    )  # fmt: skip
    before, after = measured(ran, "before"), measured(ran, "after")
    evidence.require(
        "the script measures both",
        ran.exit_code == 0 and "recall" in before and "recall" in after,
        expected="exit code 0, recall before and after",
        actual=ran.told,
    )
    for ef, found in ((LOW_EF, before), (HIGH_EF, after)):
        evidence.measure(
            f"recall@10 at ef {ef}",
            found["recall"],
            "share",
            n=found["questions"],
            interval=[found["recall_low"], found["recall_high"]],
            level=0.95,
        )
        evidence.measure(f"search p95 at ef {ef}", found["p95_ms"] / 1000, "s")
    evidence.require(
        f"recall is low at ef {LOW_EF}",
        before["recall_high"] < LOW,
        expected=f"below {LOW}, or the comparison would show nothing",
        actual=f"{before['recall']} [{before['recall_low']}, {before['recall_high']}]",
    )
    evidence.require(
        f"ef {HIGH_EF} raises it beyond the intervals",
        after["recall_low"] > before["recall_high"],
        expected=f"above {before['recall_high']}",
        actual=f"{after['recall']} [{after['recall_low']}, {after['recall_high']}]",
    )
    evidence.require(
        "what it costs is shown, and nothing was changed",
        after["p50_ms"] > 0 < before["p50_ms"] and not (tmp_path / "state.json").exists(),
        expected="latency of both, nothing to undo",
        actual=f"p50 {before['p50_ms']} ms before, {after['p50_ms']} ms after",
    )
