"""What stops a boot is told in one message, with what to do, and leaves nothing running."""

from __future__ import annotations

import errno
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from embedded_lab import marked

from harness.core.errors import HarnessError, TargetError, UsageError
from harness.core.target import TargetFile
from harness.drivers import registry
from harness.drivers.embedded import boot as booting
from harness.drivers.embedded import bringup, places, postgres, procfs, readiness
from harness.drivers.embedded.bringup import BootOptions
from harness.drivers.embedded.keeper_client import KeeperClient
from harness.drivers.embedded.processes import Processes
from harness.drivers.embedded.readiness import wait_ready
from harness.drivers.embedded.services import new_secrets
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.embedded.state import Secrets


def refused(tmp_path: Path, options: BootOptions | None = None) -> TargetError:
    """Boot, expecting a refusal; checks that nothing of the run is left."""
    run_id = f"refused-{secrets.token_hex(4)}"
    with pytest.raises(TargetError) as caught:
        EmbeddedStack.boot(run_id, tmp_path / "ragdrill-0", tmp_path / "logs", options)
    assert marked(run_id) == []
    assert not (tmp_path / "ragdrill-0" / run_id).exists()
    assert caught.value.next_step
    return caught.value


def test_a_part_that_does_not_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    options = BootOptions(env={"embed": {"EMBED_MODELS": "no-such-model"}})
    error = refused(tmp_path, options)
    assert error.what == "embed is not ready."
    assert "EMBED_MODELS holds 'no-such-model'" in str(error.actual)
    assert "embed.log" in str(error.next_step)


def test_a_part_that_never_gets_ready_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booting, "READY_S", 1.5)
    ask = readiness.probe

    def probe(processes: Any, name: str) -> Callable[[], str | None]:
        return (lambda: "503: still thinking") if name == "pager" else ask(processes, name)

    monkeypatch.setattr(readiness, "probe", probe)
    error = refused(tmp_path)
    assert "not ready" in error.what and error.expected == "ready within 1.5 s"
    assert "its log ends with" in str(error.actual)


def test_too_little_room_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    error = refused(tmp_path)
    assert "too little disk space" in error.what and error.actual == "1 MiB"


def test_a_disk_that_fills_up_is_told_as_that() -> None:
    error = booting.explained(OSError(errno.ENOSPC, "No space left on device", "/x/y"))
    assert isinstance(error, TargetError)
    assert "filled up" in error.what and "/x/y" in str(error.actual) and error.next_step


@pytest.mark.parametrize("program", ["nginx_bin", "weed_bin", "postgres_bin"])
def test_a_program_that_is_not_installed_is_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    monkeypatch.setattr(places, "package_dir", lambda _: None)
    monkeypatch.setattr(places.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    arguments = ("postgres",) if program == "postgres_bin" else ()
    with pytest.raises(TargetError, match=r"(?s)is not installed.*pip install -e"):
        getattr(places, program)(*arguments)


def test_root_without_user_namespaces_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.os, "geteuid", lambda: 0)
    monkeypatch.setattr(procfs, "user_namespaces_work", lambda _: False)
    with pytest.raises(TargetError, match=r"(?s)does not run as root.*--user 1000"):
        postgres.check_can_run()


def test_a_user_without_a_name_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.os, "geteuid", lambda: 54321)
    with pytest.raises(TargetError, match=r"(?s)uid 54321 in /etc/passwd"):
        postgres.check_can_run()


def test_a_port_taken_meanwhile_makes_it_try_again_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thieves: list[socket.socket] = []
    tried: list[int] = []

    def boot(started: Processes, progress: object) -> None:
        tried.append(started.port("rerank"))
        if len(tried) == 1:
            thieves.append(socket.create_server(("127.0.0.1", tried[0])))
            started.start("rerank")
            wait_ready(started, "rerank", 20)

    monkeypatch.setattr(bringup, "boot", boot)
    run_id = f"thief-{secrets.token_hex(4)}"
    stack = EmbeddedStack.boot(run_id, tmp_path / "ragdrill-0", tmp_path / "logs")
    stack.down()
    thieves[0].close()
    assert len(tried) == 2 and tried[1] != tried[0]
    assert "free here" in (tmp_path / "logs" / "rerank.log").read_text()


