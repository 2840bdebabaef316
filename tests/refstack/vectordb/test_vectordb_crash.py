"""Acknowledged writes survive SIGKILL of the front and of workers, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

Boot = Callable[..., Any]


def _gone(pid: int, timeout_s: float = 5.0) -> bool:
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


class Writer(threading.Thread):
    """Writes one point after the other and remembers which were acknowledged."""

    def __init__(self, url: str, collection: str, wait: bool) -> None:
        super().__init__()
        self.acknowledged: list[int] = []
        self.refused: list[tuple[int, int]] = []
        self._url = f"{url}/collections/{collection}/points?wait={str(wait).lower()}"
        self._halt = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=10) as client:
            for at in range(100_000):
                if self._halt.is_set():
                    return
                point = {"id": at, "vector": [float(at), 1.0, 1.0, 1.0], "payload": {"at": at}}
                try:
                    answer = client.put(self._url, json={"points": [point]})
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.acknowledged.append(at)
                else:
                    self.refused.append((at, answer.status_code))

    def halt(self) -> None:
        self._halt.set()
        self.join(15)
        assert not self.is_alive()

    def wait_for(self, count: int) -> None:
        give_up = time.monotonic() + 15
        while len(self.acknowledged) < count:
            assert time.monotonic() < give_up and self.is_alive(), "the writer does not get on"
            time.sleep(0.005)


@pytest.mark.parametrize("wait", [True, False])
def test_acknowledged_points_survive_the_death_of_the_front(own_vectordb: Boot, wait: bool) -> None:
    server = own_vectordb()
    server.create("c")
    server.ok(
        "POST",
        "/collections/aliases",
        {"actions": [{"create_alias": {"collection_name": "c", "alias_name": "a"}}]},
    )
    workers = server.workers()
    writer = Writer(server.url, "c", wait)
    writer.start()
    writer.wait_for(30)
    server.kill()
    writer.halt()

    assert all(_gone(pid) for pid in workers.values()), "a worker outlived its front"
    server.start()

    found = {point["id"]: point["payload"] for point in server.content("a")}
    assert set(writer.acknowledged) <= set(found)
    assert all(found[at] == {"at": at} for at in writer.acknowledged)


def test_a_killed_worker_comes_back_with_every_acknowledged_point(own_vectordb: Boot) -> None:
    server = own_vectordb()
    for name in ("c", "other"):
        server.create(name)
    writer = Writer(server.url, "c", wait=True)
    writer.start()
    writer.wait_for(20)
    for _ in range(2):
        before = server.workers()["c"]
        seen = len(writer.acknowledged)
        os.kill(before, signal.SIGKILL)
        writer.wait_for(seen + 20)
        assert server.workers()["c"] != before
    writer.halt()

    assert {status for _, status in writer.refused} <= {500, 503}
    assert set(writer.acknowledged) <= set(server.ids("c"))
    assert server.ids("other") == []


def test_a_request_in_flight_when_its_worker_dies_gets_an_error(own_vectordb: Boot) -> None:
    server = own_vectordb()
    server.create("c")
    body = {"points": [{"id": 1, "vector": [1, 1, 1, 1]}]}
    # On a busy machine the request may reach the front only after the kill: the next worker then
    # serves it, which shows nothing, and it gets more time to be in flight.
    for head_start in (0.2, 1.0, 5.0, 20.0):
        worker = server.workers()["c"]
        os.kill(worker, signal.SIGSTOP)
        answers: list[httpx.Response] = []
        caller = threading.Thread(
            target=lambda answers=answers: answers.append(
                httpx.put(f"{server.url}/collections/c/points?wait=true", json=body, timeout=60)
            )
        )
        caller.start()
        time.sleep(head_start)
        assert not answers
        os.kill(worker, signal.SIGKILL)
        caller.join(60)
        if answers[0].status_code != 200:
            break

    assert answers[0].status_code == 500
    assert "ended during the request" in answers[0].json()["status"]["error"]
    assert server.ids("c") in ([], [1])


def test_a_request_with_a_timeout_does_not_wait_for_a_stopped_worker(own_vectordb: Boot) -> None:
    server = own_vectordb()
    server.create("c")
    worker = server.workers()["c"]
    os.kill(worker, signal.SIGSTOP)
    try:
        status, message = server.error("POST", "/collections/c/points/count?timeout=1", {})
    finally:
        os.kill(worker, signal.SIGCONT)
    assert (status, message.partition(":")[0]) == (408, "Timeout")
    assert server.ok("POST", "/collections/c/points/count", {}) == {"count": 0}


def test_a_killed_optimizer_is_reported_and_started_again(own_vectordb: Boot) -> None:
    server = own_vectordb()
    server.create(
        "c",
        vectors={"size": 32, "distance": "Dot"},
        optimizers_config={"indexing_threshold": 20},
        hnsw_config={"full_scan_threshold": 10, "ef_construct": 2000},
    )
    for begin in range(0, 6000, 1000):
        made = [{"id": at, "vector": [at % 97 + 0.5] * 32} for at in range(begin, begin + 1000)]
        server.upsert("c", *made)
    worker = server.workers()["c"]
    killed = None
    give_up = time.monotonic() + 20
    while killed is None:
        assert time.monotonic() < give_up, "no optimizer was seen"
        for child in Path(f"/proc/{worker}/task/{worker}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
            killed = int(child)
        time.sleep(0.01)
    statuses = set()
    while (info := server.ok("GET", "/collections/c"))["status"] != "green":
        statuses.add(info["status"])
        assert time.monotonic() < give_up + 40
        time.sleep(0.02)
    assert "red" in statuses
    assert info["indexed_vectors_count"] == 6000 and info["optimizer_status"] == "ok"
    assert len(server.ids("c")) == 6000


def test_what_was_left_unfinished_is_swept_at_the_start(
    own_vectordb: Boot, make_points: Callable[..., Any]
) -> None:
    server = own_vectordb()
    server.create("c")
    server.upsert("c", *make_points(5))
    server.stop()
    collections = server.storage / "collections"
    for left in (
        collections / "c" / "g-unfinished",
        collections / "half-created",
        server.storage / "tmp" / "upload",
    ):
        left.mkdir(parents=True)
        (left / "data").write_bytes(b"x")
    (collections / "c" / ".collection.json.draft").write_bytes(b"{")

    server.start()

    assert server.ids("c") == list(range(5))
    assert sorted(p.name for p in collections.iterdir()) == ["c"]
    assert len(list((collections / "c").iterdir())) == 2
    assert list((server.storage / "tmp").iterdir()) == []


def test_data_that_is_gone_is_reported_and_never_taken_for_an_empty_collection(
    own_vectordb: Boot, make_points: Callable[..., Any]
) -> None:
    server = own_vectordb()
    for name in ("c", "other"):
        server.create(name)
    server.upsert("c", *make_points(5))
    server.stop()
    (lost,) = (server.storage / "collections" / "c").glob("g-*")
    lost.rename(server.home / "elsewhere")
    server.launch()
    give_up = time.monotonic() + 20
    while True:
        assert time.monotonic() < give_up
        try:
            if server.http.get("/collections/c", timeout=15).status_code == 500:
                break
        except httpx.TransportError:
            time.sleep(0.02)

    status, message = server.error("POST", "/collections/c/points/count", {})
    assert status == 500 and "is gone" in message
    assert server.http.get("/readyz").status_code == 503
    assert server.ok("POST", "/collections/other/points/count", {}) == {"count": 0}
    (server.home / "elsewhere").rename(lost)
    while server.http.get("/collections/c", timeout=15).status_code != 200:
        assert time.monotonic() < give_up, "it is not tried again"
        time.sleep(0.1)
    assert server.ids("c") == list(range(5))
    assert server.http.get("/readyz").status_code == 200


def test_a_term_signal_ends_the_server_within_two_seconds(
    own_vectordb: Boot, make_points: Callable[..., Any]
) -> None:
    server = own_vectordb()
    server.create("c")
    server.upsert("c", *make_points(100))
    workers = server.workers()
    assert server.stop() == 0
    assert all(_gone(pid, 1.0) for pid in workers.values())
    server.start()
    assert server.ids("c") == list(range(100))


def test_two_servers_never_share_a_directory(own_vectordb: Boot) -> None:
    server = own_vectordb()
    second = type(server)(server.home)
    process = second.launch()
    assert process.wait(15) == 2
    assert "that no other server uses" in server.log.read_text()
