"""Both stores with the gateway's schema, filled in bulk, for the tests of audit and purge."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg

from fixtures.leaks import Owned, write_rows
from tests.refstack.gateway.gateway_servers import ROOT, Child, Postgres, free_port, until

KEY = "vectordb-key-of-the-leakage-tests"
COLLECTION = "rag-chunks-small"
DIMENSION = 4


class LeakageWorld:
    """A real PostgreSQL and the vector store stand-in, with one collection of our own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.postgres = Postgres(place)
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        env = {
            "QDRANT__SERVICE__API_KEY": KEY,
            "QDRANT__STORAGE__STORAGE_PATH": str(place / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(place / "snapshots"),
        }
        arguments = ["-m", "refstack.vectordb", "--host", "127.0.0.1", "--port", str(port)]
        self.vectordb = Child(arguments, env, place / "vectordb.log")
        self.http = httpx.Client(
            base_url=self.url, headers={"api-key": KEY}, timeout=30, trust_env=False
        )
        until(self._serves, "the vector store serves")
        self._migrate()

    def _serves(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _migrate(self) -> None:
        env = {
            "MIGRATE_DATABASE_URL": self.postgres.dsn(),
            "MIGRATE_GATEWAY_PASSWORD": "gateway-password",
            "MIGRATE_AUTH_PASSWORD": "auth-password",
            "MIGRATE_VECTORDB_URL": self.url,
            "MIGRATE_VECTORDB_API_KEY": KEY,
            "MIGRATE_EMBED_MODELS": "wordllama-256",
        }
        subprocess.run(
            [sys.executable, "-m", "refstack.gateway.migrate"], cwd=ROOT, check=True, timeout=60,
            env={**os.environ, **env}, capture_output=True,
        )  # fmt: skip

    def close(self) -> None:
        self.http.close()
        self.vectordb.kill()
        self.postgres.stop()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == 200, f"{method} {path}: {answer.text}"
        return answer.json()["result"]

    def fill(self, count: int) -> list[Owned]:
        """Begin anew with `count` chunks of three tenants with two personas, and their points."""
        with psycopg.connect(self.postgres.dsn()) as connection:
            connection.execute("TRUNCATE public.documents, public.chunks, rag.vector_cleanup")
            chunks = list(_chunks(count))
            write_rows(connection, chunks)
        self.http.delete(f"/collections/{COLLECTION}")
        vectors = {"size": DIMENSION, "distance": "Cosine"}
        self.call("PUT", f"/collections/{COLLECTION}", {"vectors": vectors})
        self.put([(chunk.point_id, chunk.payload) for chunk in chunks])
        return chunks

    def put(self, points: Sequence[tuple[int | str, dict[str, Any] | None]]) -> None:
        """Write points straight into the store, as an operator's mistake would."""
        for start in range(0, len(points), 2000):
            body = [
                {"id": point, "vector": [1.0, 0.5, 0.25, 0.125], "payload": payload}
                for point, payload in points[start : start + 2000]
            ]
            self.call("PUT", f"/collections/{COLLECTION}/points?wait=true", {"points": body})

    def set_payload(self, points: Sequence[int | str], payload: dict[str, Any]) -> None:
        path = f"/collections/{COLLECTION}/points/payload?wait=true"
        self.call("POST", path, {"points": list(points), "payload": payload})

    def clear_payload(self, points: Sequence[int | str]) -> None:
        path = f"/collections/{COLLECTION}/points/payload/clear?wait=true"
        self.call("POST", path, {"points": list(points)})

    def ids(self) -> set[int | str]:
        """The ids of all points of the collection."""
        body = {"limit": 100_000, "with_payload": False}
        found = self.call("POST", f"/collections/{COLLECTION}/points/scroll", body)
        return {point["id"] for point in found["points"]}

    def run(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `scripts/<script>` against both stores, to its end."""
        variables = {
            "QDRANT_URL": self.url,
            "QDRANT_API_KEY": KEY,
            "DATABASE_URL": self.postgres.dsn(),
            "CHAT_WEBHOOK_URL": "",
            **env,
        }
        return subprocess.run(
            [sys.executable, str(ROOT / "scripts" / script), *arguments], cwd=self.place,
            env={**os.environ, **variables}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip


def _chunks(count: int) -> Iterator[Owned]:
    for number in range(count):
        tenant = ("acme", "globex", "initech")[number % 3]
        persona = ("work", "personal")[number // 3 % 2]
        document = f"doc-{number:06d}"
        point = uuid.uuid5(uuid.NAMESPACE_URL, f"{tenant}/{document}")
        yield Owned(tenant, persona, document, f"{document}#0123456789abcdef.0000", str(point))
