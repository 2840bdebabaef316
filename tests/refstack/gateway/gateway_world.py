"""Both stores, the stand-ins and gateways on them, as the integration tests use them."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import uvicorn
from gateway_servers import (
    AUDIENCE,
    ISSUER,
    AuthStandIn,
    Child,
    EmbedStandIn,
    Postgres,
    RerankStandIn,
    free_port,
    until,
)

from refstack.common.settings import Environment
from refstack.gateway import migrate
from refstack.gateway.app import build

VECTORDB_KEY = "vectordb-key-for-tests"
GATEWAY_PASSWORD = "gateway-password"


class Gateway:
    """A running gateway, as a thread of this process or as a process of its own."""

    def __init__(self, port: int, *, child: Child | None = None) -> None:
        self._child = child
        self.server: uvicorn.Server | None = None
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=self.url, timeout=20, trust_env=False)

    @property
    def child(self) -> Child:
        assert self._child is not None, "started with process=True"
        return self._child

    def serve(self, env: dict[str, str]) -> None:
        """Serve in a thread: a tenth of the time that a process takes to start."""
        config = uvicorn.Config(
            build(Environment(env)), port=self.port, log_config=None, lifespan="on", ws="none"
        )
        self.server = uvicorn.Server(config)
        threading.Thread(target=self.server.run, daemon=True).start()

    def end(self) -> None:
        self.http.close()
        if self.server is not None:
            self.server.should_exit = True
        if self._child is not None:
            self._child.kill()

    def metric(self, line: str) -> float:
        """The value of one sample, named as in the exposition; 0 if it is not there."""
        for each in self.http.get("/metrics").text.splitlines():
            name, _, value = each.rpartition(" ")
            if name == line:
                return float(value)
        return 0.0


class World:
    """Both stores and the stand-ins, with what is needed to start gateways on them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.postgres = Postgres(place)
        self._vectordb_port = free_port()
        self.embed, self.fallback = EmbedStandIn(), EmbedStandIn()
        self.rerank, self.auth = RerankStandIn(), AuthStandIn()
        self._numbers = itertools.count(1)
        self.gateways: list[Gateway] = []
        self.vectordb_url = f"http://127.0.0.1:{self._vectordb_port}"
        self.vectordb = self.start_vectordb()

    def start_vectordb(self) -> Child:
        port = self._vectordb_port
        env = {
            "QDRANT__SERVICE__API_KEY": VECTORDB_KEY,
            "QDRANT__STORAGE__STORAGE_PATH": str(self.place / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.place / "snapshots"),
        }
        arguments = ["-m", "refstack.vectordb", "--host", "127.0.0.1", "--port", str(port)]
        child = Child(arguments, env, self.place / "vectordb.log")
        until(lambda: answers(self.vectordb_url + "/readyz"), "the vector store serves")
        return child

    def migrate_env(self, *models: str) -> dict[str, str]:
        return {
            "MIGRATE_DATABASE_URL": self.postgres.dsn(),
            "MIGRATE_GATEWAY_PASSWORD": GATEWAY_PASSWORD,
            "MIGRATE_AUTH_PASSWORD": "auth-password",
            "MIGRATE_VECTORDB_URL": self.vectordb_url,
            "MIGRATE_VECTORDB_API_KEY": VECTORDB_KEY,
            "MIGRATE_EMBED_MODELS": ",".join(models or ("wordllama-256", "minilm-384")),
        }

    def migrate(self, **changes: str) -> tuple[int, str]:
        """Run the deployment job; returns its exit status and all it said."""
        return run_job(migrate.main, {**self.migrate_env(), **changes})

    def gateway_env(self, **changes: str) -> dict[str, str]:
        return {
            "GATEWAY_COLOUR": "blue",
            "GATEWAY_DATABASE_URL": self.postgres.dsn("rag_gateway", GATEWAY_PASSWORD),
            "GATEWAY_VECTORDB_URL": self.vectordb_url,
            "GATEWAY_VECTORDB_API_KEY": VECTORDB_KEY,
            "GATEWAY_AUTH_URL": self.auth.url,
            "GATEWAY_JWT_AUDIENCE": AUDIENCE,
            "GATEWAY_JWT_ISSUER": ISSUER,
            "GATEWAY_JWKS_REFRESH_S": "0.5",
            "GATEWAY_EMBED_URL": self.embed.url,
            "GATEWAY_EMBED_API_KEY": "embed-key-for-tests",
            "GATEWAY_EMBED_MODEL": "wordllama-256",
            "GATEWAY_RERANK_URL": self.rerank.url,
            "GATEWAY_RERANK_API_KEY": "rerank-key-for-tests",
            "GATEWAY_CLEANUP_S": "3000",
            **changes,
        }

    def start_gateway(
        self, *, ready: bool = True, process: bool = False, **changes: str
    ) -> Gateway:
        port = free_port()
        env = self.gateway_env(**changes)
        if process:
            log = self.place / f"gateway-{next(self._numbers)}.log"
            arguments = ["-m", "refstack.gateway", "--port", str(port)]
            gateway = Gateway(port, child=Child(arguments, env, log))
        else:
            gateway = Gateway(port)
            gateway.serve(env)
        self.gateways.append(gateway)
        path = "/readyz" if ready else "/healthz"
        until(lambda: answers(gateway.url + path), f"the gateway answers {path}")
        return gateway

    def tenant(self) -> str:
        """The name of a tenant that nobody else uses."""
        return f"tenant-{next(self._numbers)}"

    def points(self, collection: str = "rag-chunks-wordllama-256") -> list[dict[str, Any]]:
        """All points of a collection, with payload."""
        answer = httpx.post(
            f"{self.vectordb_url}/collections/{collection}/points/scroll",
            json={"limit": 10_000, "with_payload": True, "with_vector": False},
            headers={"api-key": VECTORDB_KEY},
            timeout=10,
        )
        found: list[dict[str, Any]] = answer.json()["result"]["points"]
        return found

    def well_again(self) -> None:
        """Take away what a test may have put in the way."""
        for stand_in in (self.embed, self.fallback, self.rerank, self.auth):
            stand_in.trouble = None
        self.embed.lie = self.fallback.lie = None

    def end_gateways(self, keep: int) -> None:
        """End all gateways but the first few that were started."""
        for gateway in self.gateways[keep:]:
            gateway.end()
        del self.gateways[keep:]

    def close(self) -> None:
        self.end_gateways(0)
        self.vectordb.terminate()
        self.postgres.stop()
        for stand_in in (self.embed, self.fallback, self.rerank, self.auth):
            stand_in.close()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


class Client:
    """A user of one tenant with some personas."""

    def __init__(
        self, gateway: Gateway, tenant: str, personas: tuple[str, ...], token: str
    ) -> None:
        self._http = gateway.http
        self.tenant = tenant
        self.personas = personas
        self.headers = {"Authorization": f"Bearer {token}"}

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        return self._http.request(method, path, headers=headers, **more)

    def write(self, text: str, **more: Any) -> httpx.Response:
        body = {"persona": self.personas[0], "text": text, **more}
        return self.call("POST", "/v1/documents", json=body)

    def query(
        self, query: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx.Response:
        body = {"query": query, "persona": self.personas[0], **more}
        return self.call("POST", "/v1/query", json=body, headers=headers or {})

    def texts(self, query: str, **more: Any) -> list[str]:
        answer = self.query(query, **more)
        assert answer.status_code == 200, answer.text
        return [result["text"] for result in answer.json()["results"]]


def run_job(
    main: Callable[[Sequence[str]], int], env: dict[str, str], *arguments: str
) -> tuple[int, str]:
    """Run a job's `main` with these variables; returns its exit status and all it said."""
    said = io.StringIO()
    with (
        mock.patch.dict(os.environ, env),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        return main(list(arguments)), said.getvalue()
