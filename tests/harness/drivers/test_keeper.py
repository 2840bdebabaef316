"""The keeper starts, signals and ends processes, and outlives nobody but them."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from embedded_lab import eventually, marked, owner

from harness.drivers.embedded import procfs
from harness.drivers.embedded.keeper import socket_address
from harness.drivers.embedded.keeper_client import KeeperClient, KeeperError

ENV = {"PATH": "/usr/bin:/bin"}
# A parent with two children, one of them in a session of its own.
FAMILY = ["/bin/sh", "-c", "setsid sleep 300 & sleep 300 & echo begun; wait"]
OWNER = """
import os, sys, time
from pathlib import Path
from harness.drivers.embedded.keeper_client import KeeperClient
run_id, scratch, log = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
keeper = KeeperClient(run_id, scratch)
keeper.launch(log)
keeper.start("family", ["/bin/sh", "-c", "setsid sleep 300 & sleep 300 & wait"],
             env={"PATH": "/usr/bin:/bin"}, cwd=scratch, log=log / "family.log",
             leftovers=[str(log / "left.sock")])
(log / "left.sock").write_text("")
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(300)
print("up", flush=True)
time.sleep(300)
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperClient]:
    client = KeeperClient(f"keeper-{secrets.token_hex(4)}", tmp_path / "scratch")
    client.launch(tmp_path / "logs")
    yield client
    client.shutdown()


def start(keeper: KeeperClient, name: str, argv: list[str], **more: object) -> Path:
    log = keeper.scratch.parent / "logs" / f"{name}.log"
    keeper.start(name, argv, env=ENV, cwd=keeper.scratch, log=log, **more)  # type: ignore[arg-type]
    return log


def test_what_a_process_prints_is_in_its_log(keeper: KeeperClient) -> None:
    log = start(keeper, "talker", ["/bin/sh", "-c", "echo out; echo err >&2"])
    keeper.finish("talker", 5.0)
    assert log.read_text() == "out\nerr\n"


def test_a_process_carries_its_run_and_its_keeper(keeper: KeeperClient) -> None:
    log = start(keeper, "talker", ["/usr/bin/env"])
    keeper.finish("talker", 5.0)
    seen = dict(line.split("=", 1) for line in log.read_text().splitlines())
    assert seen["RAGDRILL_RUN_ID"] == keeper.run_id
    assert seen["RAGDRILL_KEEPER_PID"] == str(keeper.call("status")["pid"])
    assert "HOME" not in seen, "nothing of the keeper's own environment is handed on"


def test_a_program_that_is_not_there_is_named_with_the_reason(keeper: KeeperClient) -> None:
    with pytest.raises(KeeperError, match=r"/no/such/program.*No such file"):
        start(keeper, "ghost", ["/no/such/program"])
    assert "ghost" not in keeper.services()


def test_an_early_death_is_told_with_status_and_last_words(keeper: KeeperClient) -> None:
    start(keeper, "dying", ["/bin/sh", "-c", "echo cannot go on; exit 7"])
    with pytest.raises(KeeperError, match=r"(?s)7; its log ends with.*cannot go on"):
        keeper.finish("dying", 5.0)
    assert keeper.services()["dying"]["exit_code"] == 7


def test_a_job_that_does_not_finish_is_killed_and_told(keeper: KeeperClient) -> None:
    start(keeper, "slow", ["/bin/sleep", "300"])
    with pytest.raises(KeeperError, match="did not finish"):
        keeper.finish("slow", 0.2)
    assert keeper.tree("slow") == []


def test_a_running_name_cannot_be_started_twice(keeper: KeeperClient) -> None:
    start(keeper, "one", ["/bin/sleep", "300"])
    with pytest.raises(KeeperError, match="already running"):
        start(keeper, "one", ["/bin/sleep", "300"])


def test_a_stop_whose_client_is_gone_is_waited_for(keeper: KeeperClient) -> None:
    slow = "trap 'sleep 0.4; exit 0' TERM; echo ready; while :; do sleep 0.02; done"
    start(keeper, "reluctant", ["/bin/sh", "-c", slow])
    log = Path(keeper.services()["reluctant"]["log"])
    assert eventually(lambda: "ready" in log.read_text())
    with pytest.raises(KeeperError):
        keeper.call("stop", timeout_s=0.05, name="reluctant", grace=10.0)
    assert keeper.is_running("reluctant")
    keeper.settle("reluctant")
    assert not keeper.is_running("reluctant")


def test_what_nobody_told_to_end_is_not_waited_for(keeper: KeeperClient) -> None:
    start(keeper, "steady", ["/bin/sleep", "300"])
    keeper.settle("steady", timeout_s=0.5)
    assert keeper.is_running("steady")


def family(keeper: KeeperClient) -> list[int]:
    start(keeper, "family", FAMILY)
    assert eventually(lambda: len(keeper.tree("family")) == 3)
    return keeper.tree("family")


def test_a_tree_begins_with_the_process_itself(keeper: KeeperClient) -> None:
    pids = family(keeper)
    assert pids[0] == keeper.services()["family"]["pid"]
    assert pids[1:] == sorted(pids[1:])


def test_kill_takes_children_that_moved_to_another_session(keeper: KeeperClient) -> None:
    pids = family(keeper)
    keeper.kill("family")
    assert not any(procfs.is_alive(pid) for pid in pids)
    assert keeper.services()["family"]["exit_code"] == -signal.SIGKILL


def test_kill_takes_orphans_whose_parent_died_before(keeper: KeeperClient) -> None:
    pids = family(keeper)
    os.kill(keeper.services()["family"]["pid"], signal.SIGKILL)
    assert eventually(lambda: not keeper.is_running("family"))
    keeper.kill("family")
    assert not any(procfs.is_alive(pid) for pid in pids)


