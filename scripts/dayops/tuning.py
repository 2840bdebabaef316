"""How well a collection's searches find what an exact one finds, what that takes, and its knobs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from harness.checks.means import mean_interval
from harness.checks.quantiles import percentile_interval
from harness.core.errors import TargetError
from scripts.dayops.script import Refused

K = 10
SEED = 20
SAMPLE = 400
"""Stored points that questions are made from."""

BUILT_S = 1800.0
SETTLED = 3
"""Looks in a row at which a collection must be green: it may not have noticed the change yet."""

PACE_S = 0.4
RESIDENT = "memory_resident_bytes"


@dataclass(frozen=True)
class Measured:
    """Recall at :data:`K` against an exact search, with its interval, and latency in ms."""

    ef: int | None
    questions: int
    recall: float
    recall_low: float
    recall_high: float
    p50_ms: float
    p95_ms: float
    resident_mib: float | None

    def told(self) -> dict[str, Any]:
        """For the log; what is not known is left out."""
        return {name: value for name, value in vars(self).items() if value is not None}


class Bench:
    """A collection of a Qdrant-compatible server, to be asked, measured and set.

    Every method raises TargetError when the server does not do what it is asked, and Refused when
    it says that it will not.
    """

    def __init__(self, url: str, api_key: str, collection: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"api-key": api_key}, timeout=120, trust_env=False
        )
        self._path = f"/collections/{quote(collection, safe='')}"
        self.collection = collection

    def settings(self) -> dict[str, Any]:
        """Return the settings that can be tuned, as they are."""
        config = self._call("GET", "")["config"]
        hnsw = config["hnsw_config"]
        return {
            "m": hnsw["m"],
            "ef_construct": hnsw["ef_construct"],
            "on_disk_payload": bool(config["params"].get("on_disk_payload")),
        }

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Set what is given, in one request."""
        hnsw = {name: wanted[name] for name in ("m", "ef_construct") if name in wanted}
        body: dict[str, Any] = {"hnsw_config": hnsw} if hnsw else {}
        if "on_disk_payload" in wanted:
            body["params"] = {"on_disk_payload": wanted["on_disk_payload"]}
        self._call("PATCH", "", body)

    def settle(self, tell: Callable[[str], None]) -> float:
        """Wait until nothing is rebuilt any more; returns the seconds that took.

        Raises:
            TargetError: it still is after half an hour.
        """
        began, green = time.monotonic(), 0
        while green < SETTLED:
            status = self._call("GET", "")["status"]
            green = green + 1 if status == "green" else 0
            if time.monotonic() - began > BUILT_S:
                raise TargetError(
                    "The collection is still being rebuilt.",
                    expected=f"status green within {BUILT_S:.0f} s",
                    actual=status,
                    next_step="wait for it; the change itself is in force",
                )
            tell(f"{self.collection} is {status} after {time.monotonic() - began:.0f} s")
            time.sleep(PACE_S)
        return time.monotonic() - began

    def measure(self, ef: int | None, questions: int) -> Measured:
        """Ask each question exactly and by the index; ``ef`` None is what the server takes itself.

        Questions are the middles of two stored vectors, drawn with a fixed seed: near to what is
        there, and no point of it.

        Raises:
            Refused: there are too few points to say anything.
        """
        vectors = self._sample()
        if len(vectors) < 2 * K:
            raise Refused(
                "There is too little in the collection to measure.",
                expected=f"{2 * K} points or more",
                actual=len(vectors),
            )
        draw = np.random.default_rng(SEED)
        asked = [
            ((vectors[a] + vectors[b]) / 2).tolist()
            for a, b in draw.integers(0, len(vectors), size=(questions, 2))
        ]
        how = {} if ef is None else {"hnsw_ef": ef}
        recalls, seconds = [], []
        self._search(asked[0], how)  # opens the connection
        for vector in asked:
            due, _ = self._search(vector, {"exact": True})
            got, took = self._search(vector, how)
            recalls.append(len(due & got) / max(1, len(due)))
            seconds.append(took)
        recall = mean_interval(recalls)
        latency = {p: percentile_interval(seconds, p)[0].estimate for p in (0.5, 0.95)}
        return Measured(
            ef,
            questions,
            round(recall.estimate, 4),
            round(recall.low, 4),
            round(recall.high, 4),
            round(1000 * latency[0.5], 3),
            round(1000 * latency[0.95], 3),
            self.resident_mib(),
        )

    def resident_mib(self) -> float | None:
        """Return the server's resident memory as it tells it, None where it does not."""
        try:
            answer = self._client.get("/metrics")
        except httpx.HTTPError:
            return None
        for line in answer.text.splitlines() if answer.status_code == 200 else ():
            name, _, value = line.partition(" ")
            if name == RESIDENT:
                return round(float(value) / 2**20, 1)
        return None

    def _sample(self) -> np.ndarray:
        body = {"limit": SAMPLE, "with_vector": True, "with_payload": False}
        points = self._call("POST", "/points/scroll", body)["points"]
        vectors = [point["vector"] for point in points if isinstance(point.get("vector"), list)]
        return np.array(vectors, dtype=np.float64)

    def _search(self, vector: list[float], how: Mapping[str, Any]) -> tuple[set[Any], float]:
        body = {"query": vector, "limit": K, "params": dict(how), "with_payload": False}
        began = time.perf_counter()
        points = self._call("POST", "/points/query", body)["points"]
        return {point["id"] for point in points}, time.perf_counter() - began

    def _call(self, method: str, rest: str, body: Any = None) -> Any:
        path = self._path + rest
        try:
            response = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise TargetError(
                f"The vector store did not answer {method} {path}.",
                expected="an answer from QDRANT_URL",
                actual=f"{type(error).__name__}: {error}",
                next_step="check that it runs, and run this again",
            ) from error
        if response.status_code in (400, 404, 422):
            raise Refused(
                f"The vector store refuses {method} {path}.",
                actual=f"{response.status_code}: {response.text[:300]}",
            )
        if response.status_code != 200:
            raise TargetError(
                f"The vector store failed {method} {path}.",
                expected=200,
                actual=f"{response.status_code}: {response.text[:300]}",
                next_step="check QDRANT_API_KEY and the server's log",
            )
        return response.json()["result"]
