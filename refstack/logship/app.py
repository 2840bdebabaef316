"""The shipper as a service: its settings, its health, and the thread that ships."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.types import ASGIApp

from refstack.common.context import RequestContext
from refstack.common.health import service_routes
from refstack.common.problems import EXCEPTION_HANDLERS
from refstack.common.settings import Environment, SettingError
from refstack.logship.push import Client
from refstack.logship.scrub import Scrubber
from refstack.logship.ship import Shipper, lower_priority

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LAST_WORDS_S = 1.0


def build(environment: Environment) -> ASGIApp:
    """The service from its settings; raises SettingError.

    `LOGSHIP_DIR` (its `*.log` are shipped), `LOGSHIP_URL` (Loki's base address),
    `LOGSHIP_POSITIONS` (a file), `LOGSHIP_KNOWN_SECRETS` (comma list of SHA-256 in hex).
    """
    directory = Path(environment.text("LOGSHIP_DIR", expected="the directory of the logs"))
    if not directory.is_dir():
        raise SettingError("LOGSHIP_DIR", str(directory), "the path of a directory that exists")
    positions = Path(environment.text("LOGSHIP_POSITIONS", expected="the path of a file"))
    known = environment.names("LOGSHIP_KNOWN_SECRETS", (), secret=True)
    if not all(_DIGEST.fullmatch(each) for each in known):
        raise SettingError(
            "LOGSHIP_KNOWN_SECRETS", ",".join(known), "SHA-256 digests in hex", secret=True
        )
    client = Client(environment.url("LOGSHIP_URL"))
    try:
        shipper = Shipper(directory, positions, client, Scrubber(known))
    except (OSError, ValueError) as error:
        raise SettingError(
            "LOGSHIP_POSITIONS", str(positions), f"a file of this shipper ({error})"
        ) from None
    stop = threading.Event()
    thread = threading.Thread(target=shipper.run, args=(stop,), name="ship", daemon=True)

    async def ready() -> dict[str, str | None]:
        # Not whether the store answers: to wait for that is what it is there for.
        return {"shipping": None if thread.is_alive() else "the shipping thread has ended"}

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        lower_priority()
        thread.start()
        yield
        stop.set()
        thread.join(_LAST_WORDS_S)

    app = Starlette(
        routes=service_routes("logship", shipper.measures.registry, ready),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=lifespan,
    )
    return RequestContext(app, lambda route, method, status, seconds: None)
