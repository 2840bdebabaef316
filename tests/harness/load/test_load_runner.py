"""The generator against a real server: open loop, honest errors, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.errors import HarnessError
from harness.load.plan import LoadPlan, Request, arrival_times
from harness.load.runner import run_load, start_load

ROOT = Path(__file__).resolve().parents[3]


def _plan(target: Any, *paths: str, **changes: Any) -> LoadPlan:
    requests = [Request("GET", path, key=path) for path in paths or ("/ok",)]
    # The machine that runs these tests may be busy; lateness has a test of its own.
    given: dict[str, Any] = {"rate": 60, "duration_s": 0.6, "max_lateness_s": 5.0}
    return LoadPlan(target.url, requests, **{**given, **changes})


def _gone(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_every_arrival_is_sent_once_at_its_time_and_recorded(target: Any, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    plan = _plan(
        target,
        duration_s=1.2,
        record_headers=["x-colour"],
        extract={"ids": "results.*.id", "model": "model"},
    )
    result = run_load(plan, tmp_path, progress=seen.append)
    assert result.void_reason is None
    assert result.counts() == {"200": result.scheduled}
    assert target.requests["/ok"] == result.scheduled
    assert np.array_equal(result.samples.intended, arrival_times(plan))
    assert (result.samples.started >= result.samples.intended).all()
    assert (result.samples.finished >= result.samples.started).all()
    assert result.samples.headers[0] == {"x-colour": "blue"}
    assert result.samples.extract[0] == {"ids": ["a", "b"], "model": "m"}
    assert seen and seen[0]["samples"] > 0


def test_a_stall_is_felt_by_every_arrival_that_falls_into_it(target: Any, tmp_path: Path) -> None:
    """A closed loop would record one slow request; an open one records the whole queue."""
    with start_load(_plan(target, rate=100, duration_s=1.5, arrivals="uniform"), tmp_path) as load:
        time.sleep(0.3)
        target.shut()
        load.mark("stalled")
        assert _within(10, lambda: load.elapsed > 1.0)
        during = load.between(0.4, 0.7)
        target.open()
        load.mark("released")
        result = load.wait()
    stalled, released = (at for _, at in result.marks)
    inside = result.samples.between(stalled + 0.1, released - 0.1)
    assert result.void_reason is None
    assert len(inside) > 20
    assert (inside.latency >= released - inside.intended - 0.05).all()
    assert len(during.samples) == 0
    assert len(during.pending) == 30
    assert (during.latency > 0.25).all()


def test_an_arrival_beyond_the_bound_is_dropped_and_voids_the_run(
    target: Any, tmp_path: Path
) -> None:
    result = run_load(
        _plan(target, "/hang", max_in_flight=5, timeout_s=0.9, rate=40, arrivals="uniform"),
        tmp_path,
    )
    assert result.counts() == {"dropped": 19, "timeout": 5}
    assert "19 of 24 arrivals were dropped" in str(result.void_reason)


def test_errors_are_told_apart_and_no_request_is_repeated(target: Any, tmp_path: Path) -> None:
    paths = ["/ok", "/close", "/truncate", "/garbage", "/hang", "/status/503"]
    paths += ["/status/404", "/until-close"]
    result = run_load(
        _plan(target, *paths, order="cycle", timeout_s=0.3, rate=80, arrivals="uniform"), tmp_path
    )
    assert result.counts() == {
        "200": 12,
        "404": 6,
        "503": 6,
        "closed": 6,
        "protocol": 6,
        "timeout": 6,
        "truncated": 6,
    }
    assert set(target.requests.values()) == {6}
    assert result.samples.with_key("/truncate").status.tolist() == [0] * 6
    assert result.samples.with_key("/until-close").bytes.tolist() == [len("all of it")] * 6


def test_a_closed_port_is_refused_and_nothing_was_sent(target: Any, tmp_path: Path) -> None:
    plan = _plan(target, duration_s=0.3)
    target.close()
    result = run_load(plan, tmp_path)
    assert list(result.counts()) == ["refused"]


def test_connections_are_kept_or_fresh_as_asked(target: Any, tmp_path: Path) -> None:
    kept = run_load(_plan(target, rate=40, arrivals="uniform"), tmp_path / "kept")
    opened = target.connections
    assert opened < kept.scheduled / 2
    assert any(kept.samples.reused)
    fresh = run_load(
        _plan(target, rate=40, arrivals="uniform", fresh_connections=True), tmp_path / "fresh"
    )
    assert target.connections - opened == fresh.scheduled
    assert not any(fresh.samples.reused)


def test_a_secret_reaches_the_server_and_nothing_else(target: Any, tmp_path: Path) -> None:
    request = Request(
        "POST",
        "/ok",
        json={"text": "note {i}"},
        headers={"Authorization": "Bearer {token:acme}"},
    )
    plan = LoadPlan(target.url, [request], rate=30, duration_s=0.5, max_lateness_s=5)
    with start_load(plan, tmp_path, secrets={"acme": "s3cret-t0ken"}) as load:
        visible = Path(f"/proc/{load.pid}/cmdline").read_bytes()
        visible += Path(f"/proc/{load.pid}/environ").read_bytes()
        result = load.wait()
    assert {headers["authorization"] for _, headers, _ in target.seen} == {"Bearer s3cret-t0ken"}
    bodies = {body for _, _, body in target.seen}
    assert b'{"text":"note 0"}' in bodies
    assert len(bodies) == result.scheduled
    visible += b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"s3cret" not in visible


def test_a_token_that_was_not_given_is_refused_by_name(tmp_path: Path) -> None:
    request = Request("GET", "/", headers={"Authorization": "Bearer {token:acme}"})
    with pytest.raises(HarnessError, match="acme"):
        start_load(LoadPlan("http://127.0.0.1:1", [request], rate=1, duration_s=1), tmp_path)


def test_a_run_that_is_stopped_keeps_what_it_has(target: Any, tmp_path: Path) -> None:
    with start_load(_plan(target, duration_s=60), tmp_path) as load:
        assert _within(10, lambda: len(load.window(60).samples) > 5)
        assert load.running
        result = load.stop()
        assert not load.running
    assert result.void_reason is None
    assert result.stopped_early
    assert result.seconds < 30
    assert len(result.samples) == result.scheduled
    assert (tmp_path / "samples.jsonl").read_text().count("\n") == result.scheduled


def test_a_generator_that_dies_voids_the_run(target: Any, tmp_path: Path) -> None:
    with start_load(_plan(target, duration_s=60), tmp_path) as load:
        os.kill(load.pid, signal.SIGKILL)
        result = load.wait()
    assert "ended before its schedule" in str(result.void_reason)


def test_a_generator_that_is_late_voids_the_run(target: Any, tmp_path: Path) -> None:
    with start_load(_plan(target, duration_s=1.0, max_lateness_s=0.2), tmp_path) as load:
        time.sleep(0.2)
        os.kill(load.pid, signal.SIGSTOP)
        time.sleep(0.7)
        os.kill(load.pid, signal.SIGCONT)
        result = load.wait()
    assert "generator was late" in str(result.void_reason)
    assert result.lateness_p99_s > 0.2


def test_a_directory_with_samples_is_not_written_over(target: Any, tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text("")
    with pytest.raises(HarnessError, match="directory of its own"):
        start_load(_plan(target), tmp_path)


def test_a_generator_that_cannot_start_says_why(tmp_path: Path) -> None:
    plan = LoadPlan(
        "https://127.0.0.1:1",
        [Request("GET", "/")],
        rate=1,
        duration_s=1,
        ca_file=str(tmp_path / "absent.pem"),
    )
    with pytest.raises(HarnessError, match="FileNotFoundError"):
        start_load(plan, tmp_path / "run")


def test_the_surroundings_of_locust_do_not_change_a_run(
    target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".locust.conf").write_text("run-time = 1s\nno-such-option = 1\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOCUST_RUN_TIME", "nonsense")
    assert run_load(_plan(target, duration_s=0.2), tmp_path / "run").void_reason is None


PARENT = """
import sys, threading, time
from pathlib import Path
from harness.load.plan import LoadPlan, Request
from harness.load.runner import run_load, start_load

url, directory, how = sys.argv[1:]
plan = LoadPlan(url, [Request("GET", "/ok")], rate=20, duration_s=60)
if how == "run":
    run_load(plan, Path(directory))
else:
    def begin():
        global load
        load = start_load(plan, Path(directory))
    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("how", "blow"),
    [("run", signal.SIGKILL), ("thread", signal.SIGKILL), ("run", signal.SIGINT)],
)
def test_the_generator_ends_with_whoever_started_it(
    target: Any, tmp_path: Path, how: str, blow: signal.Signals
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, target.url, str(tmp_path), how],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert _within(20, lambda: target.requests["/ok"] > 3)
        found = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(parent.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        (generator,) = (int(line) for line in found.stdout.split())
        parent.send_signal(blow)
        assert parent.wait(10) != 0
        assert _within(5, lambda: _gone(generator))
        if blow is signal.SIGINT:
            assert parent.stderr is not None
            assert parent.stderr.read().decode().strip().endswith("KeyboardInterrupt")
    finally:
        parent.kill()
        parent.wait(10)
