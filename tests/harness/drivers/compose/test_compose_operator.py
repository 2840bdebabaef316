"""What a run does beside an operator's own running project: nothing to it, and nothing stays."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import compose_lab as lab
import pytest

from harness.core.errors import TargetError
from harness.drivers.base import ProcessIds
from harness.drivers.compose import bringup

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[4]
WAIT_S = 60.0
OWNER = """
import sys
from pathlib import Path
import compose_lab
stack = compose_lab.stack_of(Path(sys.argv[1]), Path(sys.argv[2]))
print(stack.run_id, flush=True)
stack.up()
print("up", flush=True)
sys.stdin.read()
"""


def compose(folder: Path, *arguments: str) -> None:
    """Compose as the operator types it."""
    files = ["-p", folder.name, "-f", str(folder / "compose.yaml")]
    command = ["docker", "compose", *files, *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


@pytest.fixture
def client() -> Any:
    return lab.engine_for("base", "faultproxy")


@pytest.fixture
def theirs(client: Any, tmp_path: Path) -> Iterator[Path]:
    """The operator's folder, with their own project of the same files up."""
    folder = lab.written(tmp_path / f"theirs-{secrets.token_hex(4)}")
    try:
        compose(folder, "up", "-d")
        yield folder
    finally:
        compose(folder, "down", "-v", "--timeout", "1")


def test_a_run_leaves_the_operators_files_and_running_project_as_they_are(
    client: Any, theirs: Path, tmp_path: Path
) -> None:
    files, before = lab.digests(theirs), lab.held(client, theirs.name)
    assert {f"container the-store-{theirs.name}", f"volume the-kept-{theirs.name}"} <= set(before)
    stack = lab.stack_of(theirs, tmp_path / "run")
    stack.up()
    try:
        mine = lab.held(client, stack.run_id)
        assert len(mine) == 5 and not mine.keys() & before.keys()
        stack.kill("embed")
        stack.start("embed")
        stack.wipe("embed")
    finally:
        stack.down()
    assert lab.held(client, theirs.name, stack.run_id) == before
    assert lab.digests(theirs) == files


def test_what_is_laid_over_holds_inside_the_containers(client: Any, tmp_path: Path) -> None:
    stack = lab.stack_of(lab.written(tmp_path / "theirs"), tmp_path / "run")
    stack.up()
    try:
        mine = client.containers.list(filters={"label": f"org.ragdrill.run={stack.run_id}"})
        services = [each.labels["com.docker.compose.service"] for each in mine]
        assert sorted(services) == ["api", "ragdrill-faultproxy", "store"]
        api = next(each for each in mine if each.labels["com.docker.compose.service"] == "api")
        env = dict(line.split("=", 1) for line in api.attrs["Config"]["Env"])
        host, port = env["STORE_HOST"], env["STORE_PORT"]
        assert host == "ragdrill-faultproxy" and env["STORE_URL"] == f"http://{host}:{port}/x"
        assert "gateway-embed" in {link.name for link in stack.links()}
        asked = [
            *("python", "-c"),
            f"import urllib.request as u; u.urlopen('http://{host}:{port}')",
        ]
        assert api.exec_run(asked).exit_code == 0
        stack.kill("embed")
        assert api.exec_run(asked).exit_code != 0, "the link leads to another container"
        # Nothing of the project is an edge, so the gateway is one in every respect.
        assert (
            "edge" in stack.roles() and stack.endpoint("edge").url == stack.endpoint("gateway").url
        )
        stack.restart("edge")
        stack.ready("edge")
        assert stack.logs("edge") == stack.logs("gateway") and not stack.credentials("edge")
        if isinstance(stack, ProcessIds):
            assert stack.pids("edge") and stack.pids("edge") == stack.pids("gateway")
        for each in mine:
            for published in each.attrs["NetworkSettings"]["Ports"].values():
                assert {one["HostIp"] for one in published or ()} <= {"127.0.0.1"}
    finally:
        stack.down()


@pytest.mark.parametrize("moment", ["the first container is there", "it is up"])
def test_a_killed_run_leaves_nothing_and_takes_nothing_of_theirs(
    client: Any, theirs: Path, tmp_path: Path, moment: str
) -> None:
    before = lab.held(client, theirs.name)
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(theirs), str(tmp_path / "run")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "RAGDRILL_IMAGES": "local"},
    )
    try:
        assert owner.stdout is not None
        run_id = owner.stdout.readline().strip()
        if moment == "it is up":
            assert owner.stdout.readline() == "up\n"
        else:
            mine = {"label": f"org.ragdrill.run={run_id}"}
            assert eventually(lambda: bool(client.containers.list(all=True, filters=mine)))
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait(30)
    marks = (theirs.name, run_id)
    assert eventually(lambda: lab.held(client, *marks) == before), lab.held(client, *marks)
    assert eventually(lambda: not (tmp_path / "run" / "ragdrill" / run_id).exists())


def test_a_service_that_cannot_be_asked_is_told_with_the_key_that_helps(
    client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringup, "READY_S", 3.0)
    folder = lab.written(tmp_path / "theirs", target=lab.TARGET.replace('health = "/"\n', ""))
    stack = lab.stack_of(folder, tmp_path / "run")
    with pytest.raises(TargetError, match=r"(?s)404 for /readyz.*health of \[roles\.gateway\]"):
        stack.up()
    assert lab.held(client, stack.run_id) == {}


def eventually(check: Any) -> bool:
    """Ask again and again until the answer is yes or ``WAIT_S`` are over."""
    deadline = time.monotonic() + WAIT_S
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
