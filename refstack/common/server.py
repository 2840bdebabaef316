"""The command line and the event loop of a service: `python -m refstack.<service>`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence

import uvicorn
import uvloop
from starlette.types import ASGIApp

from refstack.common import logs
from refstack.common.lifecycle import lifecycle
from refstack.common.settings import Environment, SettingError

LEVELS = ("debug", "info", "warning", "error")
GRACE_S = 1.3
"""Seconds that open requests get after the listener has closed; a service ends within 2 s."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, drain_s: float) -> None:
        super().__init__(config)
        self._drain_s = drain_s

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's own version raises the signal again at the end, so that a clean stop would
        # look like a death by signal.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A proxy may send on a kept-alive connection at the very moment it is closed. For a
        # short while every answer says `Connection: close`, so that the proxy lets go first.
        lifecycle.draining = True
        await asyncio.sleep(self._drain_s)
        await super().shutdown(sockets)


def _arguments(service: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m refstack.{service}",
        description=f"The {service} service; every other setting comes from the environment.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks one")
    return parser.parse_args(argv)


def run(
    service: str,
    build: Callable[[Environment], ASGIApp],
    *,
    argv: Sequence[str] | None = None,
    drain_s: float = 0.0,
) -> int:
    """Serve what `build` returns until SIGTERM; returns the exit status of the process.

    Status 2, with one line on stderr, for a bad setting or an address that cannot be had. The
    line `{"event": "listening", "port": ...}` on stdout says when connections are accepted.
    `drain_s` is how long the service goes on serving after SIGTERM, with `Connection: close`.
    """
    arguments = _arguments(service, argv)
    environment = Environment(os.environ)
    try:
        logs.configure(service, environment.choice("LOG_LEVEL", LEVELS, "info"))
        app = build(environment)
        listener = _listen(arguments.host, arguments.port)
    except SettingError as error:
        print(f"refstack.{service}: {error}", file=sys.stderr)
        return 2
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type]  # handed to wait_for
    )
    server = _Server(config, drain_s)
    host, port = listener.getsockname()[:2]
    logs.get_logger().info("listening", host=host, port=port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets=[listener]))
    logs.get_logger().info("stopped")
    return 0 if server.started else 3


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(
            "--host and --port", f"{host}:{port}", f"an address that is free here ({reason})"
        ) from None
