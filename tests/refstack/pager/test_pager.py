"""The pager keeps what it acknowledged, and says when it cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pager_lab import CLIENT, REPOSITORY, Pager

from refstack.pager.journal import Journal

WEBHOOK = {
    "version": "4",
    "status": "firing",
    "receiver": "primary",
    "groupLabels": {"alertname": "Latency"},
    "alerts": [{"status": "firing", "labels": {"alertname": "Latency"}}],
}


def test_a_delivery_is_shown_with_its_arrival_and_payload(pager: Pager) -> None:
    before = time.time()
    assert pager.send("primary", WEBHOOK).status_code == 200
    (delivery,) = pager.deliveries(receiver="primary")
    assert delivery["receiver"] == "primary"
    assert delivery["payload"] == WEBHOOK
    assert before <= float(str(delivery["received_at"])) <= time.time()


def test_deliveries_can_be_asked_for_by_receiver_and_since_a_moment(pager: Pager) -> None:
    for number, receiver in enumerate(["day", "night", "day", "chat/general"]):
        pager.send(receiver, {"n": number})
    assert [d["payload"] for d in pager.deliveries(receiver="day")] == [{"n": 0}, {"n": 2}]
    assert [d["payload"] for d in pager.deliveries(receiver="chat/general")] == [{"n": 3}]
    assert pager.deliveries(receiver="nobody") == []
    second = str(pager.deliveries(receiver="night")[0]["received_at"])
    assert [d["payload"] for d in pager.deliveries(since=second)] == [{"n": 2}, {"n": 3}]


def test_what_was_acknowledged_survives_a_kill(own_pager: Pager) -> None:
    own_pager.send("primary", WEBHOOK)
    own_pager.end(signal.SIGKILL)
    with own_pager.file.open("ab") as file:
        file.write(b'{"received_at": 1, "rec')
    own_pager.start()
    own_pager.send("primary", {"n": 2})
    assert [d["payload"] for d in own_pager.deliveries()] == [WEBHOOK, {"n": 2}]


def test_the_pager_ends_cleanly_when_asked(own_pager: Pager) -> None:
    assert own_pager.end() == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("primary", b"no json", 400),
        ("primary", b"[]", 422),
        ("bad%20name", b"{}", 404),
        ("a//b", b"{}", 404),
    ],
)
def test_what_is_no_delivery_is_refused_and_not_kept(
    pager: Pager, path: str, body: bytes, status: int
) -> None:
    before = pager.deliveries()
    refused = CLIENT.post(f"{pager.url}/{path}", content=body)
    assert refused.status_code == status
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert pager.deliveries() == before


def test_a_moment_that_is_no_number_is_refused(pager: Pager) -> None:
    assert CLIENT.get(f"{pager.url}/deliveries", params={"since": "noon"}).status_code == 422
    assert CLIENT.get(f"{pager.url}/deliveries", params={"since": "nan"}).status_code == 422


def test_a_full_disk_is_told_and_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "file")
    journal.append({"n": 1})
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:3]))

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        journal.append({"n": 2})
    monkeypatch.undo()
    journal.append({"n": 3})
    assert list(journal.entries()) == [{"n": 1}, {"n": 3}]
    journal.close()


@pytest.mark.parametrize(
    ("held", "reason"),
    [("", "is not set"), ("/nowhere/file", "can be written"), ("README", "JSON lines")],
)
def test_a_file_that_cannot_serve_is_one_line_and_status_2(
    tmp_path: Path, held: str, reason: str
) -> None:
    (tmp_path / "README").write_text("not ours")
    path = str(tmp_path / held) if held == "README" else held
    done = subprocess.run(
        [sys.executable, "-m", "refstack.pager", "--port", "0"],
        cwd=REPOSITORY,
        env={**os.environ, "PAGER_FILE": path},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "PAGER_FILE" in done.stderr
    assert reason in done.stderr
    assert (tmp_path / "README").read_text() == "not ours"
