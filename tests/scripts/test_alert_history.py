"""What fired is told by stretches, with who took it on; nothing is made up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from scripts import alert_summary
from scripts.dayops.alert_history import (
    Acknowledgement,
    Firing,
    fired,
    since_yesterday_evening,
    unwatched,
)

LABELS = {"alertname": "Hot", "alertstate": "firing", "severity": "page"}


def test_moments_become_stretches_and_gaps_end_them() -> None:
    moments = [10.0, 11.0, 12.0, 20.0, 21.0]
    first, second = fired([(LABELS, moments)], step=1.0, until=21.5)
    assert (first.began, first.ended, first.ongoing) == (10.0, 12.0, False)
    assert (second.began, second.ended, second.ongoing) == (20.0, 21.0, True)
    assert first.labels == {"severity": "page"}


def test_one_scrape_that_is_missing_ends_nothing() -> None:
    assert len(fired([(LABELS, [10.0, 12.0, 13.0])], step=1.0, until=60.0)) == 1


@pytest.mark.parametrize(
    ("now", "since"),
    [
        ("2026-05-09T06:00:00+00:00", "2026-05-08T16:00:00+00:00"),
        ("2026-01-14T07:00:00+00:00", "2026-01-13T17:00:00+00:00"),
        ("2026-03-29T06:00:00+00:00", "2026-03-28T17:00:00+00:00"),
        ("2026-05-09T22:30:00+00:00", "2026-05-09T16:00:00+00:00"),
    ],
    ids=["summer", "winter", "the night the clocks change", "after midnight in Berlin"],
)
def test_the_night_begins_at_18_in_berlin(now: str, since: str) -> None:
    found = since_yesterday_evening(datetime.fromisoformat(now))
    assert found == datetime.fromisoformat(since)


def silence(*matchers: tuple[str, str, bool, bool], began: float = 15.0) -> Acknowledgement:
    return Acknowledgement("primary", "on it", began, 99.0, matchers)


HOT = Firing("Hot", {"severity": "page", "job": "embed"}, 10.0, 30.0, False)


def test_a_silence_of_the_alert_while_it_fired_is_an_acknowledgement() -> None:
    assert silence(("alertname", "Hot", False, True)).covers(HOT)
    assert silence(("job", "em.*", True, True), ("severity", "ticket", False, False)).covers(HOT)


def test_another_alert_s_silence_or_one_too_late_is_none() -> None:
    assert not silence(("alertname", "Cold", False, True)).covers(HOT)
    assert not silence(("alertname", "Hot", False, True), began=31.0).covers(HOT)


@contextmanager
def answering(answers: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(found).encode()
            self.send_response(200 if found is not None else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_the_summary_names_alert_time_acknowledgement_and_a_dead_switch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = datetime.now(UTC).timestamp()
    values = [[now - 600 + each, "1"] for each in range(0, 120, 5)]
    answers = {
        "/api/v1/query_range": {"data": {"result": [{"metric": LABELS, "values": values}]}},
        "/api/v1/rules": {
            "data": {"groups": [{"rules": [{"name": "Hot", "annotations": {"runbook": "r#hot"}}]}]}
        },
        "/api/v2/silences": [
            {
                "createdBy": "primary",
                "comment": "restarted it",
                "startsAt": datetime.fromtimestamp(now - 560, UTC).isoformat(),
                "endsAt": datetime.fromtimestamp(now, UTC).isoformat(),
                "matchers": [{"name": "alertname", "value": "Hot", "isRegex": False}],
            }
        ],
        "/api/v2/alerts": [],
    }
    with answering(answers) as url:
        monkeypatch.setenv("PROMETHEUS_URL", url)
        monkeypatch.setenv("ALERTMANAGER_URL", url)
        assert alert_summary.main([]) == 0
    told = capsys.readouterr().out
    assert "Hot  (page, 115 s)" in told
    assert "resolved; primary acknowledged it after 40 s (restarted it)" in told
    assert "r#hot" in told
    assert "dead-man's switch does not fire" in told


def test_a_server_that_is_no_prometheus_is_no_quiet_night(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering({"/api/v1/query_range": {"status": "odd"}}) as url:
        monkeypatch.setenv("PROMETHEUS_URL", url)
        monkeypatch.setenv("ALERTMANAGER_URL", url)
        assert alert_summary.main([]) == 2
    streams = capsys.readouterr()
    assert not streams.out and "no series" in streams.err


def beat(began: float, ended: float, ongoing: bool = False) -> Firing:
    return Firing("RAG_Dead_Mans_Switch", {}, began, ended, ongoing)


@pytest.mark.parametrize(
    ("beats", "unknown"),
    [
        ([], [(0, 1000)]),
        ([beat(0, 990, True)], []),
        ([beat(59, 990, True)], []),
        ([beat(60, 990, True)], [(0, 60)]),
        ([beat(0, 300), beat(359, 990, True)], []),
        ([beat(0, 300), beat(400, 990, True)], [(300, 400)]),
        ([beat(400, 990, True), beat(0, 300)], [(300, 400)]),
        ([beat(0, 700), beat(100, 200), beat(710, 940)], [(940, 1000)]),
        ([beat(0, 941)], []),
    ],
)
def test_a_time_without_the_dead_mans_switch_is_not_known(
    beats: list[Firing], unknown: list[tuple[float, float]]
) -> None:
    assert unwatched(beats, 0, 1000) == unknown
