"""`python -m refstack.vectordb.worker DIRECTORY PARENT FD`: serve one collection over a socket.

Requests are served one at a time, in the order in which they arrive; between them the worker
flushes and optimizes. It ends when the front process closes the socket or ends.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from refstack.vectordb import wire
from refstack.vectordb.checks import JsonObject
from refstack.vectordb.errors import ApiError, from_engine
from refstack.vectordb.files import die_with_parent
from refstack.vectordb.worker import reads, writes
from refstack.vectordb.worker.answers import dumps
from refstack.vectordb.worker.collection import Collection

Endpoint = Callable[[Collection, bytes, JsonObject], Any]
ENDPOINTS: dict[str, Endpoint] = {
    "query": reads.query,
    "query_batch": reads.query_batch,
    "query_groups": reads.query_groups,
    "search": reads.search,
    "search_batch": reads.search_batch,
    "scroll": reads.scroll,
    "count": reads.count,
    "facet": reads.facet,
    "retrieve": reads.retrieve,
    "point": reads.one_point,
    "info": reads.info,
    "update": writes.update,
    "update_batch": writes.update_batch,
    "create_index": writes.create_index,
    "delete_index": writes.delete_index,
    "create_vector": writes.create_vector,
    "delete_vector": writes.delete_vector,
    "patch": writes.patch,
    "export": writes.export,
    "adopt": writes.adopt,
}
PANIC_STATUS = 599
"""Internal to worker and front: the answer of a call in which the engine panicked."""


class EnginePanic(BaseException):
    """The engine has panicked: its state is unknown, so the process must end."""


def log(level: str, event: str, **fields: object) -> None:
    """One line in the form of the front's log, whose output this process shares."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = {"ts": now, "level": level, "event": event, "service": "vectordb", **fields}
    print(orjson.dumps(line).decode(), flush=True)


def serve(collection: Collection, front: socket.socket) -> None:
    """Answer calls until the front closes the socket."""
    while True:
        readable, _, _ = select.select([front], [], [], collection.wait_s())
        if readable:
            call = wire.read_call(front)
            if call is None:
                return
            call_id, parameters, body = call
            status, answer = _answered(collection, parameters, body)
            front.sendall(wire.pack_answer(call_id, status, len(answer)))
            front.sendall(answer)
            if status == PANIC_STATUS:
                raise EnginePanic
        try:
            collection.tick()
        except Exception as error:
            collection.tick_failed(error)
            log("error", "background_work_failed", collection=collection.name, reason=str(error))


def _answered(collection: Collection, parameters: bytes, body: bytes) -> tuple[int, bytes]:
    read: JsonObject = orjson.loads(parameters)
    try:
        return 200, dumps(ENDPOINTS[read["op"]](collection, body, read))
    except ApiError as error:
        return error.status, error.message.encode()
    except Exception as error:
        mapped = from_engine(error)
        return mapped.status, mapped.message.encode()
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return PANIC_STATUS, f"Service internal error: the engine panicked: {error}".encode()


def main() -> int:
    """Open the collection, say so by an unasked answer with id 0, serve, and close it."""
    directory, parent, descriptor = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    die_with_parent(parent)
    # The front decides when a worker stops; a signal to the whole group must not cut it short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    front = socket.socket(fileno=descriptor)
    front.setblocking(True)
    try:
        collection = Collection(directory)
    except BaseException as error:
        message = f"{type(error).__name__}: {error}".encode()
        front.sendall(wire.pack_answer(0, 500, len(message)) + message)
        return 1
    front.sendall(wire.pack_answer(0, 200, 0))
    try:
        serve(collection, front)
    except (BrokenPipeError, ConnectionResetError):
        return 0
    except EnginePanic:
        return 3
    collection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
