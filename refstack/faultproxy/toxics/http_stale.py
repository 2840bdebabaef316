"""`http_stale`: answers with what was answered before (extension, HTTP only)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from refstack.faultproxy.http.stage import Exchange, HttpStage, check_rate
from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Toxic

MOST_KEPT = 64
MOST_KEPT_BYTES = 256 * 1024
"""Answers kept by one toxic, and the largest of them: 16 MiB at most."""


@dataclass(frozen=True)
class Settings:
    """Share of responses that are hit, of those for which an earlier one is known."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        check_rate(self.rate)


_kept: WeakKeyDictionary[Toxic, OrderedDict[tuple[bytes, bytes], bytes]] = WeakKeyDictionary()


@register("http_stale", Settings)
class HttpStale(HttpStage):
    """Like a cache that forgets what the answer depends on: who asked, and with which body.

    The answer to a request is the true answer to the request before it with the same method and
    target, whichever connection that came by. The toxic has to see one answer before it can
    repeat it.
    """

    def concerns(self, exchange: Exchange) -> bool:
        """Answers with a body that end in the same way as others do."""
        return (
            exchange.status == 200
            and exchange.request.method != b"HEAD"
            and not exchange.connection_closes
        )

    def always_sees(self) -> bool:
        """To keep them."""
        return True

    def changed(self, exchange: Exchange, wire: bytes, body: bytes, hit: bool) -> bytes | None:
        """The answer before this one; this one is kept for the next request."""
        kept = _kept.setdefault(self.toxic, OrderedDict())
        key = (exchange.request.method, exchange.request.target)
        earlier = kept.pop(key, None)
        if len(wire) <= MOST_KEPT_BYTES:
            kept[key] = wire
            if len(kept) > MOST_KEPT:
                kept.popitem(last=False)
        return earlier if hit else None
