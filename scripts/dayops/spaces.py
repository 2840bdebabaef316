"""The spaces of a gateway: which models it writes with, which one answers, and what each lacks."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from harness.checks.agreement import compare_stores
from harness.core.errors import TargetError
from scripts.dayops import postgres
from scripts.dayops.environment import Environment
from scripts.dayops.script import locked
from scripts.dayops.vectorstore import VectorStore

ASK_S = 10.0
_CHUNKS = "SELECT tenant_id, chunk_id, point_id::text FROM public.chunks"
_STILL_THERE = "SELECT point_id::text FROM public.chunks WHERE point_id = ANY (%s::uuid[])"
_HIDDEN = "SELECT row_security_active('public.chunks'::regclass)"


@dataclass(frozen=True)
class Gateway:
    """What the gateway that serves says of itself: the ``models`` whose spaces it writes to."""

    models: tuple[str, ...]
    colour: str = ""


@dataclass(frozen=True)
class Lack:
    """What a model's space lacks of the documents.

    ``missing``: chunks without a point. ``mislabelled``: points that name another tenant or chunk
    than the document does. ``extra``: points of no chunk, which answer nothing; those of writes
    under way are among them.
    """

    chunks: int
    points: int
    missing: int
    mislabelled: int
    extra: int

    @property
    def complete(self) -> bool:
        """Whether every chunk answers from this space."""
        return not self.missing and not self.mislabelled

    def told(self) -> dict[str, int]:
        """For the log."""
        names = ("chunks", "points", "missing", "mislabelled", "extra")
        return {name: getattr(self, name) for name in names}


class Spaces:
    """The collections ``<alias>-<model>`` and the alias that names the model which answers."""

    def __init__(self, environment: Environment) -> None:
        self.alias = environment["QDRANT_ALIAS"]
        self._store = VectorStore(environment["QDRANT_URL"], environment["QDRANT_API_KEY"])
        self._gateway = environment["GATEWAY_URL"]
        self._dsn = environment["DATABASE_URL"]

    def collection(self, model: str) -> str:
        """The name of a model's collection."""
        return f"{self.alias}-{model}"

    def models(self) -> list[str]:
        """The models that have a collection."""
        prefix = f"{self.alias}-"
        names = self._store.collections()
        return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]

    def behind(self) -> str:
        """The model whose collection the alias points at.

        Raises:
            TargetError: there is no such alias, or it points at something else.
        """
        target = self._store.aliases().get(self.alias, "")
        if not target.startswith(f"{self.alias}-"):
            raise TargetError(
                f"The alias {self.alias} names no model.",
                expected=f"a collection {self.alias}-<model>",
                actual=target or "no such alias",
                next_step="run the deployment job (python -m refstack.gateway.migrate)",
            )
        return target.removeprefix(f"{self.alias}-")

    def switch(self, model: str) -> None:
        """Point the alias at a model's collection, in one step that readers see as one.

        Raises:
            TargetError: it points elsewhere afterwards.
        """
        self._store.set_aliases({self.alias: self.collection(model)})
        if (now := self.behind()) != model:
            raise TargetError(f"The alias {self.alias} was not moved.", expected=model, actual=now)

    def gateway(self) -> Gateway:
        """Ask the gateway that serves which models it writes with.

        Raises:
            TargetError: it does not answer, or does not say.
        """
        url = f"{self._gateway}/healthz"
        try:
            told: Any = httpx.get(url, timeout=ASK_S, trust_env=False).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            raise TargetError(
                "The gateway does not say what it runs with.",
                expected=f"JSON from {url}",
                actual=f"{type(error).__name__}: {error}",
            ) from error
        model, stable = told.get("embed_model"), told.get("stable_model")
        if not model or not stable:
            raise TargetError(
                "The gateway does not say which models it writes with.",
                expected="embed_model and stable_model",
                actual=sorted(told),
            )
        return Gateway(tuple(dict.fromkeys((stable, model))), str(told.get("colour", "")))

    def lack(self, model: str) -> Lack:
        """Compare a model's space with the documents, while both are written to.

        The documents are read first: a gateway that writes to this space has put a document's
        points there before the document is there, so that one which is seen without its points
        lacks them. What was deleted meanwhile is taken out.

        Raises:
            TargetError: a store does not answer, or hides rows.
        """
        with postgres.connect(self._dsn) as link:
            hidden = link.execute(_HIDDEN).fetchone()
            if hidden is None or hidden[0]:
                raise TargetError(
                    "The role of DATABASE_URL can't see every tenant's documents.",
                    expected="the owner, or a role that bypasses row-level security",
                )
            rows = link.execute(_CHUNKS).fetchall()
            with self._store.reader(self.collection(model)) as reader:
                found = compare_stores(rows, reader)
            gone = [str(own.point) for own in found.without_point]
            still = link.execute(_STILL_THERE, [gone]).fetchall() if gone else []
        mislabelled = len(found.mislabelled) + len(found.duplicate_rows)
        return Lack(found.rows, found.points, len(still), mislabelled, len(found.without_row))


@contextlib.contextmanager
def alone(environment: Environment) -> Iterator[None]:
    """Keep other promotions of this alias away; the lock dies with the process.

    Raises:
        Busy: another one is under way on this machine.
    """
    place = Path(tempfile.gettempdir()) / f"ragdrill-scripts-{os.getuid()}"
    place.mkdir(mode=0o700, exist_ok=True)
    where = f"{environment['QDRANT_URL']} {environment['QDRANT_ALIAS']}"
    name = hashlib.sha256(where.encode()).hexdigest()[:16]
    what = "Another promotion behind this alias is under way."
    with locked(place / f"promotion-{name}.lock", what):
        yield
