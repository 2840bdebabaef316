"""Connecting to upstreams without ever holding up the accepts of a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from time import monotonic

from refstack.faultproxy import address

SLOW_S = 0.5
"""From here on a first packet was lost: an address that nobody has is asked for once a second."""


async def dial(upstream: str, timeout_s: float) -> socket.socket:
    """A connected, non-blocking socket to an upstream; its addresses are tried in order.

    Networks of containers hand the address of one that ended to the next one that starts. A
    connection that was begun in between would reach that one, and keep to it; so a name is looked
    up again where connecting took long.

    Raises `OSError` or `address.AddressError` when none answers, `TimeoutError` when
    `timeout_s` run out first.
    """
    async with asyncio.timeout(timeout_s):
        while True:
            connected, endpoint, waited_s = await _first(await address.resolve(upstream, timeout_s))
            if waited_s < SLOW_S:
                return connected
            try:
                if endpoint in await address.resolve(upstream, timeout_s):
                    return connected
            except BaseException:
                connected.close()
                raise
            connected.close()


async def _first(
    endpoints: list[address.Endpoint],
) -> tuple[socket.socket, address.Endpoint, float]:
    """The first that takes a connection, and the seconds that it took."""
    for index, endpoint in enumerate(endpoints):
        began = monotonic()
        try:
            return await _connect(endpoint), endpoint, monotonic() - began
        except OSError:
            if index == len(endpoints) - 1:
                raise
    raise AssertionError("resolve returns at least one endpoint")


async def _connect(endpoint: address.Endpoint) -> socket.socket:
    host = endpoint.host or "127.0.0.1"
    connecting = socket.socket(address.Endpoint(host, endpoint.port).family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        tune(connecting)
        code = connecting.connect_ex((host, endpoint.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, f"connect to {endpoint}")
        # On loopback the connection often stands by now, which saves a turn of the event loop.
        if code and not _connected(connecting):
            await _writable(connecting)
            code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, f"connect to {endpoint}")
    except BaseException:
        connecting.close()
        raise
    return connecting


def tune(end: socket.socket) -> None:
    """What Go sets on every TCP connection: no delay, and keep-alive."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _connected(connecting: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        connecting.getpeername()
        return True
    return False


async def _writable(connecting: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def settle() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(connecting, settle)
    try:
        await ready
    finally:
        loop.remove_writer(connecting)
