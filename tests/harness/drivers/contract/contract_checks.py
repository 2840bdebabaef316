"""What the driver contract promises, one function for each promise, for a stack of any driver."""

from __future__ import annotations

import secrets
import signal
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from contract_asker import Asker, eventually
from contract_labs import Lab

from fixtures.residue import difference, fingerprint
from fixtures.stack import refuse_unmet_needs
from harness.core.errors import HarnessError, NotAllowed, TargetError
from harness.core.registry import Needs
from harness.drivers.base import (
    Kill,
    Links,
    LogFiles,
    Pause,
    ProcessIds,
    Restart,
    Stack,
    Volume,
)
from harness.drivers.embedded import http

NOT_READY_S = 3.0
LINES = 40
VOLUMES = ("vectordb", "metadata", "objectstore")


def needs(stack: object, *capabilities: type) -> None:
    """Skip where the driver has no such capability; that is its right."""
    for each in capabilities:
        if not isinstance(stack, each):
            pytest.skip(f"{type(stack).__name__} has no {each.__name__}")


def logs_of(stack: Stack, role: str) -> str:
    """The role's log, or a skip where the driver may not read any."""
    try:
        return stack.logs(role)
    except NotAllowed as error:
        pytest.skip(str(error.what))


def refused(stack: Stack, role: str) -> bool:
    """Whether nobody takes connections for the role."""
    endpoint = stack.endpoint(role)
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((endpoint.host, endpoint.port)) != 0


def every_role_is_ready(stack: Stack) -> None:
    assert {"gateway", "edge", "vectordb", "metadata", "auth", "embed"} <= set(stack.roles())
    for role in stack.roles():
        stack.ready(role, timeout_s=30)


def ready_means_ready(stack: Stack) -> None:
    """A gateway without its vector store runs, listens and would serve nobody."""
    needs(stack, Restart)
    assert isinstance(stack, Restart)
    stack.stop("vectordb")
    try:
        assert eventually(lambda: not_ready(stack, "vectordb")), "a role that is down is ready"
        assert eventually(lambda: not_ready(stack, "gateway")), "what would not serve is ready"
    finally:
        stack.start("vectordb")
    stack.ready("gateway", timeout_s=30)


def not_ready(stack: Stack, role: str) -> bool:
    """Whether the driver says so, with a reason."""
    try:
        stack.ready(role, timeout_s=0.2)
    except TargetError as error:
        return bool(error.actual)
    return False


def endpoints_answer_on_this_host_alone(stack: Stack) -> None:
    for role in stack.roles():
        endpoint = stack.endpoint(role)
        assert endpoint.role == role and str(endpoint.port) in endpoint.url
        assert not refused(stack, role), role
        with socket.socket() as probe:
            probe.settimeout(2)
            # What listens on every address takes this one too.
            assert probe.connect_ex(("127.0.0.2", endpoint.port)) != 0, f"{role} listens everywhere"


def an_unknown_role_is_refused_with_the_known_ones(stack: Stack) -> None:
    for ask in (stack.endpoint, stack.ready):
        with pytest.raises(HarnessError, match=r"(?s)gatway"):
            ask("gatway")  # type: ignore[operator]
    with pytest.raises(HarnessError, match="vectordb"):
        stack.endpoint("gatway")


def logs_are_whole_and_in_order(stack: Stack, asker: Asker) -> None:
    """Every request's line is there, once, in order, and stays there over a restart."""
    logs_of(stack, "gateway")
    ids = [f"line-{number:02d}-{secrets.token_hex(6)}" for number in range(LINES)]
    for each in ids:
        asker.query(**{"X-Request-Id": each})
    seen: list[str] = []

    def complete() -> bool:
        lines = stack.logs("gateway").splitlines()
        seen[:] = [each for line in lines for each in ids if each in line]
        return set(ids) <= set(seen)

    assert eventually(complete), f"{len(set(ids) - set(seen))} of {LINES} lines are missing"
    first = list(dict.fromkeys(seen))
    assert first == ids, "the lines are not in the order of the requests"
    counted = how_often(stack, ids)
    assert max(counted.values()) == 1, "a line is there twice"
    assert len(stack.logs("gateway", tail=3).splitlines()) == 3
    if isinstance(stack, LogFiles):
        text = "".join(path.read_text() for path in stack.log_files("gateway"))
        assert all(each in text for each in ids), "the files hold less than the log"
    if isinstance(stack, Restart):
        stack.restart("gateway")
        text = stack.logs("gateway")
        assert all(each in text for each in ids), "a restart cut the log"


