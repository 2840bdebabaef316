"""Which model's vectors a request reads and writes; a query never leaves its model's space."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from refstack.common.problems import Problem
from refstack.gateway.deadline import Deadline
from refstack.gateway.settings import Settings, collection_of
from refstack.gateway.vectors import VectorStore

ALIAS_FRESH_S = 1.0
"""Seconds for which the target of the alias is taken as known."""


@dataclass(frozen=True)
class Space:
    """A model and the collection that holds its vectors and no others."""

    model: str
    collection: str


def draw_canary(share: float, asked: bool, chance: Callable[[], float] = random.random) -> bool:
    """Whether a request goes to the canary: if it asks to, else by the share, each on its own."""
    return asked or chance() < share


class Spaces:
    """The spaces of the models that this gateway is set to.

    The alias names the stable model's collection. Requests read and write collections by their
    own names, so a switch of the alias during a request cannot mix two spaces. While a canary
    is set, the alias may point at either model's collection, and the stable model is the one it
    points at: switching the alias promotes the canary for all requests at once.
    """

    def __init__(self, settings: Settings, vectors: VectorStore) -> None:
        self._alias = settings.alias
        self._canary = settings.canary
        self._canary_model = settings.embed_model
        self._vectors = vectors
        self._known = tuple(
            Space(model, collection_of(settings.alias, model)) for model in settings.models
        )
        self._target: str | None = None
        self._read_at = float("-inf")

    @property
    def written(self) -> tuple[Space, ...]:
        """The spaces that every write goes to."""
        return self._known

    def owns(self, collection: str) -> bool:
        """Whether a collection is one of a model's, known to this gateway or not."""
        return collection.startswith(f"{self._alias}-")

    async def stable(self, deadline: Deadline, *, fresh: bool = False) -> Space:
        """The space that the alias points at; with `fresh`, as it is now.

        Raises `Problem` 503 if that is not one this gateway is set to, `UpstreamError` if the
        vector store does not say.
        """
        now = time.monotonic()
        if fresh or now >= self._read_at + ALIAS_FRESH_S:
            self._target = (await self._vectors.aliases(deadline)).get(self._alias)
            self._read_at = now
        for space in self._known:
            if space.collection == self._target:
                return space
        wanted = " or ".join(space.collection for space in self._known)
        raise Problem(
            503,
            f"The alias {self._alias} points at {self._target or 'nothing'}, and this gateway "
            f"is set to {wanted}; it does not answer from another model's vectors.",
            kind="embedding-space-mismatch",
            headers={"Retry-After": "5"},
        )

    async def for_query(self, deadline: Deadline, *, asked: bool) -> tuple[Space, bool]:
        """The space of one query, and whether it is the canary's by draw or by request."""
        stable = await self.stable(deadline)
        if self._canary is not None and draw_canary(self._canary.share, asked):
            return next(s for s in self._known if s.model == self._canary_model), True
        return stable, False
