"""rollout_gateway.sh against two gateways and an edge that only pretend: what it does, in which
order, and what it leaves behind when it is refused, killed or run again."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.core.run import CHECKOUT
from scripts.dayops import gateways, rollout_gateway

WORDS = "the ferry leaves at nine"


class Lab:
    """Blue, green and an edge in one process; files say who is up, with which release."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.sent: Counter[str] = Counter()
        self.stragglers = 0
        self.servers = {each: _serve(self, each) for each in ("blue", "green", "edge")}
        (place / "serves").write_text("blue")
        (place / "blue.up").write_text("one")

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.servers[name].server_address[1]}"

    def release(self, colour: str) -> str | None:
        up = self.place / f"{colour}.up"
        return up.read_text() if up.exists() else None

    @property
    def serves(self) -> str:
        return (self.place / "serves").read_text()

    @property
    def did(self) -> list[str]:
        log = self.place / "did"
        return log.read_text().splitlines() if log.exists() else []

    def answer(self, name: str, path: str) -> tuple[int, str, str]:
        """Status, colour and body of a request to blue, green or the edge."""
        colour = self.serves if name == "edge" else name
        if name == "edge" and colour == "green" and path.startswith("/v1") and self.stragglers:
            self.stragglers, colour = self.stragglers - 1, "blue"
        release = self.release(colour)
        if release is None:
            return 502, "nobody", ""
        if path.startswith("/v1"):
            self.sent[f"{name} {colour} {release}"] += 1
            if release == "mute" or (release == "spoils" and name == "edge"):
                return 401, colour, "no"
            words = "something else" if release == "wrong" else WORDS
            degraded = ["rerank_unavailable"] if release == "degraded" else None
            return 200, colour, json.dumps({"results": [{"text": words}], "degraded": degraded})
        if path == "/readyz":
            return (503, colour, "not yet") if release == "unready" else (200, colour, "")
        return 200, colour, ""

    def environment(self, **more: str) -> dict[str, str]:
        place = self.place
        did = f'echo "$0 $COLOUR $RELEASE" >> {place}/did'
        return {
            "GATEWAY_URL": self.url("edge"),
            "BLUE_URL": self.url("blue"),
            "GREEN_URL": self.url("green"),
            "GATEWAY_START_CMD": f"{did.replace('$0', 'start')}; "
            f'printf %s "$RELEASE" > {place}/$COLOUR.up',
            "GATEWAY_STOP_CMD": f"{did.replace('$0', 'stop')}; rm -f {place}/$COLOUR.up",
            "GATEWAY_SWITCH_CMD": f"{did.replace('$0', 'switch')}; "
            f'printf %s "$COLOUR" > {place}/new && mv {place}/new {place}/serves',
            "GATEWAY_DRAINED_CMD": "true",
            "GATEWAY_PROBE_BODY": '{"query": "when does the ferry leave?"}',
            "GATEWAY_PROBE_TOKEN": "token-of-the-probe",
            "GATEWAY_PROBE_EXPECT": WORDS,
            "ROLLOUT_STATE": str(place / "memory" / "rollout.json"),
            **more,
        }


def _serve(lab: Lab, name: str) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, colour, body = lab.answer(name, self.path)
            self.send_response(status)
            self.send_header("X-Gateway-Colour", colour)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for server in made.servers.values():
        server.shutdown()
        server.server_close()