def test_stop_lets_a_process_end_in_its_own_way(keeper: KeeperClient) -> None:
    script = "trap 'echo bye; exit 3' TERM; while :; do sleep 0.05; done"
    log = start(keeper, "polite", ["/bin/sh", "-c", script])
    assert eventually(lambda: len(keeper.tree("polite")) >= 2)
    answer = keeper.stop("polite", 5.0)
    assert (answer["forced"], answer["exit_code"], log.read_text()) == (False, 3, "bye\n")


def test_stop_uses_force_after_the_grace(keeper: KeeperClient) -> None:
    start(keeper, "deaf", ["/bin/sh", "-c", "trap '' TERM; echo begun; sleep 300; sleep 300"])
    assert eventually(lambda: len(keeper.tree("deaf")) == 2)
    answer = keeper.stop("deaf", 0.2)
    assert answer["forced"] and answer["exit_code"] == -signal.SIGKILL
    assert keeper.tree("deaf") == []


def test_pause_freezes_the_whole_tree_and_resume_thaws_it(keeper: KeeperClient) -> None:
    pids = family(keeper)

    def states() -> set[str]:
        rows = [procfs.read_process(pid) for pid in pids]
        return {row.state for row in rows if row is not None}

    keeper.signal("family", signal.SIGSTOP)
    assert eventually(lambda: states() == {"T"})
    keeper.signal("family", signal.SIGCONT)
    assert eventually(lambda: states() == {"S"})


def test_a_paused_process_can_be_stopped(keeper: KeeperClient) -> None:
    family(keeper)
    keeper.signal("family", signal.SIGSTOP)
    assert keeper.stop("family", 5.0)["forced"] is False


def test_an_unknown_name_is_answered_with_the_known_ones(keeper: KeeperClient) -> None:
    start(keeper, "known", ["/bin/sleep", "300"])
    with pytest.raises(KeeperError, match=r"no process named 'unknown'.*known"):
        keeper.kill("unknown")


@pytest.mark.parametrize("line", [b"\n", b"not json\n", b'{"op": "open"}\n', b'{"op": "tree"}\n'])
def test_a_malformed_request_does_not_end_the_keeper(keeper: KeeperClient, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5.0)
        connection.connect(socket_address(keeper.run_id, os.getuid()))
        connection.sendall(line)
        assert b'"ok": false' in connection.recv(4096)
    assert keeper.alive()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_is_not_served(keeper: KeeperClient) -> None:
    address, child = socket_address(keeper.run_id, os.getuid()), os.fork()
    if child == 0:
        try:
            os.setresuid(12345, 12345, 12345)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5.0)
                connection.connect(address)
                connection.sendall(b'{"op": "status"}\n')
                os._exit(1 if connection.recv(4096) else 0)
        except OSError:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert keeper.alive()


@pytest.mark.skipif(not procfs.user_namespaces_work(), reason="no user namespaces here")
def test_a_process_can_be_made_to_see_itself_as_another_user(keeper: KeeperClient) -> None:
    log = start(keeper, "who", ["/usr/bin/id", "-u"], map_user=65534)
    keeper.finish("who", 5.0)
    assert log.read_text() == "65534\n"


def test_the_keeper_stays_small(keeper: KeeperClient) -> None:
    family(keeper)
    resident, _ = procfs.memory(keeper.call("status")["pid"])
    assert 0 < resident <= 15 * 1024 * 1024


def test_shutdown_ends_everything_and_removes_the_scratch_directory(keeper: KeeperClient) -> None:
    family(keeper)
    locked = keeper.scratch / "locked"
    locked.mkdir()
    (locked / "file").write_text("")
    locked.chmod(0o500)
    keeper.shutdown()
    assert marked(keeper.run_id) == []
    assert not keeper.scratch.exists()
    keeper.shutdown()


def test_a_second_keeper_for_a_run_is_refused(keeper: KeeperClient) -> None:
    second = KeeperClient(keeper.run_id, keeper.scratch)
    with pytest.raises(KeeperError, match="did not come up"):
        second.launch(keeper.scratch.parent / "logs")
    assert keeper.alive() and keeper.scratch.exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("forked", [False, True], ids=["alone", "with-a-forked-child"])
def test_nothing_survives_the_owner(tmp_path: Path, how: signal.Signals, forked: bool) -> None:
    run_id, scratch = f"owned-{secrets.token_hex(4)}", tmp_path / "scratch"
    arguments = [run_id, str(scratch), str(tmp_path), *(["fork"] if forked else [])]
    process = owner(OWNER, arguments, start_new_session=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        assert len(marked(run_id)) >= 3
        if how is signal.SIGINT and not forked:
            # As Ctrl-C does: to everything in the terminal's foreground group.
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        process.wait(10)
        own = {row.pid for row in procfs.table().values() if row.session == process.pid}
        assert eventually(lambda: set(marked(run_id)) <= own)
        assert not scratch.exists()
        assert not (tmp_path / "left.sock").exists()
    finally:
        for row in procfs.table().values():
            if row.session == process.pid:
                procfs.send(row.pid, signal.SIGKILL)
        process.wait(10)


def test_a_detached_keeper_outlives_its_owner_until_told_to_end(tmp_path: Path) -> None:
    run_id, scratch = f"detached-{secrets.token_hex(4)}", tmp_path / "scratch"
    code = OWNER.replace('print("up", flush=True)\ntime.sleep(300)', "keeper.detach()")
    process = owner(code, [run_id, str(scratch), str(tmp_path)])
    assert process.wait(10) == 0
    client = KeeperClient(run_id, scratch)
    assert client.is_running("family")
    client.shutdown()
    assert eventually(lambda: marked(run_id) == [])