def how_often(stack: Stack, ids: list[str]) -> dict[str, int]:
    """How often each line that names one of them stands in the log."""
    found: dict[str, int] = {}
    for line in stack.logs("gateway").splitlines():
        if any(each in line for each in ids):
            found[line] = found.get(line, 0) + 1
    return found


def a_restart_keeps_what_was_written(stack: Stack, asker: Asker) -> None:
    needs(stack, Restart)
    assert isinstance(stack, Restart)
    for role in ("vectordb", "metadata"):
        before = set(stack.pids(role)) if isinstance(stack, ProcessIds) else set()
        stack.restart(role)
        if isinstance(stack, ProcessIds):
            assert not before & set(stack.pids(role)), "it is the same process"
        stack.ready(role, timeout_s=30)
    assert eventually(asker.answers), "what was written is gone"


def a_stopped_role_is_down_until_it_is_started(stack: Stack, asker: Asker) -> None:
    needs(stack, Restart)
    assert isinstance(stack, Restart)
    stack.stop("rerank")
    assert refused(stack, "rerank"), "it still takes connections"
    try:
        if isinstance(stack, ProcessIds):
            assert stack.pids("rerank") == ()
            assert stack.exit_status("rerank") != -signal.SIGKILL, "it was killed"
        time.sleep(0.3)
        assert refused(stack, "rerank"), "somebody started it again"
    finally:
        stack.start("rerank")
    assert not refused(stack, "rerank")
    assert eventually(asker.answers)


def a_restart_may_change_settings(stack: Stack) -> None:
    needs(stack, Restart, Links)
    assert isinstance(stack, Restart)
    old = stack.credentials("rerank")["api_key"]
    key = secrets.token_hex(20)

    def status(given: str) -> int:
        return http.request(
            "POST",
            f"{stack.endpoint('rerank').url}/rerank",
            headers={"Authorization": f"Bearer {given}"},
            json_body={"query": "a", "texts": ["b"]},
        ).status

    stack.restart("rerank", {"RERANK_API_KEYS": key})
    try:
        stack.restart("rerank")
        seen = (status(key), status(old))
        assert seen == (200, 401), f"the settings given were forgotten: {seen}"
        assert stack.credentials("rerank")["api_key"] == key
    finally:
        stack.restart("rerank", {"RERANK_API_KEYS": old})
    assert status(old) == 200


def a_kill_is_a_kill(stack: Stack) -> None:
    """A database that was asked to stop says goodbye; one that was killed recovers."""
    needs(stack, Kill, Restart)
    assert isinstance(stack, Kill) and isinstance(stack, Restart)
    said = len(logs_of(stack, "metadata"))
    before = stack.pids("metadata") if isinstance(stack, ProcessIds) else ()
    stack.kill("metadata")
    try:
        assert refused(stack, "metadata"), "it still takes connections"
        if isinstance(stack, ProcessIds):
            assert before and stack.pids("metadata") == ()
            assert stack.exit_status("metadata") == -signal.SIGKILL
    finally:
        stack.start("metadata")
    assert eventually(lambda: "ready to accept connections" in stack.logs("metadata")[said:])
    assert "not properly shut down" in stack.logs("metadata")[said:], "it had time to say goodbye"


def what_was_killed_comes_back_as_it_was(stack: Stack) -> None:
    """With the environment, the limits and the files that it had: else each kill leaves residue."""
    needs(stack, Kill, Restart, ProcessIds)
    assert isinstance(stack, Kill) and isinstance(stack, Restart)
    before = fingerprint(stack)
    stack.kill("auth")
    stack.start("auth")
    stack.ready("auth", timeout_s=30)
    left = difference(before, fingerprint(stack))
    assert not left, f"it came back as another one: {left}"


def a_paused_role_holds_still(stack: Stack, asker: Asker) -> None:
    needs(stack, Pause)
    assert isinstance(stack, Pause)
    stack.pause("vectordb")
    try:
        with pytest.raises(OSError, match="timed out"):
            http.request("GET", f"{stack.endpoint('vectordb').url}/", timeout_s=0.5)
    finally:
        stack.resume("vectordb")
    assert eventually(asker.answers)


