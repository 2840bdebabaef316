"""What the steps of playbooks look at: metrics of the gateway, processor time, Prometheus."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

from harness.core.errors import TargetError
from harness.drivers.base import ProcessIds, Stack

T = TypeVar("T")

WINDOW_S = 3.0
"""A step looks twice, so long apart: what happened meanwhile is what it judges."""

LOOK_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Page:
    """A role's metrics of one moment: name, labels and value of each sample."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over the samples of this name and these labels; 0 where there is none."""
        return sum(
            value
            for found, given, value in self.samples
            if found == name and labels.items() <= given.items()
        )


def metric(stack: Stack, role: str, name: str, **labels: str) -> float:
    """Return one sum of a role's metrics (:func:`page_of`, :meth:`Page.total`)."""
    return page_of(stack, role).total(name, **labels)


def page_of(stack: Stack, role: str) -> Page:
    """Read a role's metrics.

    The role's own page is read and not Prometheus, which may be what is broken.

    Raises:
        TargetError: the page can't be read.
    """
    url = stack.endpoint(role).url + "/metrics"
    try:
        answer = httpx.get(url, timeout=LOOK_TIMEOUT_S, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise TargetError(
            f"The metrics of {role} can't be read.",
            expected=f"an answer from {url} within {LOOK_TIMEOUT_S:g} s",
            actual=f"{type(error).__name__}: {error}",
        ) from error
    return Page(
        tuple(
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        )
    )


def cpu_share(stack: Stack, role: str, window_s: float = WINDOW_S) -> float:
    """Return how much of one processor a role used over a window: 1.0 is one, all the time.

    From /proc where its processes are on this machine; the time that a thread waited for a
    processor does not count as idle, or a busy machine would make a busy role look calm. Else from
    Prometheus.

    Raises:
        TargetError: neither shows it.
    """
    if isinstance(stack, ProcessIds):
        (before, began), (after, ended) = twice(
            lambda: (thread_times(stack.pids(role)), time.monotonic()), window_s
        )
        return busy_share(before, after, ended - began)
    for query in _cpu_queries(role):
        values = ask_prometheus(stack, query)
        if values:
            return sum(values)
    raise TargetError(
        f"The processor time of {role} can't be seen.",
        expected="processes on this machine, or one of these in Prometheus: "
        + "; ".join(_cpu_queries(role)),
        actual="neither",
        next_step="scrape cAdvisor or the role's own /metrics, or look with `docker stats`",
    )


def ask_prometheus(stack: Stack, query: str) -> list[float]:
    """Return the values of an instant query.

    Raises:
        TargetError: there is no Prometheus in the target, or it does not answer.
    """
    url = f"{stack.endpoint('metrics').url}/api/v1/query"
    try:
        answer = httpx.get(
            url, params={"query": query}, timeout=LOOK_TIMEOUT_S, trust_env=False
        ).raise_for_status()
        return [float(series["value"][1]) for series in answer.json()["data"]["result"]]
    except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
        raise TargetError(
            "Prometheus does not answer a query.",
            expected=f"values of {query}",
            actual=f"{type(error).__name__}: {error}",
        ) from error


def twice(look: Callable[[], T], window_s: float = WINDOW_S) -> tuple[T, T]:
    """Look, wait, and look again."""
    first = look()
    time.sleep(window_s)
    return first, look()


def thread_times(pids: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """Return by thread how long (s) it ran and how long it waited for a processor
    (``/proc/<pid>/task/<tid>/schedstat``, first two fields, nanoseconds); without the dead."""
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError, ValueError):
                    ran, waited, _ = (task / "schedstat").read_text().split()
                    found[task.name] = int(ran) / 1e9, int(waited) / 1e9
    return found


def busy_share(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]], seconds: float
) -> float:
    """Return the processors that threads used of the time that nobody stood in their way."""
    share = 0.0
    for thread, (ran, waited) in after.items():
        ran_before, waited_before = before.get(thread, (0.0, 0.0))
        used, held_up = ran - ran_before, waited - waited_before
        # A thread that was held up nearly all the time says too little to be blown up further.
        share += used / max(seconds - held_up, used, seconds / 10)
    return share


def _cpu_queries(role: str) -> tuple[str, str]:
    names = {"vectordb": "qdrant|vectordb", "embed": "embed", "gateway": "gateway"}
    wanted = names.get(role, role)
    return (
        f'sum(rate(container_cpu_usage_seconds_total{{name=~".*({wanted}).*"}}[1m]))',
        f'sum(rate(process_cpu_seconds_total{{job=~".*({wanted}).*"}}[1m]))',
    )
