"""The log store takes pushes and answers questions as Loki does, as far as it claims to."""

from __future__ import annotations

import gzip
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.refstack.service_lab import CLIENT, Service, refusal

PUSH = "/loki/api/v1/push"
NOW = time.time_ns()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    file = tmp_path_factory.mktemp("logstore") / "lines.sqlite"
    service = Service("refstack.logstore", {"LOGSTORE_FILE": str(file)})
    service.start()
    yield service
    service.end()


def push(
    store: Service, tenant: str, labels: dict[str, str], *lines: str, at: int = NOW
) -> httpx.Response:
    values = [[str(at + number), line] for number, line in enumerate(lines)]
    body = {"streams": [{"stream": labels, "values": values}]}
    return CLIENT.post(store.url + PUSH, json=body, headers={"X-Scope-OrgID": tenant})


def ask(store: Service, tenant: str, path: str, **given: str) -> httpx.Response:
    return CLIENT.get(
        f"{store.url}/loki/api/v1/{path}", params=given, headers={"X-Scope-OrgID": tenant}
    )


def lines(store: Service, tenant: str, query: str, **given: str) -> list[str]:
    answer = ask(store, tenant, "query_range", query=query, end=str(NOW + 10**12), **given)
    assert answer.status_code == 200, answer.text
    result = answer.json()["data"]["result"]
    return [line for stream in result for _, line in stream["values"]]


def test_a_line_comes_back_in_its_tenant_and_in_no_other(store: Service) -> None:
    assert push(store, "one", {"app": "rag"}, "hello").status_code == 204
    assert lines(store, "one", '{app="rag"}') == ["hello"]
    assert lines(store, "two", '{app="rag"}') == []


def test_without_a_tenant_nothing_is_taken_or_told(store: Service) -> None:
    body = {"streams": []}
    assert CLIENT.post(store.url + PUSH, json=body).status_code == 401
    answer = CLIENT.get(f"{store.url}/loki/api/v1/labels")
    assert (answer.status_code, answer.text.strip()) == (401, "no org id")


def test_a_line_that_is_sent_again_is_kept_once(store: Service) -> None:
    for _ in range(2):
        push(store, "again", {"app": "x"}, "same", "same")
    assert lines(store, "again", '{app="x"}') == ["same", "same"]


def test_gzip_is_understood_and_a_bomb_is_not(store: Service) -> None:
    headers = {
        "X-Scope-OrgID": "zip",
        "Content-Encoding": "gzip",
        "Content-Type": "application/json",
    }
    body = {"streams": [{"stream": {"app": "x"}, "values": [[str(NOW), "packed"]]}]}
    packed = gzip.compress(json.dumps(body).encode())
    sent = CLIENT.post(store.url + PUSH, content=packed, headers=headers)
    assert sent.status_code == 204, sent.text
    assert lines(store, "zip", '{app="x"}') == ["packed"]
    bomb = gzip.compress(b" " * (64 << 20))
    assert CLIENT.post(store.url + PUSH, content=bomb, headers=headers).status_code == 413


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('{app="sel"}', ["a 1", "b 2", "c 3"]),
        ('{app="sel", role="one"}', ["a 1", "b 2"]),
        ('{app=~"s.l", role!="one"}', ["c 3"]),
        ('{app="sel", role!~"o.*"}', ["c 3"]),
        ('{app="sel"} |= "b"', ["b 2"]),
        ('{app="sel"} != "b" |~ "[13]"', ["a 1", "c 3"]),
        ('{app="sel"} !~ "a|c"', ["b 2"]),
        ('{app="sel"} |~ `\\d` |= "c"', ["c 3"]),
        ('{app="se"}', []),
    ],
)
def test_selectors_and_filters_pick_what_they_say(
    store: Service, query: str, found: list[str]
) -> None:
    push(store, "select", {"app": "sel", "role": "one"}, "a 1", "b 2")
    push(store, "select", {"app": "sel", "role": "two"}, "c 3")
    assert sorted(lines(store, "select", query)) == found