def no_secret_reaches_a_log(stack: Stack, asker: Asker) -> None:
    asker.query()
    texts = {role: logs_of(stack, role) for role in stack.roles()}
    for holder in stack.roles():
        for name, value in stack.credentials(holder).items():
            if name == "bucket":
                continue
            where = [role for role, text in texts.items() if str(value) in text]
            assert not where, f"{holder}'s {name} stands in the log of {', '.join(where)}"
    assert any(texts.values()), "there is no log at all"


def stand_ins_are_marked(stack: Stack) -> None:
    parts = {part.role: part for part in stack.components()}
    for part in parts.values():
        # An attached S3 server or nginx has no version on the wire.
        assert part.version[0].isdigit() or part.version == "unknown", part
        words = f"{part.software} {part.note}".lower()
        if "stand-in" in words or part.software.startswith(("ragdrill vectordb", "ragdrill fault")):
            assert part.stand_in, part
    vectordb = http.request("GET", f"{stack.endpoint('vectordb').url}/").json()
    if "stand-in" in vectordb["title"]:
        assert parts["vectordb"].stand_in or "stand-in" in parts["vectordb"].software


def a_wiped_store_has_lost_everything(stack: Stack, asker: Asker) -> None:
    """The last check: what it breaks stays broken."""
    needs(stack, Volume, Restart)
    assert isinstance(stack, Volume) and isinstance(stack, Restart)
    assert any(stack.volume("vectordb").iterdir()), "there is nothing in the volume"
    stack.wipe("vectordb")
    assert refused(stack, "vectordb"), "it still runs"
    assert not files(stack, "vectordb"), "its data is still there"
    stack.start("vectordb")
    key = {"api-key": stack.credentials("vectordb")["api_key"]}
    answer = http.request("GET", f"{stack.endpoint('vectordb').url}/collections", headers=key)
    assert answer.json()["result"]["collections"] == []
    assert not asker.answers()


def files(stack: Volume, role: str) -> list[str]:
    """The files below the role's data directory."""
    top = stack.volume(role)
    return [str(path) for path in top.rglob("*") if path.is_file()] if top.exists() else []


def another_process_sees_the_same(stack: Stack, other: Stack) -> None:
    assert (other.run_id, other.name, other.allow) == (stack.run_id, stack.name, stack.allow)
    assert other.roles() == stack.roles()
    for role in stack.roles():
        assert other.endpoint(role) == stack.endpoint(role)
        assert other.credentials(role) == stack.credentials(role)
    assert other.links() == stack.links()


def what_is_not_allowed_is_refused(stack: Stack) -> None:
    """``stack`` may only be read: cases that write, restart, break or destroy are skipped."""
    assert stack.allow == frozenset({"read"}), f"more than read is allowed: {set(stack.allow)}"
    refuse_unmet_needs(_case(), stack)
    for permission in ("write", "restart", "fault", "destroy"):
        with pytest.raises(NotAllowed, match=permission):
            refuse_unmet_needs(_case(permission), stack)


def _case(*permissions: str) -> Any:
    return SimpleNamespace(needs=Needs(("read", *permissions), ("gateway",)))


def a_run_that_went_down_left_nothing(lab: Lab, run_id: str, place: Path) -> None:
    assert eventually(lambda: not lab.left(run_id, place)), lab.left(run_id, place)


def two_stacks_share_nothing(stack: Stack, asker: Asker, other: Stack) -> None:
    """Neither an address, nor a secret, nor a stored byte of one is another's."""
    for role in stack.roles():
        assert stack.endpoint(role).port != other.endpoint(role).port, role
        ours, theirs = stack.credentials(role), other.credentials(role)
        shared = [name for name in ours if name != "bucket" and ours[name] == theirs.get(name)]
        assert not shared, f"{role} has the same {', '.join(shared)} in both"
        if isinstance(stack, Volume) and isinstance(other, Volume) and role in VOLUMES:
            assert stack.volume(role) != other.volume(role), f"one volume for both: {role}"
    assert eventually(asker.answers)
    stranger = Asker(other, "tenant-of-both", document=False)
    assert stranger.query().json["results"] == [], "the other run sees what this one stored"
