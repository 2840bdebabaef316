"""How long the leakage audit takes over many points, and how much memory it holds.

`python benchmarks/leakage_audit.py [--points 1000000] [--dimension 4]`: starts PostgreSQL with the
gateway's schema and the vector store stand-in, fills both in bulk, and runs the script
`leakage_audit.py` as an operator would: once over sound points, once with planted leaks, which it
must find exactly. Prints seconds, points per second and the largest resident memory of the
script's process. Exit status 1 when a bar is missed: 60 s and 300 MB for a million points.

The vectors are short by default, because an audit reads none; `--dimension 256` makes them as long
as the gateway's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import psycopg

ROOT = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):
    sys.path.insert(0, str(ROOT))

from tests.scripts.leakage.leakage_world import COLLECTION, KEY, LeakageWorld  # noqa: E402

BAR_S, BAR_MB, BAR_POINTS = 60.0, 300.0, 1_000_000
START_S = 1.0
"""What starting the script may take beside: it counts at small sizes only."""

LEAKS = 1_000
BATCH = 4_000
LOADERS = 2


def rows(points: int) -> Iterator[tuple[str, str, str, str, str]]:
    """Point, tenant, persona, document and chunk of each sound point: four chunks a document."""
    source = random.Random(11)
    for number in range(points):
        document = f"doc-{number // 4:08d}"
        tenant = f"tenant-{number // 4 % 50:03d}"
        persona = ("work", "personal")[number // 4 % 2]
        chunk = f"{document}#{number // 4:016x}.{number % 4:04d}"
        point = str(uuid.UUID(int=source.getrandbits(128), version=4))
        yield point, tenant, persona, document, chunk


def load_metadata(world: LeakageWorld, points: int) -> None:
    """Fill the tables by COPY; the checks of single rows are put off, for these rows are sound."""
    with psycopg.connect(world.postgres.dsn()) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        cursor = connection.cursor()
        with cursor.copy(
            "COPY public.documents (tenant_id, document_id, persona, body, content_sha256,"
            " embed_model) FROM STDIN"
        ) as copy:
            for number, (_, tenant, persona, document, _) in enumerate(rows(points)):
                if number % 4 == 0:
                    copy.write_row((tenant, document, persona, "a note", "0" * 64, "none"))
        with cursor.copy(
            "COPY public.chunks (tenant_id, chunk_id, document_id, persona, position, point_id,"
            " text) FROM STDIN"
        ) as copy:
            for number, (point, tenant, persona, document, chunk) in enumerate(rows(points)):
                copy.write_row((tenant, chunk, document, persona, number % 4, point, "a note"))
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE public.chunks, public.documents")


def load_points(world: LeakageWorld, points: int, dimension: int) -> None:
    """Fill the collection over REST, in columns and without waiting for each batch."""
    vectors = {"size": dimension, "distance": "Dot"}
    body = {"vectors": vectors, "optimizers_config": {"indexing_threshold": 0}}
    world.call("PUT", f"/collections/{COLLECTION}", body)
    source = np.random.default_rng(5)
    some = source.normal(size=(BATCH, dimension)).astype(np.float32)

    def send(batch: list[tuple[str, str, str, str, str]]) -> None:
        columns = {
            "ids": [each[0] for each in batch],
            "vectors": some[: len(batch)],
            "payloads": [
                {"tenant_id": t, "persona": p, "document_id": d, "chunk_id": c, "tier": "hot"}
                for _, t, p, d, c in batch
            ],
        }
        answer = world.http.put(
            f"/collections/{COLLECTION}/points",
            content=orjson.dumps({"batch": columns}, option=orjson.OPT_SERIALIZE_NUMPY),
            headers={"Content-Type": "application/json"},
            params={"wait": "true"},
            timeout=120,
        )
        answer.raise_for_status()

    with ThreadPoolExecutor(LOADERS) as pool:
        pending: list[Any] = []
        for batch in _batches(points):
            pending.append(pool.submit(send, batch))
            if len(pending) > LOADERS:
                pending.pop(0).result()
        for each in pending:
            each.result()


def _batches(points: int) -> Iterator[list[tuple[str, str, str, str, str]]]:
    batch = []
    for row in rows(points):
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def plant(world: LeakageWorld, points: int) -> set[str]:
    """Move points of one namespace into another; returns their ids."""
    chosen = set(random.Random(3).sample(range(points), min(LEAKS, points // 10)))
    ids = [row[0] for number, row in enumerate(rows(points)) if number in chosen]
    world.set_payload(ids, {"tenant_id": "tenant-of-nobody"})
    return set(ids)


def audit(world: LeakageWorld, out: Path) -> tuple[int, float, float, float]:
    """Run the script; returns its exit code, seconds, processor seconds and peak memory in MB."""
    environment = {
        **os.environ,
        "QDRANT_URL": world.url,
        "QDRANT_API_KEY": KEY,
        "DATABASE_URL": world.postgres.dsn(),
        "CHAT_WEBHOOK_URL": "",
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts/leakage_audit.py"), "--out", str(out)],
        env=environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    return process.returncode, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def scroll_s(world: LeakageWorld) -> float:
    """Seconds that the bare scroll takes: what the audit could not be faster than."""
    began, offset = time.monotonic(), None
    fields = ["tenant_id", "persona", "document_id", "chunk_id"]
    with httpx.Client(base_url=world.url, headers={"api-key": KEY}, timeout=60) as client:
        while True:
            body = {"limit": 10_000, "with_payload": fields, "offset": offset}
            answer = client.post(f"/collections/{COLLECTION}/points/scroll", json=body)
            offset = orjson.loads(answer.content)["result"]["next_page_offset"]
            if offset is None:
                return time.monotonic() - began


def main() -> int:
    """Fill, audit, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=4)
    arguments = parser.parse_args()
    points = arguments.points
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
    )
    print(f"{points:,} points of {arguments.dimension} dimensions")
    with tempfile.TemporaryDirectory(prefix="leakage-bench-") as name:
        world = LeakageWorld(Path(name))
        try:
            return measure(world, points, arguments.dimension, Path(name))
        finally:
            world.close()


def measure(world: LeakageWorld, points: int, dimension: int, place: Path) -> int:
    """Print the figures; returns the exit status."""
    began = time.monotonic()
    load_metadata(world, points)
    print(f"metadata store filled in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    load_points(world, points, dimension)
    print(f"vector store filled in {time.monotonic() - began:.1f} s")
    bare = scroll_s(world)
    print(f"bare scroll: {bare:.1f} s, {points / bare:,.0f} points/s")
    missed = False
    for what, leak in (("sound", False), ("leaks-planted", True)):
        planted = plant(world, points) if leak else set()
        code, seconds, processor, megabytes = audit(world, place / what)
        lines = (place / what / "leaks.jsonl").read_text().splitlines()
        found = {json.loads(line)["point_id"] for line in lines}
        exact = found == planted and code == int(leak)
        allowed = BAR_S * points / BAR_POINTS + START_S
        kept = seconds <= allowed and megabytes <= BAR_MB
        missed |= not (exact and kept)
        print(
            f"{what}: {seconds:.1f} s, {points / seconds:,.0f} points/s ({processor:.1f} s "
            f"on a processor), {megabytes:.0f} MB, "
            f"{len(found)} found of {len(planted)}: {'exact' if exact else 'WRONG'}, "
            f"{'kept' if kept else 'MISSED'} (bar {allowed:.0f} s, {BAR_MB:.0f} MB)"
        )
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
