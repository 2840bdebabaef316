"""What load to make: which requests, when they arrive, and what makes a run void."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import HarnessError
from harness.core.gateway_api import GatewayApi, Operation, as_json

_TOKEN = re.compile(r"\{token:([^}]*)\}")
_METHOD = re.compile(r"[A-Z]+")


@dataclass(frozen=True, slots=True)
class Request:
    """A template of a request.

    ``headers`` may hold ``{token:NAME}``, filled from the secrets that never touch a file or an
    argument list. ``path`` and the strings of ``json`` may hold ``{i}``, the number of the arrival.
    ``key`` marks the samples of this template. ``weight`` counts in plans with random order.
    ``operation`` (:func:`harness.core.gateway_api.as_json`) is what the request asks a gateway of
    another API for, so that the plan's ``adapter`` can say what the answer means.
    """

    method: str
    path: str
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    weight: float = 1.0
    operation: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, api: GatewayApi, operation: Operation, *, token: str, key: str = "", weight: float = 1
    ) -> Request:
        """Return the request that asks a gateway for ``operation`` with the secret ``token``.

        Raises:
            NotAllowed: the gateway's API has no such operation.
        """
        call = api.ask(operation)
        headers = {**call.headers, **api.credentials(f"{{token:{token}}}")}
        about = as_json(operation) if api.spec else None
        return cls(call.method, call.target, call.json, headers, key, weight, about)

    def __post_init__(self) -> None:
        if not _METHOD.fullmatch(self.method):
            raise HarnessError(
                "a request needs a method", expected="for instance POST", actual=self.method
            )
        if not self.path.startswith("/") or any(c in self.path for c in " \r\n"):
            raise HarnessError(
                "a request path starts at the root of the base URL",
                expected="'/...' without spaces",
                actual=self.path,
            )
        if any("\r" in part or "\n" in part for pair in self.headers.items() for part in pair):
            raise HarnessError("a header holds a line break", actual=sorted(self.headers))
        if not self.weight > 0:
            raise HarnessError("a weight is positive", expected="> 0", actual=self.weight)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """An open-loop load of ``rate`` requests a second for ``duration_s`` seconds.

    ``arrivals``: ``poisson`` (independent users) or ``uniform``, both seeded. ``order``: the
    templates by weight at random (seeded), or in a ``cycle``. ``timeout_s`` is the patience of one
    request, counted from its start. ``max_in_flight`` bounds open requests: an arrival beyond it is
    dropped and voids the run. ``max_lateness_s`` bounds the 99th percentile of the generator's own
    lateness; a later generator voids the run. ``fresh_connections`` opens a connection for each
    request. ``record_headers`` names response headers to keep, ``extract`` maps a name to a dotted
    path in the JSON response (``*`` for each item of a list), for instance
    ``{"ids": "results.*.document_id"}``. ``ca_file`` verifies an https base URL with another root.
    ``adapter`` names the class that reads the answers to requests with an ``operation``: their
    samples carry the status that it says, and ``extract`` looks into what it says.
    """

    base_url: str
    requests: Sequence[Request]
    rate: float
    duration_s: float
    seed: int = 0
    arrivals: Literal["poisson", "uniform"] = "poisson"
    order: Literal["random", "cycle"] = "random"
    timeout_s: float = 10.0
    max_in_flight: int = 512
    max_lateness_s: float = 0.025
    fresh_connections: bool = False
    record_headers: Sequence[str] = ()
    extract: Mapping[str, str] = field(default_factory=dict)
    ca_file: str | None = None
    adapter: str = ""

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.username:
            raise HarnessError(
                "load needs a base URL",
                expected="http://host:port or https://host:port, without credentials",
                actual=url._replace(netloc=url.netloc.rpartition("@")[2]).geturl(),
            )
        if not self.requests:
            raise HarnessError("load needs at least one request template", actual="none")
        for name in ("rate", "duration_s", "timeout_s", "max_in_flight", "max_lateness_s"):
            value = getattr(self, name)
            if not (value > 0 and np.isfinite(value)):
                raise HarnessError(f"{name} is positive", expected="> 0", actual=value)
        if self.arrivals not in ("poisson", "uniform"):
            raise HarnessError(
                "unknown arrivals", expected="poisson or uniform", actual=self.arrivals
            )
        if self.order not in ("random", "cycle"):
            raise HarnessError("unknown order", expected="random or cycle", actual=self.order)

    def tokens(self) -> set[str]:
        """Return the names of the secrets that the templates ask for."""
        return {
            name
            for request in self.requests
            for value in request.headers.values()
            for name in _TOKEN.findall(value)
        }

    def as_json(self) -> str:
        """Return the plan as JSON; it holds no secret."""
        return json.dumps(asdict(self), indent=1, default=dict)


def arrival_times(plan: LoadPlan) -> NDArray[np.float64]:
    """Return the intended starts in seconds from the start of the run, ascending.

    Poisson arrivals have independent exponential gaps, so their number varies with the seed.
    """
    if plan.arrivals == "uniform":
        return np.arange(max(1, round(plan.rate * plan.duration_s))) / plan.rate
    rng = np.random.default_rng([plan.seed, 1])
    mean = plan.rate * plan.duration_s
    # Ten standard deviations more than expected, then cut at the end of the run.
    gaps = rng.exponential(1 / plan.rate, size=int(mean + 10 * np.sqrt(mean) + 20))
    times = np.cumsum(gaps)
    kept: NDArray[np.float64] = times[times < plan.duration_s]
    return kept if len(kept) else times[:1]


def template_choices(plan: LoadPlan, n: int) -> NDArray[np.int32]:
    """Return which template each of ``n`` arrivals uses."""
    if plan.order == "cycle":
        return (np.arange(n) % len(plan.requests)).astype(np.int32)
    weights = np.array([request.weight for request in plan.requests], dtype=np.float64)
    rng = np.random.default_rng([plan.seed, 2])
    return rng.choice(len(weights), size=n, p=weights / weights.sum()).astype(np.int32)
