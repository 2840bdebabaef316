"""Runs models in threads, a few texts at a time, so that a query never waits for a whole batch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from refstack.embed.models import LOADERS, Embedded, Model, ModelUnavailable

SLICE = 8
"""Texts that a thread embeds before the next request gets its turn."""


class Overloaded(Exception):
    """More requests are waiting than the pool takes."""


class Pool:
    """Loads each model on first use, on its device of `devices`, and embeds in `threads` threads.

    A request has at most one slice per thread under way, so requests share the threads fairly.
    At most `most_waiting` requests are held; the next one raises Overloaded.
    """

    def __init__(self, devices: Mapping[str, str], threads: int, most_waiting: int) -> None:
        self._devices = devices
        self._threads = threads
        self._most_waiting = most_waiting
        self._waiting = 0
        self._models: dict[str, Model] = {}
        self._failures: dict[str, str] = {}
        self._locks = {name: threading.Lock() for name in devices}
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="embed")

    def failure(self, name: str) -> str | None:
        """Why the model could not be loaded when it was last tried, or None."""
        return self._failures.get(name)

    def loaded(self, name: str) -> bool:
        """Whether the model is in memory."""
        return name in self._models

    async def load(self, name: str) -> None:
        """Load the model if it is not loaded; raises ModelUnavailable."""
        await asyncio.get_running_loop().run_in_executor(self._executor, self._model, name)

    async def embed(self, name: str, texts: list[str]) -> Embedded:
        """Embed texts; raises Overloaded or ModelUnavailable."""
        if self._waiting >= self._most_waiting:
            raise Overloaded
        self._waiting += 1
        try:
            return await self._embed(name, texts)
        finally:
            self._waiting -= 1

    async def _embed(self, name: str, texts: list[str]) -> Embedded:
        loop = asyncio.get_running_loop()
        if len(texts) <= SLICE:
            return await loop.run_in_executor(self._executor, self._run, name, texts)
        starts = iter(range(0, len(texts), SLICE))
        done: dict[int, Embedded] = {}

        async def work() -> None:
            for start in starts:
                part = texts[start : start + SLICE]
                done[start] = await loop.run_in_executor(self._executor, self._run, name, part)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._threads):
                    group.create_task(work())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        parts = [done[start] for start in sorted(done)]
        vectors = np.concatenate([part.vectors for part in parts])
        return Embedded(vectors, sum(part.tokens for part in parts))

    def _run(self, name: str, texts: list[str]) -> Embedded:
        return self._model(name).embed(texts)

    def _model(self, name: str) -> Model:
        with self._locks[name]:
            if name not in self._models:
                try:
                    self._models[name] = LOADERS[name](self._devices[name])
                except Exception as error:
                    unavailable = isinstance(error, ModelUnavailable)
                    self._failures[name] = str(error) if unavailable else type(error).__name__
                    raise ModelUnavailable(self._failures[name]) from error
                self._failures.pop(name, None)
            return self._models[name]

    def close(self) -> None:
        """Give up what is queued; a slice under way ends on its own."""
        self._executor.shutdown(wait=False, cancel_futures=True)