@pytest.mark.parametrize(
    "query",
    [
        "",
        "{}",
        '{app=~".*"}',
        '{app="x"',
        '{app="x"} | json',
        '{app=~"("}',
        "up",
        'max(rate({app="x"}[5m]))',
        'rate({app="x"})',
    ],
)
def test_a_query_that_is_not_understood_is_refused_with_words(store: Service, query: str) -> None:
    answer = ask(store, "bad", "query_range", query=query)
    assert answer.status_code == 400 and answer.text.strip()


def test_the_limit_keeps_the_newest_or_the_oldest(store: Service) -> None:
    push(store, "limit", {"app": "l", "n": "1"}, "1", "2", at=NOW)
    push(store, "limit", {"app": "l", "n": "2"}, "3", "4", at=NOW + 100)
    assert sorted(lines(store, "limit", '{app="l"}', limit="3")) == ["2", "3", "4"]
    assert sorted(lines(store, "limit", '{app="l"}', limit="3", direction="forward")) == [
        "1",
        "2",
        "3",
    ]


def test_lines_are_counted_over_time_by_label(store: Service) -> None:
    push(store, "count", {"app": "c", "role": "one"}, *"abc", at=NOW - 10**9)
    push(store, "count", {"app": "c", "role": "two"}, "d", at=NOW - 10**9)
    query = 'sum by (role) (count_over_time({app="c"}[1m]))'
    answer = ask(store, "count", "query", query=query, time=str(NOW)).json()["data"]
    assert answer["resultType"] == "vector"
    got = {row["metric"]["role"]: row["value"][1] for row in answer["result"]}
    assert got == {"one": "3", "two": "1"}
    whole = ask(store, "count", "query", query='sum(rate({app="c"}[1m]))', time=str(NOW)).json()
    assert float(whole["data"]["result"][0]["value"][1]) == pytest.approx(4 / 60, rel=1e-3)


def test_labels_values_and_series_are_told(store: Service) -> None:
    push(store, "names", {"app": "n", "role": "one"}, "x")
    assert ask(store, "names", "labels").json()["data"] == ["app", "role"]
    assert ask(store, "names", "label/role/values").json()["data"] == ["one"]
    series = CLIENT.get(
        f"{store.url}/loki/api/v1/series",
        params={"match[]": '{app="n"}'},
        headers={"X-Scope-OrgID": "names"},
    )
    assert series.json()["data"] == [{"app": "n", "role": "one"}]


@pytest.mark.parametrize(
    "body",
    [
        {"streams": [{"stream": {}, "values": [["1", "x"]]}]},
        {"streams": [{"stream": {"bad-name": "x"}, "values": [["1", "x"]]}]},
        {"streams": [{"stream": {"app": "x"}, "values": [["soon", "x"]]}]},
        {"streams": [{"stream": {"app": "x"}, "values": [["1", 5]]}]},
        {"streams": [{"stream": {"app": "x"}, "values": [["1", "x" * (300 << 10)]]}]},
        [],
    ],
)
def test_a_push_with_something_wrong_is_refused_whole(store: Service, body: object) -> None:
    sent = CLIENT.post(store.url + PUSH, json=body, headers={"X-Scope-OrgID": "wrong"})
    assert sent.status_code == 400
    assert ask(store, "wrong", "labels").json()["data"] == []


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    service = Service("refstack.logstore", {"LOGSTORE_FILE": str(tmp_path / "lines.sqlite")})
    service.start()
    try:
        assert push(service, "kept", {"app": "k"}, "before the kill").status_code == 204
        service.end(signal.SIGKILL)
        service.start()
        assert lines(service, "kept", '{app="k"}') == ["before the kill"]
    finally:
        service.end(signal.SIGKILL)


def test_bad_settings_end_it_with_one_line(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a database, and long enough to be seen as none " * 20)
    status, words = refusal("refstack.logstore", {"LOGSTORE_FILE": str(other)})
    assert status == 2 and "LOGSTORE_FILE" in words and len(words.splitlines()) == 1


def test_it_says_that_it_is_a_stand_in(store: Service) -> None:
    assert CLIENT.get(f"{store.url}/healthz").json()["stand_in"] is True
    assert CLIENT.get(f"{store.url}/ready").text.strip() == "ready"
