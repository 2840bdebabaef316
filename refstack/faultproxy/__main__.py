"""`python -m refstack.faultproxy`: the command line of the fault proxy."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import random
import resource
import signal
import socket
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import uvicorn
import uvloop

from refstack.common import logs
from refstack.common.settings import Environment, SettingError
from refstack.faultproxy import API_VERSION
from refstack.faultproxy.address import AddressError, resolve
from refstack.faultproxy.api import Api
from refstack.faultproxy.body import decode
from refstack.faultproxy.errors import ApiError
from refstack.faultproxy.metrics import Metrics
from refstack.faultproxy.proxy import Surroundings
from refstack.faultproxy.registry import Registry

SERVICE = "faultproxy"
DIAL_TIMEOUT_S = 30.0
GRACE_S = 1.0
"""Seconds that open API requests get after SIGTERM."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        # uvicorn's own version raises the signal again at the end, so that a clean stop would
        # look like a death by signal.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m refstack.{SERVICE}",
        description="A TCP fault proxy with Toxiproxy's HTTP API.",
        allow_abbrev=False,
    )

    def add(name: str, **options: object) -> None:
        # Go's flags take one dash or two; so does whoever starts us in its place.
        parser.add_argument(f"--{name}", f"-{name}", **options)  # type: ignore[arg-type]

    add("host", default="localhost", help="address that the API listens on (localhost)")
    add("port", type=int, default=8474, help="port that the API listens on (8474); 0 picks one")
    add("config", default="", metavar="FILE", help="JSON list of proxies to create at the start")
    add("seed", type=int, help="makes every random choice of the toxics repeatable")
    parser.add_argument(
        "--proxy-metrics",
        "-proxy-metrics",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="byte counters in /metrics (on)",
    )
    add("runtime-metrics", action="store_true", help="figures of the process in /metrics")
    add(
        "dial-timeout",
        type=float,
        default=DIAL_TIMEOUT_S,
        metavar="SECONDS",
        help=f"how long an upstream may take to connect ({DIAL_TIMEOUT_S:g})",
    )
    add("version", action="version", version=f"toxiproxy-server version {API_VERSION}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; returns the exit status.

    Status 2, with one line on stderr, for a bad option, configuration file or address.
    """
    options = _parser().parse_args(argv)
    try:
        level = Environment(os.environ).choice(
            "LOG_LEVEL", ("debug", "info", "warning", "error"), "info"
        )
        if not 0 < options.dial_timeout <= 3600:
            raise SettingError("--dial-timeout", str(options.dial_timeout), "0 to 3600 seconds")
        logs.configure(SERVICE, level)
        # libuv looks up names on half of its 4 threads: a few that hang would hold up the rest.
        os.environ.setdefault("UV_THREADPOOL_SIZE", "64")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(options))
    except SettingError as error:
        print(f"refstack.{SERVICE}: {error}", file=sys.stderr)
        return 2


async def _serve(options: argparse.Namespace) -> int:
    # Every connection takes two files; the soft limit is often 1024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    seed = random.getrandbits(63) if options.seed is None else options.seed
    metrics = Metrics(proxies=options.proxy_metrics, runtime=options.runtime_metrics)
    loop = asyncio.get_running_loop()
    registry = Registry(Surroundings(loop, metrics, seed, options.dial_timeout))
    listener = await _listen(options.host, options.port)
    if options.config:
        await _populate(registry, options.config)
    server = _Server(
        uvicorn.Config(
            Api(registry, metrics),
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type]  # handed to wait_for
        )
    )
    host, port = listener.getsockname()[:2]
    logs.get_logger().info("listening", host=host, port=port, seed=seed)
    gc.collect()
    gc.freeze()
    await server.serve(sockets=[listener])
    registry.stop()
    logs.get_logger().info("stopped")
    return 0


async def _listen(host: str, port: int) -> socket.socket:
    asked = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    try:
        where = (await resolve(asked))[0]
        return socket.create_server((where.host, where.port), family=where.family, backlog=2048)
    except (OSError, AddressError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SettingError(
            "--host and --port", asked, f"an address that is free here ({reason})"
        ) from None


async def _populate(registry: Registry, file: str) -> None:
    expected = 'a JSON list of proxies such as [{"name":..., "listen":..., "upstream":...}]'
    try:
        populated = await registry.populate(decode(Path(file).read_bytes()))
        error: Exception | None = populated.error
    except (OSError, ApiError) as failure:
        error = failure
    if error is not None:
        raise SettingError("--config", file, f"{expected} ({error})")


if __name__ == "__main__":
    sys.exit(main())
