"""tune/on-disk-payload: payloads on the disk take less memory, and answers stay what they were."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import OptimizersConfigDiff

from fixtures.scripts import RunScript
from fixtures.tuned import Filled
from harness import conformance, needs
from harness.core.evidence import Evidence
from harness.drivers.base import Stack

SCRIPT = "qdrant_tune.py"
POINTS, SIZE = 2_500, 16
PAYLOAD_BYTES = 8_000
SOON = OptimizersConfigDiff(indexing_threshold=1)
ASKED, TOP = 12, 10
LEAST_SAVED = 0.25
"""Share of the payloads' bytes by which memory must fall: an allocator keeps some of what is freed,
and the system some of what was read."""

LOOKS, PACE_S, SETTLE_S = 3, 0.2, 30.0


def payload(number: int) -> dict[str, Any]:
    """Return a payload of about :data:`PAYLOAD_BYTES` that does not compress to nothing."""
    words = np.random.default_rng(number).integers(0, 2**31, PAYLOAD_BYTES // 9)
    return {"number": number, "text": " ".join(f"{word:08x}" for word in words)}


def resident(stack: Stack) -> float:
    """Return the vector store's resident memory in bytes, the middle of several looks."""
    seen = []
    for _ in range(LOOKS):
        key = {"api-key": stack.credentials("vectordb")["api_key"]}
        url = stack.endpoint("vectordb").url + "/metrics"
        text = httpx.get(url, headers=key, timeout=10, trust_env=False).text
        line = next(each for each in text.splitlines() if each.startswith("memory_resident_bytes "))
        seen.append(float(line.split()[1]))
        time.sleep(PACE_S)
    return statistics.median(seen)


def answers(vectordb: QdrantClient, name: str) -> list[list[tuple[Any, float, Any]]]:
    """Return what a few searches find, with scores and payloads."""
    found = []
    for vector in np.random.default_rng(3).normal(size=(ASKED, SIZE)):
        points = vectordb.query_points(name, query=vector.tolist(), limit=TOP).points
        found.append([(point.id, round(point.score, 5), point.payload) for point in points])
    return found


def settled(look: Callable[[], float], below: float) -> float:
    """Look until the value is below ``below``, or for :data:`SETTLE_S` seconds; the last look."""
    deadline = time.monotonic() + SETTLE_S
    while (seen := look()) > below and time.monotonic() < deadline:
        time.sleep(PACE_S)
    return seen


@conformance("tune/on-disk-payload", since="0.2")
@needs("read", "write", roles=["vectordb"])
@pytest.mark.timing  # no other case may write meanwhile: the memory is that of the whole server
def test_payloads_on_the_disk_take_less_memory_and_answer_alike(
    stack: Stack,
    vectordb: QdrantClient,
    scratch_collection: Filled,
    run_script: RunScript,
    tmp_path: Path,
    evidence: Evidence,
) -> None:
    """Putting payloads on the disk SHOULD lower the store's memory by a good part of them, leave
    every answer as it was, and be undone by the script."""
    empty = resident(stack)
    vectors = np.random.default_rng(5).normal(size=(POINTS, SIZE))
    name = scratch_collection(vectors, payload, on_disk_payload=False, optimizers_config=SOON)
    before = answers(vectordb, name)
    held = resident(stack)
    state = f"--state={tmp_path / 'state.json'}"
    asked = (f"--collection={name}", state, "--questions=10")
    ran = run_script(SCRIPT, *asked, "--on-disk-payload=true")
    evidence.require(
        "the script puts payloads on the disk",
        ran.exit_code == 0 and vectordb.get_collection(name).config.params.on_disk_payload is True,
        expected="exit code 0, on_disk_payload true",
        actual=ran.told,
    )
    total = POINTS * PAYLOAD_BYTES
    freed = settled(lambda: resident(stack), held - LEAST_SAVED * total)
    for what, value in (("without it", empty), ("in memory", held), ("on the disk", freed)):
        evidence.measure(f"resident memory with the payloads {what}", value, "bytes")
    same = answers(vectordb, name) == before
    evidence.require(
        "every answer is as it was",
        same,
        expected=f"ids, scores and payloads of {ASKED} searches",
        actual="as they were" if same else "others",
    )
    evidence.require(
        "the store takes less memory",
        held - freed >= LEAST_SAVED * total,
        expected=f"{LEAST_SAVED:.0%} of {total / 2**20:.0f} MiB of payloads less, or more",
        actual=f"{(held - freed) / 2**20:.0f} MiB less ({held / 2**20:.0f} to {freed / 2**20:.0f})",
    )
    undone = run_script(SCRIPT, *asked, "--undo")
    evidence.require(
        "the script undoes it",
        undone.exit_code == 0
        and vectordb.get_collection(name).config.params.on_disk_payload is False
        and answers(vectordb, name) == before,
        expected="on_disk_payload false, the same answers",
        actual=undone.told,
    )