def test_an_interrupt_while_steps_begin_waits_for_those_that_did() -> None:
    ended: list[str] = []
    failed = threading.Event()

    def work() -> None:
        failed.wait(5)
        time.sleep(0.1)
        ended.append("first")

    def interrupted() -> None:
        raise KeyboardInterrupt

    steps = [booting.Step("first", (), work), booting.Step("second", (), work)]
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        begin(thread) if not started else interrupted()
        started.append(thread)

    started: list[threading.Thread] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(KeyboardInterrupt):
            booting.run_steps(steps, failed)
    assert ended == ["first"]


def test_a_step_that_comes_too_late_does_not_bring_a_finished_run_back(tmp_path: Path) -> None:
    run_id = f"late-{secrets.token_hex(4)}"
    keeper = KeeperClient(run_id, tmp_path / run_id)
    keeper.launch(tmp_path / "logs")
    state = bringup._new_state(keeper, keeper.scratch, tmp_path, BootOptions(), frozenset())
    late = Processes(keeper, state, Secrets(new_secrets()))
    keeper.shutdown()
    for name in ("metadata", "objectstore", "edge", "metrics", "alerts", "embed"):
        with pytest.raises(FileNotFoundError):
            late.prepare(name)
    assert not keeper.scratch.exists()


def test_under_a_keeper_of_its_own_a_boot_ends_what_another_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = f"again-{secrets.token_hex(4)}"
    keeper = KeeperClient(run_id, tmp_path / "ragdrill-0" / run_id)
    keeper.scratch.parent.mkdir()
    keeper.launch(tmp_path / "logs")
    log = tmp_path / "logs" / "left.log"
    keeper.start("left", ["/bin/sleep", "300"], env={}, cwd=tmp_path, log=log)

    def boot(started: Processes, progress: object) -> None:
        raise TargetError("broken on purpose")

    monkeypatch.setattr(bringup, "boot", boot)
    try:
        with pytest.raises(TargetError, match="broken on purpose"):
            EmbeddedStack.boot(run_id, tmp_path / "ragdrill-0", tmp_path / "logs", keeper=keeper)
        assert keeper.alive() and not keeper.is_running("left")
    finally:
        keeper.shutdown()


@pytest.mark.parametrize("process", ["metadata", "gateway", "embde"])
def test_settings_of_a_process_that_takes_none_are_refused(process: str) -> None:
    with pytest.raises(UsageError, match=r"(?s)takes no settings.*gateway-blue"):
        BootOptions(env={process: {"X": "1"}})


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "ragdrill-0").write_text("a file where a directory should be")
    with pytest.raises(TargetError, match=r"(?s)cannot be made.*TMPDIR"):
        EmbeddedStack.boot("nowhere", tmp_path / "ragdrill-0", tmp_path / "logs")


def test_a_target_file_with_roles_is_refused() -> None:
    target = TargetFile.model_validate({"roles": {"vectordb": {"url": "http://127.0.0.1:6333"}}})
    with pytest.raises(UsageError, match=r"(?s)boots every role itself.*vectordb.*attach"):
        EmbeddedStack.for_run(None, target, print)  # type: ignore[arg-type]


def test_an_unknown_driver_is_answered_with_the_known_ones() -> None:
    assert registry.driver("embedded") is EmbeddedStack
    with pytest.raises(UsageError, match=r"(?s)'imbedded'.*embedded"):
        registry.driver("imbedded")


def test_the_first_failure_stops_the_steps_that_wait() -> None:
    ran: list[str] = []

    def fail() -> None:
        raise TargetError("broken on purpose")

    steps = [
        booting.Step("first", (), fail),
        booting.Step("second", ("first",), lambda: ran.append("second")),
    ]
    with pytest.raises(HarnessError, match="broken on purpose"):
        booting.run_steps(steps, threading.Event())
    assert ran == []
