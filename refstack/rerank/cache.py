"""A least-recently-used cache bounded by the bytes that its entries say they hold."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """A cached value that knows about how much memory it holds."""

    @property
    def nbytes(self) -> int: ...


V = TypeVar("V", bound=Sized)
_ENTRY_BYTES = 200
"""Bookkeeping of one entry: key, links and the entry's own object."""


class TextCache(Generic[V]):
    """Keeps what was worked out for a text, keyed by the text's digest, not by the text.

    Safe to use from several threads. With `most_bytes` 0 nothing is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._held = 0
        self._entries: OrderedDict[bytes, V] = OrderedDict()
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def get(self, text: str, make: Callable[[str], V]) -> V:
        """The value for the text, made and kept if it was not there."""
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        with self._lock:
            known = self._entries.get(key)
            if known is not None:
                self._entries.move_to_end(key)
                self.hits += 1
                return known
            self.misses += 1
        value = make(text)
        with self._lock:
            if key not in self._entries:
                self._entries[key] = value
                self._held += value.nbytes + _ENTRY_BYTES
            while self._held > self._most:
                _, oldest = self._entries.popitem(last=False)
                self._held -= oldest.nbytes + _ENTRY_BYTES
        return value

    @property
    def held_bytes(self) -> int:
        """About how many bytes are held."""
        return self._held

    def __len__(self) -> int:
        return len(self._entries)
