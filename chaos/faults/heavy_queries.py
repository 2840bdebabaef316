"""Heavy queries: somebody's batch job keeps the vector store's processor busy."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

import httpx

from chaos.faults import companion
from chaos.faults.base import Fault, Proof, in_range
from chaos.faults.notes import Notes
from chaos.faults.role_fault import visible
from harness.core.errors import NotAllowed, TargetError
from harness.drivers.base import Stack

_TIMEOUT_S = 30.0
_PROBES = 5


@dataclass(frozen=True)
class HeavyQueries(Fault):
    """A process of its own sends the vector store batches of exact searches, two at a time, each
    as large as ``collection`` takes ``seconds`` to answer, so that it is never idle and every other
    query waits. Like a script without retries it ends with the first batch that is not answered:
    a restart of the store is its end."""

    seconds: float = 0.6
    collection: str = "rag-chunks"

    slug: ClassVar[str] = "heavy-queries"
    sentence: ClassVar[str] = "A batch job keeps the vector store's processor busy."

    def __post_init__(self) -> None:
        in_range(self.slug, "seconds", self.seconds, 0.05, 10, "seconds until a batch is answered")

    @property
    def on(self) -> str:
        """The vector store."""
        return "vectordb"

    def check_target(self, stack: Stack) -> None:
        """The role is there and its processes are visible."""
        super().check_target(stack)
        if "vectordb" not in stack.roles():
            raise NotAllowed(f"The target {stack.name!r} has no vectordb.", expected="the role")
        visible(stack)

    def before(self, stack: Stack) -> dict[str, Any]:
        """How long a small search takes while all is well (seconds)."""
        return {"seconds": min(self._small(stack) for _ in range(_PROBES))}

    def inject(self, stack: Stack) -> None:
        """Start the batch job; returns once a batch has kept the store busy."""
        notes = self._notes(stack)
        notes.write()
        endpoint = stack.endpoint("vectordb")
        settings = {
            "host": endpoint.host,
            "port": endpoint.port,
            "path": f"/collections/{self.collection}/points/query/batch",
            "headers": self._headers(stack),
            "seconds": self.seconds,
            "search": {"query": self._point(stack), "limit": 50, "params": {"exact": True}},
        }
        try:
            notes.write(companion=companion.start("queries", stack.run_id, settings))
        except companion.CompanionError as error:
            raise TargetError("The batch job could not be started.", actual=str(error)) from error

    def prove(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """Small searches wait, the slowest for a large part of a batch, and the job still runs."""
        kept = self._notes(stack).read() or {}
        runs = "companion" in kept and companion.alive(kept["companion"])
        waits = []
        for _ in range(_PROBES):
            waits.append(self._small(stack))
            # Not in step with the batches.
            time.sleep(self.seconds / 7)
        slow = max(waits) > before["seconds"] + self.seconds / 3
        return Proof(runs and slow, {"job runs": runs, "search (s)": waits, "before": before})

    def heal(self, stack: Stack) -> None:
        """End the batch job."""
        notes = self._notes(stack)
        kept = notes.read()
        if kept is None:
            return
        if "companion" in kept:
            companion.end(kept["companion"])
        notes.forget()

    def prove_healed(self, stack: Stack, before: dict[str, Any]) -> Proof:
        """A small search no longer waits, and the notes are gone."""
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            took = min(self._small(stack) for _ in range(_PROBES))
            fast = took < before["seconds"] + self.seconds / 3
            if fast or time.monotonic() > deadline:
                on = self._notes(stack).read() is not None
                return Proof(fast and not on, {"search (s)": took})

    def _notes(self, stack: Stack) -> Notes:
        return Notes(stack, self.slug, self.on)

    def _headers(self, stack: Stack) -> dict[str, str]:
        key = stack.credentials("vectordb").get("api_key")
        return {"api-key": key} if key else {}

    def _call(self, stack: Stack, path: str, body: dict[str, Any]) -> Any:
        url = f"{stack.endpoint('vectordb').url}/collections/{self.collection}/points/{path}"
        try:
            answer = httpx.post(
                url, json=body, headers=self._headers(stack), timeout=_TIMEOUT_S, trust_env=False
            )
            return answer.raise_for_status().json()["result"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise TargetError(
                "The vector store does not answer.",
                expected=f"200 for {url}",
                actual=f"{type(error).__name__}: {error}",
            ) from error

    def _point(self, stack: Stack) -> Any:
        """The id of some point, which serves as the query."""
        points = self._call(stack, "scroll", {"limit": 1, "with_payload": False})["points"]
        if not points:
            raise TargetError(
                f"The collection {self.collection} is empty, so no query can be heavy.",
                expected="at least one point",
                next_step="load a corpus first",
            )
        return points[0]["id"]

    def _small(self, stack: Stack) -> float:
        began = time.monotonic()
        self._call(stack, "scroll", {"limit": 1, "with_payload": False})
        return time.monotonic() - began
