"""A small HTTP server whose answers, stalls and broken connections the load tests choose."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest


class Target:
    """Serves ``/ok``, ``/status/<n>``, ``/close``, ``/truncate``, ``/garbage``,
    ``/until-close`` and ``/hang``.

    ``gate``: while it is shut, no request is answered. ``requests`` counts by path,
    ``connections`` counts connections, ``seen`` keeps headers and bodies as they came.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Event()
        self._gate.set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def shut(self) -> None:
        self._loop.call_soon_threadsafe(self._gate.clear)

    def open(self) -> None:
        self._loop.call_soon_threadsafe(self._gate.set)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connection, "127.0.0.1", 0)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        start, *lines = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path = start.split()[1]
        self.requests[path] += 1
        self.seen.append((path, headers, body))
        await self._gate.wait()
        if path == "/close":
            return False
        if path == "/hang":
            await asyncio.sleep(30)
        if path == "/truncate":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await writer.drain()
            return False
        if path == "/garbage":
            writer.write(b"220 mail.example ready\r\n")
            await writer.drain()
            return False
        if path == "/until-close":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nall of it")
            await writer.drain()
            return False
        status = path.split("/")[2] if path.startswith("/status/") else "200"
        answer = json.dumps({"results": [{"id": "a"}, {"id": "b"}], "model": "m"}).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n"
            "X-Colour: blue\r\n\r\n".encode()
            + answer
        )
        await writer.drain()
        return True


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    server.start()
    yield server
    server.close()
