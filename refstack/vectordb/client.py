"""The front's side of a worker process: start, call, and start again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from refstack.common.logs import get_logger
from refstack.vectordb import wire
from refstack.vectordb.checks import JsonObject
from refstack.vectordb.errors import ApiError, service_error

OPEN_TIMEOUT_S = 60.0
"""How long a request waits for a worker that is opening its collection."""
RESTARTS_IN_A_ROW = 3
"""So many failures to open, and the collection counts as broken."""
RETRY_S = 2.0
"""A request to a broken collection tries to open it again, at most so often."""
STOP_TIMEOUT_S = 0.5
_PANIC_STATUS = 599


class _Link(asyncio.Protocol):
    """Receives answers and hands each to its caller."""

    def __init__(self, on_answer: Callable[[int, int, bytes], None], on_end: Callable[[], None]):
        self._on_answer = on_answer
        self._on_end = on_end
        self._buffer = bytearray()
        self._needed = wire.ANSWER.size

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = wire.ANSWER.size
        while len(self._buffer) >= self._needed:
            call_id, status, size = wire.ANSWER.unpack_from(self._buffer)
            if len(self._buffer) < head + size:
                self._needed = head + size
                return
            body = bytes(memoryview(self._buffer)[head : head + size])
            del self._buffer[: head + size]
            self._needed = head
            self._on_answer(call_id, status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_end()


class WorkerClient:
    """One collection's worker. `call` waits while the worker starts, and fails when it dies."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.broken: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._ready: asyncio.Event = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._next_id = 1
        self._failures = 0
        self._stopping = False
        self._opened = False
        self._retry_at = float("inf")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether a call would be served now."""
        return self._transport is not None and self._ready.is_set() and self.broken is None

    @property
    def pid(self) -> int | None:
        """The worker's process id."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process; returns before it has opened the collection."""
        self._ready.clear()
        self._opened = False
        ours, theirs = socket.socketpair()
        for side in (ours, theirs):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        environment = {**os.environ, "RUST_BACKTRACE": "0"}
        with theirs:
            # From the loop's own thread, which is the main one: the kernel's parent-death signal
            # is tied to the thread that forked.
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "refstack.vectordb.worker",
                    str(self.directory),
                    str(os.getpid()),
                    str(theirs.fileno()),
                ],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        process = self._process
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            lambda: _Link(self._on_answer, lambda: self._on_end(process)), sock=ours
        )
        self._transport = transport

    def _on_answer(self, call_id: int, status: int, body: bytes) -> None:
        if call_id == 0:
            if status == 200:
                self._failures = 0
                self._opened = True
                self._retry_at = float("inf")
                self.broken = None
                self._ready.set()
            else:
                self.broken = body.decode("utf-8", "replace")
                get_logger().error(
                    "collection_cannot_be_opened", collection=self.name, reason=self.broken
                )
            return
        future = self._waiting.pop(call_id, None)
        if future is not None and not future.done():
            future.set_result((status, body))

    def _on_end(self, process: subprocess.Popen[bytes]) -> None:
        if process is not self._process:
            return
        self._transport = None
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(
                    service_error(
                        f"the worker process of collection `{self.name}` ended during the request;"
                        " whether a write took effect is unknown"
                    )
                )
        if self._stopping:
            return
        self._ready.clear()
        task = asyncio.get_running_loop().create_task(self._restart(process))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart(self, process: subprocess.Popen[bytes]) -> None:
        status = await _reaped(process)
        get_logger().warning("worker_ended", collection=self.name, pid=process.pid, status=status)
        if not self._opened:
            self._failures += 1
            # One that was killed by a signal left no reason.
            self.broken = self.broken or f"the worker ended with status {status}"
        if self._failures >= RESTARTS_IN_A_ROW:
            self._retry_at = time.monotonic() + RETRY_S
            self._ready.set()
            return
        if self._failures:
            await asyncio.sleep(0.1 * 2**self._failures)
        if not self._stopping:
            await self.start()

    async def _try_again(self) -> None:
        """What kept a broken collection from opening, such as a full disk, may have passed."""
        if self._transport is None and not self._stopping:
            self._retry_at = float("inf")
            self._failures = RESTARTS_IN_A_ROW - 1
            await self.start()

    async def call(
        self, parameters: JsonObject, body: bytes = b"", timeout_s: float | None = None
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises `ApiError` 500, 503 or, after the timeout, 408."""
        if self.broken is not None and time.monotonic() > self._retry_at:
            await self._try_again()
        if not self._ready.is_set():
            try:
                await asyncio.wait_for(self._ready.wait(), timeout_s or OPEN_TIMEOUT_S)
            except TimeoutError:
                raise service_error(
                    f"collection `{self.name}` is still being opened", 503
                ) from None
        if self._transport is None:
            if self.broken is not None:
                raise service_error(
                    f"collection `{self.name}` cannot be opened: {self.broken}; restore it from a "
                    "snapshot or delete it"
                )
            raise service_error(f"collection `{self.name}` is being closed", 503)
        call_id = self._next_id
        self._next_id += 1
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future
        self._transport.write(wire.pack_call(call_id, orjson.dumps(parameters), body))
        try:
            status, answer = await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            self._waiting.pop(call_id, None)
            raise ApiError(
                408, f"Timeout: the operation did not finish within {timeout_s:g} s"
            ) from None
        return (500 if status == _PANIC_STATUS else status), answer

    async def ask(self, op: str, body: bytes = b"", **parameters: object) -> bytes:
        """The answer of a call that must succeed. Raises its `ApiError` otherwise."""
        status, answer = await self.call({"op": op, **parameters}, body)
        if status != 200:
            raise ApiError(status, answer.decode("utf-8", "replace"))
        return answer

    async def stop(self, *, kill: bool = False) -> None:
        """End the process: it flushes first, within `STOP_TIMEOUT_S`, unless `kill`."""
        self._stopping = True
        process, transport = self._process, self._transport
        self._transport = None
        if process is None:
            return
        if kill:
            _signal(process, signal.SIGKILL)
        if transport is not None:
            transport.close()
        if await _reaped(process, STOP_TIMEOUT_S) is None:
            _signal(process, signal.SIGKILL)
            await _reaped(process)
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(
                    service_error(f"collection `{self.name}` was closed during the request", 503)
                )
        self._ready.set()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)


async def _reaped(process: subprocess.Popen[bytes], timeout_s: float = 10.0) -> int | None:
    """The exit status, or None when the process has not ended in time."""
    give_up = time.monotonic() + timeout_s
    pause = 0.002
    while process.poll() is None:
        if time.monotonic() > give_up:
            return None
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return process.returncode
