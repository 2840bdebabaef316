"""One client connection: two sockets, and a link for each direction between them."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable

from refstack.faultproxy.chain import Chain, Direction
from refstack.faultproxy.link import Link

_LINGER_0 = struct.pack("ii", 1, 0)
"""`SO_LINGER` on with 0 seconds: closing discards what is unsent and sends an RST."""


class Connection:
    """A client socket and an upstream socket with links in both directions.

    There is no half-close: when one direction is at its end its destination is closed, which
    ends the other direction after whatever that still holds. `link_over` is called with each
    link that ends by itself, `closed` once with the connection when both have ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: socket.socket,
        upstream: socket.socket,
        rng: Callable[[Direction], random.Random],
        link_over: Callable[[Link], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self._sockets = (client, upstream)
        self._rng = rng
        self._rngs: dict[Direction, random.Random] = {}
        self._link_over = link_over
        self._closed = closed
        self.links = {
            Direction.UPSTREAM: Link(
                loop, Direction.UPSTREAM, client, upstream, self._draw_up, self._finished
            ),
            Direction.DOWNSTREAM: Link(
                loop, Direction.DOWNSTREAM, upstream, client, self._draw_down, self._finished
            ),
        }

        up, down = self.links.values()
        up.other, down.other = down, up

    def start(self, chain: Chain) -> None:
        """Begin to pass data, through the toxics that are there now."""
        if any(toxic.stage_type.hard_close for toxic in chain.all()):
            for end in self._sockets:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        for direction, link in self.links.items():
            if not link.over:
                link.start(chain.towards(direction))

    def abort(self) -> None:
        """Close both legs at once; what is in flight is lost."""
        for link in self.links.values():
            link.drop()
        for end in self._sockets:
            end.close()

    def _draw_up(self) -> random.Random:
        return self._draw(Direction.UPSTREAM)

    def _draw_down(self) -> random.Random:
        return self._draw(Direction.DOWNSTREAM)

    def _draw(self, direction: Direction) -> random.Random:
        # Made only where a toxic asks: seeding costs more than the rest of a connection.
        if direction not in self._rngs:
            self._rngs[direction] = self._rng(direction)
        return self._rngs[direction]

    def _finished(self, link: Link) -> None:
        up, down = self.links.values()
        other = down if link is up else up
        if not other.over:
            # The event loop must let go of the socket before it is closed.
            other.let_go_of_source()
        link.dest.close()
        self._link_over(link)
        other.source_gone()
        if up.over and down.over:
            self.abort()
            self._closed(self)
