"""`/metrics` in the names of the real server, as far as they can be filled honestly."""

from __future__ import annotations

import os
import resource
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from refstack.vectordb import API_VERSION, TITLE

_EDGES = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0, 50.0)


class Timing:
    """Durations of the successful responses of one endpoint, in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.shortest = float("inf")
        self.longest = 0.0
        self.buckets = [0] * len(_EDGES)

    def add(self, seconds: float) -> None:
        """Count one response."""
        self.count += 1
        self.total += seconds
        self.shortest = min(self.shortest, seconds)
        self.longest = max(self.longest, seconds)
        for at, edge in enumerate(_EDGES):
            if seconds <= edge:
                self.buckets[at] += 1


_SUMMARIES: tuple[tuple[str, str, Callable[[Timing], float]], ...] = (
    ("avg", "average", lambda timing: timing.total / timing.count),
    ("min", "minimum", lambda timing: timing.shortest),
    ("max", "maximum", lambda timing: timing.longest),
)


class Responses:
    """Counts by method, endpoint and status; times where the status is 200."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, int], int] = defaultdict(int)
        self.timings: dict[tuple[str, str], Timing] = defaultdict(Timing)

    def add(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one response of a known route."""
        self.counts[method, endpoint, status] += 1
        if status == 200:
            self.timings[method, endpoint].add(seconds)


def escaped(value: object) -> str:
    """A label value as the text format wants it."""
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Page:
    """Builds the text format."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def family(
        self,
        name: str,
        help_text: str,
        kind: str,
        samples: Iterable[tuple[Mapping[str, object], float]],
    ) -> None:
        """One metric with its samples."""
        self._lines += [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
        for labels, value in samples:
            self.sample(name, labels, value)

    def sample(self, name: str, labels: Mapping[str, object], value: float) -> None:
        """One line."""
        inner = ",".join(f'{key}="{escaped(item)}"' for key, item in labels.items())
        shown = int(value) if float(value).is_integer() else value
        self._lines.append(f"{name}{{{inner}}} {shown}" if inner else f"{name} {shown}")

    def responses(self, responses: Responses) -> None:
        """The `rest_responses_*` metrics."""
        self.family(
            "rest_responses_total",
            "total number of responses",
            "counter",
            (
                ({"method": method, "endpoint": endpoint, "status": status}, count)
                for (method, endpoint, status), count in sorted(responses.counts.items())
            ),
        )
        timed = [
            ({"method": method, "endpoint": endpoint, "status": 200}, timing)
            for (method, endpoint), timing in sorted(responses.timings.items())
        ]
        for name, what, value in _SUMMARIES:
            self.family(
                f"rest_responses_{name}_duration_seconds",
                f"{what} response duration",
                "gauge",
                ((dict(labels), value(timing)) for labels, timing in timed),
            )
        name = "rest_responses_duration_seconds"
        self.family(name, "response duration histogram", "histogram", ())
        for labels, timing in timed:
            for edge, count in zip(_EDGES, timing.buckets, strict=True):
                self.sample(f"{name}_bucket", {**labels, "le": edge}, count)
            self.sample(f"{name}_bucket", {**labels, "le": "+Inf"}, timing.count)
            self.sample(f"{name}_sum", dict(labels), timing.total)
            self.sample(f"{name}_count", dict(labels), timing.count)

    def processes(self, pids: list[int]) -> None:
        """Memory, threads, files and page faults of this server: the front and its workers."""
        threads = resident = files = minor = major = 0
        for pid in pids:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                open_files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
            except OSError:
                continue
            minor, major = minor + int(fields[7]), major + int(fields[9])
            threads, resident = threads + int(fields[17]), resident + int(fields[21])
            files += open_files
        resident *= os.sysconf("SC_PAGE_SIZE")
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        for name, text, kind, value in (
            ("memory_resident_bytes", "Resident memory of all processes", "gauge", resident),
            ("process_threads", "count of active threads", "gauge", threads),
            ("process_open_fds", "count of currently open file descriptors", "gauge", files),
            ("process_max_fds", "limit for open file descriptors", "gauge", limit),
            (
                "process_minor_page_faults_total",
                "count of minor page faults which didn't cause a disk access",
                "counter",
                minor,
            ),
            (
                "process_major_page_faults_total",
                "count of disk accesses caused by a mmap page fault",
                "counter",
                major,
            ),
        ):
            self.family(name, text, kind, [({}, value)])

    def app(self) -> None:
        """`app_info`."""
        labels: dict[str, object] = {"name": TITLE, "version": API_VERSION}
        self.family("app_info", "information about qdrant server", "gauge", [(labels, 1)])
        self.family(
            "app_status_recovery_mode", "features enabled in qdrant server", "gauge", [({}, 0)]
        )

    def render(self) -> bytes:
        """The whole page."""
        return ("\n".join(self._lines) + "\n").encode()
