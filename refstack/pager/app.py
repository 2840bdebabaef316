"""The pager's routes."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.logs import get_logger
from refstack.common.problems import EXCEPTION_HANDLERS, Problem
from refstack.common.responses import JsonResponse, read_body
from refstack.common.settings import Environment, SettingError
from refstack.pager.journal import Journal

MOST_BYTES = 4 << 20
_RECEIVER = re.compile(r"[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,7}")


class Pager:
    """Takes deliveries and shows them; a delivery is answered once it is on disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._failure: str | None = None
        self.registry = CollectorRegistry()
        self._deliveries = Counter(
            "rag_pager_deliveries_total", "Deliveries taken", registry=self.registry
        )

    async def ready(self) -> dict[str, str | None]:
        """The last write must have reached the disk."""
        return {"file": self._failure}

    async def deliver(self, request: Request) -> Response:
        """`POST /<receiver>`: any JSON object, such as Alertmanager's webhook."""
        receiver = request.path_params["receiver"]
        if not _RECEIVER.fullmatch(receiver):
            raise Problem(404, "A receiver's name has letters, digits and . _ - / only.")
        received_at = time.time()
        try:
            payload = orjson.loads(await read_body(request, MOST_BYTES))
        except ValueError:
            raise Problem(400, "The body is not valid JSON.") from None
        if not isinstance(payload, dict):
            raise Problem(422, "The body must be a JSON object.")
        entry = {"received_at": received_at, "receiver": receiver, "payload": payload}
        try:
            await run_in_threadpool(self._journal.append, entry)
        except OSError as error:
            self._failure = error.strerror or type(error).__name__
            get_logger().error("not_kept", receiver=receiver, reason=self._failure)
            raise Problem(503, "The delivery could not be kept; send it again.") from None
        self._failure = None
        self._deliveries.inc()
        return JsonResponse({"received_at": received_at, "receiver": receiver})

    async def deliveries(self, request: Request) -> Response:
        """`GET /deliveries?receiver=&since=`, oldest first; `since` excluded, in UTC seconds."""
        receiver = request.query_params.get("receiver")
        held = request.query_params.get("since", "0")
        try:
            since = float(held)
        except ValueError:
            since = math.nan
        if not math.isfinite(since):
            raise Problem(422, "`since` must be a number of UTC seconds.")

        def read() -> list[dict[str, Any]]:
            return [
                entry
                for entry in self._journal.entries()
                if receiver in (None, "", entry["receiver"]) and entry["received_at"] > since
            ]

        return JsonResponse(await run_in_threadpool(read))

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Close the file at the end."""
        yield
        self._journal.close()


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError."""
    path = environment.text("PAGER_FILE", expected="the path of the file to keep deliveries in")
    try:
        journal = Journal(Path(path))
    except OSError as error:
        raise SettingError(
            "PAGER_FILE", path, f"a file that can be written ({error.strerror})"
        ) from None
    except ValueError:
        raise SettingError("PAGER_FILE", path, "a new file or one of JSON lines") from None
    pager = Pager(journal)
    app = Starlette(
        routes=[
            Route("/deliveries", pager.deliveries, methods=["GET"]),
            *service_routes("pager", pager.registry, pager.ready),
            Route("/{receiver:path}", pager.deliver, methods=["POST"]),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=pager.lifespan,
    )
    return RequestContext(app, lambda route, method, status, seconds: None)
