"""The shipper delivers every line once, through outages, restarts and renamed files."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refstack.logship.lines import apart, written_at
from refstack.logship.routes import destination
from refstack.logship.tail import CHUNK, LONGEST, Tail
from tests.refstack.service_lab import CLIENT, Service, refusal


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service, Path]]:
    """A log store, a shipper that knows it, and the directory that is shipped.

    Each test has a log file of its own.
    """
    tmp_path = tmp_path_factory.mktemp("logship")
    logs = tmp_path / "logs"
    logs.mkdir()
    store = Service("refstack.logstore", {"LOGSTORE_FILE": str(tmp_path / "lines.sqlite")})
    shipper = Service(
        "refstack.logship",
        {
            "LOGSHIP_DIR": str(logs),
            "LOGSHIP_URL": store.url,
            "LOGSHIP_POSITIONS": str(tmp_path / "positions.json"),
        },
    )
    store.start()
    shipper.start()
    yield store, shipper, logs
    for service in (shipper, store):
        service.end(signal.SIGKILL)


def stored(store: Service, process: str) -> list[str]:
    given = {"query": f'{{process="{process}"}}', "limit": "5000", "direction": "forward"}
    answer = CLIENT.get(
        f"{store.url}/loki/api/v1/query_range", params=given, headers={"X-Scope-OrgID": "rag"}
    )
    rows = [row for stream in answer.json()["data"]["result"] for row in stream["values"]]
    lines = [line for _, line in sorted(rows, key=lambda row: int(row[0]))]
    return [str(json.loads(line)["event"]) for line in lines]


def eventually(look: Callable[[], object], wanted: object) -> None:
    deadline = time.monotonic() + 15
    while look() != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert look() == wanted


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_no_line_is_lost_or_doubled_by_outage_and_restart(
    pair: tuple[Service, Service, Path],
) -> None:
    store, shipper, logs = pair
    log = logs / "gateway-blue.log"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    written: list[str] = []

    def more(count: int) -> None:
        # Many with the same time and, apart from the number, the same words.
        new = [f"{stamp} line {len(written) + n} of the same moment" for n in range(count)]
        written.extend(new)
        write(log, *new)

    more(50)
    eventually(lambda: stored(store, "gateway-blue"), written)
    store.end(signal.SIGKILL)
    more(50)
    deadline = time.monotonic() + 10
    while not shipper.metric("rag_logship_push_failures_total"):
        assert time.monotonic() < deadline, "the outage was never noticed"
        time.sleep(0.05)
    assert shipper.metric("rag_logship_behind_bytes") > 0
    shipper.end(signal.SIGKILL)
    more(50)
    shipper.start()
    more(50)
    store.start()
    eventually(lambda: stored(store, "gateway-blue"), written)
    assert shipper.metric("rag_logship_dropped_lines_total") == 0
    eventually(lambda: shipper.metric("rag_logship_behind_bytes"), 0.0)


def test_equal_lines_of_one_moment_all_arrive(pair: tuple[Service, Service, Path]) -> None:
    store, _, logs = pair
    write(logs / "rerank.log", *["2026-11-22T14:34:27.123Z the same"] * 3)
    # Too old for the query's default of an hour, so ask for the counts over all time.
    given = {"query": 'count_over_time({role="rerank"}[100000h])'}

    def count() -> object:
        answer = CLIENT.get(
            f"{store.url}/loki/api/v1/query", params=given, headers={"X-Scope-OrgID": "rag"}
        )
        result = answer.json()["data"]["result"]
        return result and result[0]["value"][1]

    eventually(count, "3")


def test_a_file_that_is_rotated_or_emptied_goes_on(pair: tuple[Service, Service, Path]) -> None:
    store, _, logs = pair
    log = logs / "gateway-rotated.log"
    write(log, "one")
    eventually(lambda: stored(store, "gateway-rotated"), ["one"])
    log.rename(logs / "gateway-rotated.log.1")
    write(log, "two")
    eventually(lambda: stored(store, "gateway-rotated"), ["one", "two"])
    log.write_text("")
    time.sleep(0.6)
    write(log, "three")
    eventually(lambda: stored(store, "gateway-rotated"), ["one", "two", "three"])


def test_half_a_line_waits_for_its_other_half(pair: tuple[Service, Service, Path]) -> None:
    store, _, logs = pair
    log = logs / "gateway-half.log"
    log.write_text("first\nmail to max@exam")
    eventually(lambda: stored(store, "gateway-half"), ["first"])
    write(log, "ple.com failed")
    eventually(lambda: stored(store, "gateway-half"), ["first", "mail to [email] failed"])


@pytest.mark.parametrize(
    ("process", "tenant", "app"),
    [
        ("gateway-blue", "rag", "rag"),
        ("gateway-green", "rag", "rag"),
        ("rerank", "rag", "rag"),
        ("metadata", "metadata", "metadata"),
        ("auth", "metadata", "metadata"),
        ("vectordb", "vectordb", "vectordb"),
        ("edge", "platform", "edge"),
        ("gateway", "rag", "rag"),
        ("reranker-of-somebody", "platform", "reranker-of-somebody"),
    ],
)
def test_each_process_has_its_tenant(process: str, tenant: str, app: str) -> None:
    found = destination(process)
    assert (found.tenant, dict(found.labels)["app"]) == (tenant, app)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ('{"ts":"2026-11-22T14:34:27.123Z","level":"info"}', 1795358067.123),
        ('{"ts":"2026-11-22T15:34:27+01:00"}', 1795358067.0),
        ("2026-11-22 14:34:27.123 UTC [42] rag@rag FATAL:  no", 1795358067.123),
        ("ts=2026-11-22T14:34:27.123Z caller=main.go level=warn", 1795358067.123),
        ("I1122 14:34:27.123456    12 server.go:1] up", 1795358067.123456),
        ("Traceback (most recent call last):", None),
        ('{"ts": 5}', None),
        ("[1, 2]", None),
        ("2026-13-45T99:00:00Z", None),
    ],
)
def test_when_a_line_was_written_is_read_from_it(line: str, seconds: float | None) -> None:
    found = written_at(line, 2026)
    # To the microsecond, which is what a float of seconds can hold.
    assert (None if found is None else round(found / 1000)) == (
        None if seconds is None else round(seconds * 1e6)
    )


def test_lines_of_one_millisecond_are_told_apart_by_where_they_stand() -> None:
    assert apart(5_000_000, 7) != apart(5_000_000, 8)
    assert apart(5_001_000, 7) != apart(5_001_000, 8)
    assert apart(5_001_000, 999) // 1000 == 5001, "the time itself is left as it is"
    assert apart(5_000_001, 7) == 5_000_001, "and so is one that goes to the nanosecond"


def test_a_line_without_end_is_cut_and_passed_on(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_bytes(b"y" * (CHUNK + 10))
    tail = Tail(log, None, 1)
    found, end = tail.read()
    tail.close()
    assert end == CHUNK
    assert found[0].text.startswith("y" * LONGEST) and found[0].text.endswith("bytes]")


@pytest.mark.parametrize(
    ("changed", "value"),
    [
        ("LOGSHIP_DIR", "/nowhere/at/all"),
        ("LOGSHIP_URL", "loki"),
        ("LOGSHIP_POSITIONS", "{tmp}/other.json"),
        ("LOGSHIP_KNOWN_SECRETS", "plain-secret-by-mistake"),
    ],
)
def test_bad_shipper_settings_end_it_with_one_line(
    tmp_path: Path, changed: str, value: str
) -> None:
    (tmp_path / "other.json").write_text('{"a": "b"}')
    good = {
        "LOGSHIP_DIR": str(tmp_path),
        "LOGSHIP_URL": "http://127.0.0.1:9",
        "LOGSHIP_POSITIONS": str(tmp_path / "positions.json"),
    }
    status, words = refusal("refstack.logship", good | {changed: value.format(tmp=tmp_path)})
    assert status == 2 and changed in words and len(words.splitlines()) == 1
    assert "plain-secret" not in words