@pytest.fixture
def roll(lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the script in this process; returns its exit code, its steps and its last words."""
    monkeypatch.setattr("tempfile.tempdir", str(lab.place))

    def run(*argv: str, **more: str) -> tuple[int, list[str], dict[str, Any]]:
        for name, value in lab.environment(**more).items():
            monkeypatch.setenv(name, value)
        code = rollout_gateway.run(list(argv))
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        done = [e["step"] for e in rows if e["event"] == "step" and e["state"] == "done"]
        return code, done, rows[-1]

    return run


def test_a_roll_out_proves_the_new_one_switches_drains_and_ends_the_old_one(
    lab: Lab, roll: Any
) -> None:
    code, steps, last = roll("--release", "two", "--current-release", "one")
    assert code == 0 and (last["serves"], last["release"]) == ("green", "two")
    assert steps == ["look", "start", "gate", "switch", "watch", "drain", "stop"]
    assert lab.did == ["start green two", "switch green ", "stop blue "]
    assert lab.sent["green green two"] == rollout_gateway.PROBES


def test_the_same_release_again_changes_nothing(lab: Lab, roll: Any) -> None:
    roll("--release", "two")
    before = lab.did
    code, steps, _ = roll("--release", "two")
    assert (code, steps, lab.did) == (0, ["look"], before)


def test_a_roll_back_puts_the_former_release_back_once(lab: Lab, roll: Any) -> None:
    roll("--release", "two", "--current-release", "one")
    code, _, last = roll("--rollback")
    assert (code, last["release"], lab.serves) == (0, "one", "blue")
    assert lab.release("blue") == "one" and lab.release("green") is None
    before = lab.did
    assert roll("--rollback")[0] == 0
    assert (lab.serves, lab.did) == ("blue", before), "what was taken back is not put out again"


def test_an_old_gateway_that_was_kept_is_switched_back_to_as_it_is(lab: Lab, roll: Any) -> None:
    roll("--release", "two", "--current-release", "one", "--keep-old")
    assert lab.release("blue") == "one"
    roll("--rollback")
    assert "start blue one" not in lab.did and lab.serves == "blue"
    assert lab.release("green") is None


@pytest.mark.parametrize("release", ["unready", "mute", "wrong", "degraded"])
def test_a_gateway_that_fails_its_health_check_gets_nothing_from_the_edge(
    lab: Lab, roll: Any, release: str
) -> None:
    code, _, _ = roll("--release", release, "--ready-s", "0.3")
    assert (code, lab.serves) == (1, "blue")
    assert lab.release("green") is None and "switch green " not in lab.did
    assert not any(sent.startswith("edge green") for sent in lab.sent)


def test_a_degraded_answer_is_no_reason_where_the_old_one_is_degraded_too(
    lab: Lab, roll: Any
) -> None:
    (lab.place / "blue.up").write_text("degraded")
    assert roll("--release", "degraded")[0] == 0


def test_a_gateway_that_answers_worse_under_traffic_is_taken_back(lab: Lab, roll: Any) -> None:
    code, steps, _ = roll("--release", "spoils", "--watch", "2")
    assert (code, lab.serves) == (1, "blue")
    assert steps[-2:] == ["switch_back", "drain"] and lab.release("green") is None


def test_the_last_requests_of_an_old_worker_of_nginx_are_no_reason_to_go_back(
    lab: Lab, roll: Any
) -> None:
    lab.stragglers = 3
    code, steps, _ = roll("--release", "two", "--watch", "2")
    assert (code, lab.serves, lab.stragglers) == (0, "green", 0)
    assert "switch_back" not in steps
    assert lab.sent["edge green two"] == 2


def test_an_edge_that_goes_on_sending_to_the_old_gateway_is_taken_back(
    lab: Lab, roll: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gateway, "SWITCH_S", 1.0)
    lab.stragglers = 1_000_000
    code, steps, _ = roll("--release", "two", "--watch", "2")
    assert (code, lab.serves) == (1, "blue")
    assert "switch_back" in steps


def test_a_command_that_fails_leaves_the_old_gateway_serving(lab: Lab, roll: Any) -> None:
    code, _, last = roll("--release", "two", GATEWAY_START_CMD="echo no image; exit 3")
    assert (code, lab.serves) == (2, "blue") and "GATEWAY_START_CMD" in last["outcome"]


def test_without_a_release_known_before_there_is_nothing_to_roll_back_to(
    lab: Lab, roll: Any
) -> None:
    assert roll("--rollback")[0] == 1
    roll("--release", "two")
    assert roll("--rollback")[0] == 1, "nobody said what ran before"
    assert lab.serves == "green"


def test_a_dry_run_and_a_status_change_nothing(lab: Lab, roll: Any) -> None:
    code, steps, _ = roll("--release", "two", "--dry-run")
    assert (code, steps, lab.did) == (0, ["look"], [])
    code, _, last = roll("--status")
    assert (code, last["serves"], last["up"]) == (0, "blue", ["blue"])
    assert not (lab.place / "memory").exists()


def test_a_switch_by_other_means_makes_the_memory_worthless(lab: Lab, roll: Any) -> None:
    roll("--release", "two", "--current-release", "one")
    (lab.place / "blue.up").write_text("three")
    (lab.place / "serves").write_text("blue")
    assert roll("--rollback")[0] == 1, "blue is not what it replaced"


@pytest.mark.parametrize(
    ("argv", "more"),
    [
        ((), {}),
        (("--release", "a", "--rollback"), {}),
        (("--release", "a", "--watch", "-1"), {}),
        (("--release", "a"), {"GATEWAY_PROBE_BODY": "{"}),
        (("--release", "a"), {"GREEN_URL": "green:8081"}),
    ],
)
def test_what_is_asked_wrongly_is_a_usage_error(
    lab: Lab, roll: Any, argv: tuple[str, ...], more: dict[str, str]
) -> None:
    assert roll(*argv, **more)[0] == 4 and lab.did == []


def test_only_one_roll_out_of_a_gateway_at_a_time(lab: Lab, roll: Any) -> None:
    lock = lab.place / "memory" / "rollout.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert roll("--release", "two")[0] == 3
    assert roll("--release", "two")[0] == 0


def test_without_a_word_from_nginx_a_counter_that_stands_still_means_drained(
    lab: Lab, roll: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([1.0, 2.0, 3.0])
    asked: list[str] = []

    def counter(url: str) -> float:
        asked.append(url)
        return next(counts, 3.0)

    monkeypatch.setattr(gateways, "requests_of", counter)
    code, steps, _ = roll("--release", "two", "--quiet-s", "0.3", GATEWAY_DRAINED_CMD="")
    assert code == 0 and "stop" in steps
    assert len(asked) > 3 and set(asked) == {lab.url("blue")}


KILLS = {
    "before the start": ("GATEWAY_START_CMD", "kill -9 $PPID; sleep 1"),
    "after the start": ("GATEWAY_START_CMD", "{}; kill -9 $PPID; sleep 1"),
    "before the switch": ("GATEWAY_SWITCH_CMD", "kill -9 $PPID; sleep 1"),
    "after the switch": ("GATEWAY_SWITCH_CMD", "{}; kill -9 $PPID; sleep 1"),
    "before the end of the old one": ("GATEWAY_STOP_CMD", "kill -9 $PPID; sleep 1"),
}


def killed(lab: Lab, moment: str, *argv: str) -> None:
    """Run the script as a process that its own command kills at a moment."""
    name, command = KILLS[moment]
    given = lab.environment()
    more = {name: command.replace("{}", given[name])}
    done = subprocess.run(
        [CHECKOUT / "scripts" / "rollout_gateway.sh", *argv],
        env={**os.environ, **given, **more, "PYTHON": sys.executable, "TMPDIR": str(lab.place)},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("moment", KILLS)
def test_whenever_it_is_killed_another_run_brings_it_to_its_end(
    lab: Lab, roll: Any, moment: str
) -> None:
    killed(lab, moment, "--release", "two", "--current-release", "one")
    assert lab.release(lab.serves) in ("one", "two"), "somebody serves"
    code, _, last = roll("--release", "two")
    assert (code, lab.serves, last["release"]) == (0, "green", "two")
    assert lab.release("green") == "two" and lab.release("blue") is None


@pytest.mark.parametrize("moment", ["after the start", "after the switch"])
def test_whenever_it_is_killed_it_can_be_taken_back(lab: Lab, roll: Any, moment: str) -> None:
    killed(lab, moment, "--release", "two", "--current-release", "one")
    assert roll("--rollback")[0] == 0
    assert lab.serves == "blue" and lab.release("blue") == "one"
    assert lab.release("green") is None
