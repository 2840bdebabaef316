"""monitor/gpu-figures: what happens to a GPU shows where operators and their rules look."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from fixtures.dashboards import Prometheus
from fixtures.faults import Inject
from fixtures.tenants import Connect, Tenant
from harness import conformance, needs
from harness.core.evidence import Evidence

NAMES = {
    "DCGM_FI_DEV_GPU_UTIL": (0.0, 100.0),
    "DCGM_FI_DEV_FB_USED": (0.0, 1e6),
    "DCGM_FI_DEV_FB_FREE": (0.0, 1e6),
    "DCGM_FI_DEV_GPU_TEMP": (0.0, 120.0),
    "DCGM_FI_DEV_SM_CLOCK": (1.0, 5000.0),
    "DCGM_FI_DEV_XID_ERRORS": (0.0, 1000.0),
}
"""DCGM's names, with what each may be in DCGM's units: percent, MiB, °C, MHz, error number."""

LABELS = {"gpu", "UUID", "device", "modelName", "Hostname"}
XID_OFF_THE_BUS = 79
SEEN_S = 8.0


def _latest(prometheus: Prometheus, query: str) -> list[tuple[dict[str, str], float]]:
    """Labels and last value of each series that is there now (not one that has gone stale)."""
    return [
        (series["metric"], float(series["values"][-1][1]))
        for series in prometheus.range(query, seconds=0.0)
    ]


def _wait(prometheus: Prometheus, query: str, fits: Callable[[list[Any]], bool]) -> list[Any]:
    deadline = time.monotonic() + SEEN_S
    while True:
        found = _latest(prometheus, query)
        if fits(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


@conformance("monitor/gpu-figures", since="0.2")
@needs("read", roles=["metrics", "gpu"])
def test_figures_carry_the_names_labels_and_units_of_dcgm(
    prometheus: Prometheus, evidence: Evidence
) -> None:
    """Load, memory, temperature, clock and last error of each GPU MUST be exported under DCGM's
    names, with its labels and in its units."""
    for name, (low, high) in NAMES.items():
        found = _wait(prometheus, name, bool)
        evidence.require(
            f"{name} is exported for each device, with DCGM's labels, in its unit",
            bool(found)
            and all(labels.keys() >= LABELS for labels, _ in found)
            and all(low <= value <= high for _, value in found),
            expected=f"{low:g} to {high:g} with {', '.join(sorted(LABELS))}",
            actual=found or "nothing",
        )


@conformance("monitor/gpu-figures", since="0.2")
@needs("fault", "write", roles=["edge", "embed", "rerank", "fallback", "metrics", "gpu"])
def test_a_lost_device_shows_and_questions_are_still_answered(
    prometheus: Prometheus,
    new_tenant: Callable[..., Tenant],
    connect: Connect,
    faults: Inject,
    evidence: Evidence,
) -> None:
    """A GPU that falls off the bus MUST show as XID 79 and no longer as a load, questions MUST be
    answered and say what the answer lacks, and the device MUST show again once it is back."""
    gateway = connect(new_tenant("gpu", ("work",)).token)
    gateway.put_document("work", "The spare card lies in the second drawer.").expect(201)
    with faults("gpu-device-lost"):
        xid = _wait(
            prometheus,
            "DCGM_FI_DEV_XID_ERRORS",
            lambda found: [value for _, value in found] == [XID_OFF_THE_BUS],
        )
        evidence.require(
            "the error of the lost device is seen",
            [value for _, value in xid] == [XID_OFF_THE_BUS],
            expected=f"XID {XID_OFF_THE_BUS}",
            actual=xid,
        )
        load = _wait(prometheus, "DCGM_FI_DEV_GPU_UTIL", lambda found: not found)
        evidence.require(
            "no figure of a device that is gone is told any more",
            not load,
            expected="no load of it",
            actual=load,
        )
        answer = gateway.query("Where is the spare card?", "work").expect(200).json
        evidence.require(
            "a question is answered, and told what the answer lacks",
            bool(answer["results"])
            and set(answer["degraded"] or ()) == {"embed_fallback", "rerank_unavailable"},
            expected="results, degraded by embed_fallback and rerank_unavailable",
            actual=[len(answer["results"]), answer["degraded"]],
        )
    after = _wait(prometheus, "DCGM_FI_DEV_GPU_UTIL", bool)
    evidence.require(
        "the device is seen again once it is back",
        bool(after),
        expected="its load",
        actual=after or "nothing",
    )


@conformance("monitor/gpu-figures", since="0.2")
@needs("fault", roles=["embed", "rerank", "metrics", "gpu"])
def test_a_throttled_device_is_told_from_a_busy_one(
    prometheus: Prometheus, faults: Inject, evidence: Evidence
) -> None:
    """A GPU that is held back by heat MUST show the reason and its lower clock beside its load: by
    the load alone it would be taken for a busy one, and a second card would be bought."""
    with faults("gpu-throttled", slower_ms=100):
        reasons = _wait(
            prometheus,
            "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS",
            lambda found: any(int(value) & 0x40 for _, value in found),
        )
        evidence.require(
            "the reason of the lower clock is seen",
            any(int(value) & 0x40 for _, value in reasons),
            expected="the bit of a slowdown by heat (0x40)",
            actual=reasons or "nothing",
        )
        busy = _wait(
            prometheus,
            "DCGM_FI_DEV_GPU_UTIL > 80 and on (gpu) DCGM_FI_DEV_SM_CLOCK < 1000",
            bool,
        )
        evidence.require(
            "high load with a low clock is seen",
            bool(busy),
            expected="over 80 % below 1,000 MHz",
            actual=busy or "nothing",
        )
