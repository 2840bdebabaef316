"""Reads each source in a thread of its own, so that one that hangs stops no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from refstack.common.logs import get_logger
from refstack.opsexporter.families import FAMILIES, Sample

PATIENCE_S = 10.0
"""A source that says nothing for this long (and three intervals) counts as unreadable."""


class Source(Protocol):
    """Something that can be measured. ``read`` may raise anything, and then nothing is known."""

    name: str

    def read(self) -> list[Sample]: ...

    def close(self) -> None: ...


class Poller:
    """Keeps the last samples of one source; what could not be read lately is not shown."""

    def __init__(self, source: Source, interval_s: float) -> None:
        self.source = source
        self._interval = interval_s
        self._patience = max(PATIENCE_S, 3 * interval_s)
        self._samples: list[Sample] = []
        self._read_at: float | None = None
        self._reason: str | None = "it was not read yet"
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._follow, daemon=True, name=f"source-{source.name}"
        )

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading; a read that hangs is left behind."""
        self._over.set()
        self._thread.join(timeout=0.5)
        if not self._thread.is_alive():
            self.source.close()

    def current(self) -> tuple[list[Sample], str | None]:
        """The samples, or none and the reason why there are none."""
        if self._reason is None and self._read_at is not None:
            silent = time.monotonic() - self._read_at
            if silent <= self._patience:
                return self._samples, None
            return [], f"it has not answered for {silent:.0f} s"
        return [], self._reason

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                samples = self.source.read()
            except Exception as error:
                # Whatever went wrong, what was read before is no longer known to be so.
                reason = type(error).__name__
                if reason != self._reason:
                    get_logger().warning("source_unreadable", source=self.source.name, error=reason)
                self._samples, self._reason = [], reason
            else:
                if self._reason is not None and self._read_at is not None:
                    get_logger().info("source_readable", source=self.source.name)
                self._samples, self._reason = samples, None
                self._read_at = time.monotonic()
            self._over.wait(self._interval)


class Pollers:
    """A collector for ``prometheus_client``: every family, with the samples there are now."""

    def __init__(self, pollers: Sequence[Poller]) -> None:
        self.pollers = pollers

    def collect(self) -> Iterable[Metric]:
        """Yield each family once; one without samples shows its name and type only."""
        samples: list[Sample] = []
        for poller in self.pollers:
            found, reason = poller.current()
            samples += found
            up = Sample("rag_ops_source_up", float(reason is None), (poller.source.name,))
            samples.append(up)
        for name, family in FAMILIES.items():
            kind = CounterMetricFamily if family.counter else GaugeMetricFamily
            metric = kind(name, family.help, labels=family.labels)
            for sample in samples:
                if sample.family == name:
                    metric.add_metric(sample.labels, sample.value)
            yield metric
