"""The byte counters of Toxiproxy and a few figures of the process, as Prometheus text."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PROXY_METRICS = (
    ("toxiproxy_proxy_received_bytes_total", "Bytes read from the source of links that ended."),
    ("toxiproxy_proxy_sent_bytes_total", "Bytes written by links that ended cleanly."),
)


@dataclass(frozen=True)
class Labels:
    """What a byte count is told apart by."""

    direction: str
    proxy: str
    listener: str
    upstream: str

    def __str__(self) -> str:
        pairs = (f'{name}="{_escape(value)}"' for name, value in sorted(vars(self).items()))
        return "{" + ",".join(pairs) + "}"


class Metrics:
    """Counters that grow when a link ends, as in the original.

    With neither kind switched on there is no `/metrics`.
    """

    def __init__(self, *, proxies: bool = True, runtime: bool = False) -> None:
        self.proxies = proxies
        self.runtime = runtime
        self._started = time.time()
        self._received: Counter[Labels] = Counter()
        self._sent: Counter[Labels] = Counter()

    @property
    def enabled(self) -> bool:
        """Whether `/metrics` is there."""
        return self.proxies or self.runtime

    def link_over(self, labels: Labels, received: int, sent: int | None) -> None:
        """Count a link that ended; `sent` is None when its end was not clean."""
        if not self.proxies:
            return
        self._received[labels] += received
        if sent is not None:
            self._sent[labels] += sent

    def render(self) -> str:
        """The exposition text."""
        lines: list[str] = []
        if self.proxies:
            counters = (self._received, self._sent)
            for (name, help_text), counter in zip(_PROXY_METRICS, counters, strict=True):
                if counter:
                    lines += [f"# HELP {name} {help_text}", f"# TYPE {name} counter"]
                    lines += [f"{name}{labels} {count}" for labels, count in counter.items()]
        if self.runtime:
            for name, metric_type, value in self._process():
                lines += [f"# TYPE {name} {metric_type}", f"{name} {value}"]
        return "".join(line + "\n" for line in lines)

    def _process(self) -> list[tuple[str, str, float]]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return [
            ("process_cpu_seconds_total", "counter", usage.ru_utime + usage.ru_stime),
            ("process_resident_memory_bytes", "gauge", pages * os.sysconf("SC_PAGE_SIZE")),
            ("process_open_fds", "gauge", len(os.listdir("/proc/self/fd"))),  # noqa: PTH208
            ("process_start_time_seconds", "gauge", self._started),
        ]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
