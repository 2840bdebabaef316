"""One proxy: a listener, its connections, and the toxics on them."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
from dataclasses import dataclass
from typing import Any

from refstack.common import logs
from refstack.faultproxy.address import AddressError, Endpoint
from refstack.faultproxy.chain import Chain, Direction, Toxic
from refstack.faultproxy.connection import Connection
from refstack.faultproxy.dial import dial, tune
from refstack.faultproxy.errors import cannot_listen
from refstack.faultproxy.link import Link
from refstack.faultproxy.metrics import Labels, Metrics

BACKLOG = 4096
ACCEPTS_PER_TURN = 64
OUT_OF_FILES_PAUSE_S = 0.1
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True)
class Surroundings:
    """What every proxy of a server shares."""

    loop: asyncio.AbstractEventLoop
    metrics: Metrics
    seed: int
    dial_timeout_s: float


def link_rng(seed: int, proxy: str, number: int, direction: Direction) -> random.Random:
    """The random numbers of one link: of a proxy's `number`th client, counted from 1.

    Each link has its own, so a run repeats its draws however its connections interleave.
    """
    return random.Random(f"{seed} {proxy} {number} {direction.value}")


class Proxy:
    """A named listener that connects each client to the upstream through two links.

    `listen` holds the text that was asked for until the proxy first starts, then the address
    that it is bound to.
    """

    def __init__(self, around: Surroundings, name: str, listen: str, upstream: str) -> None:
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.chain = Chain()
        self._around = around
        self._listener: socket.socket | None = None
        self._resume: asyncio.TimerHandle | None = None
        self._dials: dict[asyncio.Task[None], socket.socket] = {}
        self._connections: set[Connection] = set()
        self._accepted = 0

    @property
    def enabled(self) -> bool:
        """Whether the proxy listens."""
        return self._listener is not None

    def show(self) -> dict[str, Any]:
        """The proxy as the API shows it."""
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "Logger": {},
            "toxics": [toxic.show() for toxic in self.chain.all()],
        }

    def start(self, where: Endpoint | AddressError) -> None:
        """Listen at an endpoint that `listen` resolves to; raises `ApiError` 500 if it can't."""
        if isinstance(where, AddressError):
            raise cannot_listen(f"listen tcp: {where}")
        listener = _bind(where)
        self.listen = str(Endpoint(*listener.getsockname()[:2]))
        self._listener = listener
        self._around.loop.add_reader(listener, self._accept)
        logs.get_logger().info("proxy_started", **self._names())

    def stop(self) -> None:
        """Close the listener and both legs of every connection."""
        if self._listener is None:
            return
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        self._around.loop.remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        for task, client in self._dials.items():
            task.cancel()
            client.close()
        for connection in self._connections:
            for link in connection.links.values():
                if not link.over:
                    self._count(link)
            connection.abort()
        logs.get_logger().info("proxy_stopped", connections=len(self._connections), **self._names())
        self._connections.clear()

    def add_toxic(self, body: Any) -> Toxic:
        """Add the toxic that a request asks for, to open connections too."""
        toxic = self.chain.create(body)
        for link in self._links(toxic.direction):
            link.add(toxic)
        self._tell("toxic_added", toxic)
        return toxic

    def update_toxic(self, name: str, body: Any) -> Toxic:
        """Change attributes and toxicity of a toxic, on open connections too."""
        toxic = self.chain.update(name, body)
        for link in self._links(toxic.direction):
            link.update(toxic)
        self._tell("toxic_updated", toxic)
        return toxic

    def remove_toxic(self, toxic: Toxic) -> None:
        """Take a toxic off the proxy and off its open connections."""
        self.chain.remove(toxic)
        for link in self._links(toxic.direction):
            link.remove(toxic)
        self._tell("toxic_removed", toxic)

    def remove_toxics(self) -> None:
        """Take every toxic off the proxy."""
        for toxic in self.chain.all():
            self.remove_toxic(toxic)

    def _links(self, direction: Direction) -> list[Link]:
        # A copy: a change can close connections, which leave the set.
        return [connection.links[direction] for connection in self._connections]

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    self._pause_accepts(error)
                return
            client.setblocking(False)
            tune(client)
            self._accepted += 1
            task = self._around.loop.create_task(self._connect(client, self._accepted))
            self._dials[task] = client
            task.add_done_callback(self._dials.pop)

    def _pause_accepts(self, error: OSError) -> None:
        assert self._listener is not None
        logs.get_logger().error("accept_failed", reason=error.strerror, **self._names())
        self._around.loop.remove_reader(self._listener)
        self._resume = self._around.loop.call_later(OUT_OF_FILES_PAUSE_S, self._resume_accepts)

    def _resume_accepts(self) -> None:
        self._resume = None
        if self._listener is not None:
            self._around.loop.add_reader(self._listener, self._accept)

    async def _connect(self, client: socket.socket, number: int) -> None:
        try:
            upstream = await dial(self.upstream, self._around.dial_timeout_s)
        except (OSError, AddressError) as error:
            client.close()
            reason = str(error) or f"no answer in {self._around.dial_timeout_s:g} s"
            logs.get_logger().warning("upstream_unreachable", reason=reason, **self._names())
            return

        def rng(direction: Direction) -> random.Random:
            return link_rng(self._around.seed, self.name, number, direction)

        connection = Connection(
            self._around.loop, client, upstream, rng, self._count, self._connections.discard
        )
        self._connections.add(connection)
        connection.start(self.chain)

    def _count(self, link: Link) -> None:
        labels = Labels(link.direction.value, self.name, self.listen, self.upstream)
        sent = None if link.failed else link.sent
        self._around.metrics.link_over(labels, link.received, sent)

    def _names(self) -> dict[str, str]:
        return {"proxy": self.name, "listen": self.listen, "upstream": self.upstream}

    def _tell(self, event: str, toxic: Toxic) -> None:
        logs.get_logger().info(event, proxy=self.name, **toxic.show())


def _bind(where: Endpoint) -> socket.socket:
    listener = socket.socket(where.family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if where.family == socket.AF_INET6 and not where.host:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setblocking(False)
        listener.bind((where.host, where.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise cannot_listen(f"listen tcp {where}: bind: {reason}") from None
    return listener
