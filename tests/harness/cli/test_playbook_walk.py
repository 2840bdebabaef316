"""``ragdrill playbook`` as an engineer walks it: at a terminal, on a stack that others started."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shlex
import shutil
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import psycopg
import pytest

from fixtures.faults import make_fault
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.embedded.state import STATE_NAME
from harness.drivers.gateway_http import ReferenceGateway

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "harness.cli.main"]
TOKEN = "the-token-of-this-staging"
PATIENCE_S = 150.0

OPERATOR = """\
import os, sys, time
from pathlib import Path
from harness.drivers.embedded.stack import EmbeddedStack

# What an operator's own script would do; a gateway keeps its address here.
stack = EmbeddedStack.attach(Path(sys.argv[1]))
role = sys.argv[2]
names = ("GATEWAY_EMBED_PROVIDER", "GATEWAY_MAX_WRITES") if role == "gateway" else ()
stack.restart(role, {name: os.environ[name] for name in names if name in os.environ})
time.sleep(float(os.environ.get("OPERATOR_LINGERS_S", "0")))
"""


class Screen:
    """A terminal with the command in it: what it shows, and keys to press."""

    def __init__(self, env: dict[str, str], *arguments: str) -> None:
        self._keys, inside = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inside)

    def wait_for(self, words: str) -> None:
        """Read on until the screen shows these words."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} never came:\n{self.text}"
            assert self._read() or words in self.text, f"it ended without {words!r}:\n{self.text}"

    def press(self, keys: str) -> None:
        os.write(self._keys, keys.encode())

    def end(self) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read():
            assert time.monotonic() < deadline, self.text
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self._keys)

    def _read(self) -> bool:
        if not select.select([self._keys], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._keys, 65536)
        except OSError:  # the last one at the terminal has left
            return False
        self.text += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


@dataclass
class Staging:
    """A stack that another process booted, its target file, and what the file's secrets are."""

    stack: EmbeddedStack
    file: Path
    env: dict[str, str]
    token: str
    kept: set[Path] = field(default_factory=set)
    """Where walks kept what they saw."""

    @contextmanager
    def walked(self, *arguments: str, **env: str) -> Iterator[Screen]:
        given = ("playbook", *arguments, "--target", str(self.file))
        screen = Screen({**self.env, **env}, *given)
        try:
            yield screen
        finally:
            screen.close()
            self._keeps(screen.text)

    def says(self, *arguments: str, **env: str) -> tuple[int, str]:
        """Run the command with nobody at a terminal."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        self._keeps(done.stdout)
        return done.returncode, done.stdout + done.stderr

    def _keeps(self, text: str) -> None:
        self.kept.update(ROOT / each for each in re.findall(r"Kept in (runs/\S+)", text))

    @property
    def provider(self) -> str:
        """Whom the gateway embeds with."""
        url = self.stack.endpoint("gateway").url + "/healthz"
        return str(httpx.get(url, timeout=10, trust_env=False).json()["embed_provider"])

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Questions all the while."""
        over = threading.Event()

        def ask() -> None:
            url = self.stack.endpoint("edge").url
            with contextlib.closing(ReferenceGateway(url, self.token)) as gateway:
                while not over.wait(0.05):
                    gateway.query("When is the lamp lit?", "work", rerank=False)

        crew = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
        for each in crew:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in crew:
                each.join(30)


@pytest.fixture(scope="module")
def staging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staging]:
    place = tmp_path_factory.mktemp("staging")
    env = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    env |= {"TMPDIR": str(place), "PYTHONPATH": str(ROOT), "LC_ALL": "C", "TERM": "dumb"}
    up = [*COMMAND, "up", "--json", "--time-scale", "60"]
    booted = subprocess.run(up, env=env, capture_output=True, text=True, timeout=180, check=False)
    assert booted.returncode == 0, booted.stderr
    told = json.loads(booted.stdout)
    made: Staging | None = None
    try:
        made = described(place, env, told)
        yield made
    finally:
        for each in made.kept if made else ():
            shutil.rmtree(each, ignore_errors=True)
        down = [*COMMAND, "down", "--run", told["run_id"]]
        subprocess.run(down, env=env, capture_output=True, timeout=120, check=False)
        shutil.rmtree(Path(told["logs"]).parent)


def described(place: Path, env: dict[str, str], told: dict[str, Any]) -> Staging:
    """Write the target file as an operator does, and place the token in each store."""
    state = Path(told["state"]) / STATE_NAME
    stack = EmbeddedStack.attach(state)
    vectordb, metadata = stack.endpoint("vectordb").url, stack.credentials("metadata")["admin_dsn"]
    key = stack.credentials("vectordb")["api_key"]
    alias = {"collection_name": "rag-chunks-wordllama-256"}
    alias["alias_name"] = f"ragdrill-challenge-{TOKEN}"
    httpx.post(
        f"{vectordb}/collections/aliases",
        json={"actions": [{"create_alias": alias}]},
        headers={"api-key": key},
        timeout=10,
        trust_env=False,
    ).raise_for_status()
    with psycopg.connect(metadata, autocommit=True) as link:
        row = link.execute("SELECT current_database()").fetchone()
        assert row is not None
        link.execute(f"COMMENT ON DATABASE \"{row[0]}\" IS 'ragdrill-challenge={TOKEN}'")
    dsn = urlsplit(metadata)
    without_password = dsn._replace(netloc=f"{dsn.username}@{dsn.hostname}:{dsn.port}").geturl()
    operator = place / "staging_control.py"
    operator.write_text(OPERATOR)
    script = shlex.join([sys.executable, str(operator), str(state)])
    roles = ["gateway", "edge", "embed", "fallback", "auth", "metrics", "faultproxy"]
    lines = [
        '[target]\nname = "staging"\ndriver = "attach"',
        'allow = ["read", "write", "restart"]\nchallenge_env = "STAGING_TOKEN"',
        *(
            f"[roles.{role}]\nurl = {json.dumps(stack.endpoint(role).url)}"
            for role in roles
            if role in stack.roles()
        ),
        f'[roles.vectordb]\nurl = "{vectordb}"\napi_key_env = "QDRANT_API_KEY"',
        f"[roles.metadata]\nurl = {json.dumps(without_password)}\n"
        'api_key_env = "POSTGRES_PASSWORD"',
        f"[control.gateway]\nreplace = {json.dumps(f'{script} gateway')}",
        f"[control.vectordb]\nrestart = {json.dumps(f'{script} vectordb')}",
        f"[control.metadata]\nrestart = {json.dumps(f'{script} metadata')}",
    ]
    file = place / "staging.toml"
    file.write_text("\n".join(lines) + "\n")
    secret = {"STAGING_TOKEN": TOKEN, "QDRANT_API_KEY": key}
    secret["POSTGRES_PASSWORD"] = unquote(dsn.password or "")
    return Staging(stack, file, {**env, **secret}, told["token"])


@contextmanager
def slow_embedding(staging: Staging) -> Iterator[None]:
    """The trouble that the third step is for, under questions."""
    fault = make_fault("latency", link="gateway-embed", latency_ms=300)
    with staging.asked():
        fault.inject(staging.stack)
        try:
            yield
        finally:
            fault.heal(staging.stack)


STEP = ("latency", "--step", "embed-fallback")


def test_the_whole_playbook_is_walked_and_its_step_is_taken_and_taken_back(
    staging: Staging,
) -> None:
    assert staging.provider == "local"
    with slow_embedding(staging), staging.walked("latency") as screen:
        screen.wait_for("Do it now? [y/N]")
        assert "embed-fallback: If the gateway spends" in screen.text
        assert float(re.findall(r"embed_mean_s +([\d.]+)", screen.text)[-1]) > 0.1
        assert "1. ingest-down" in screen.text and "2. vectordb-restart" in screen.text
        assert screen.text.count("Its condition does not hold") == 1, screen.text
        # Nobody on this target measures the vector store's processor, so a person has to look.
        assert "This can't be checked here" in screen.text
        assert "By hand: `docker stats --no-stream qdrant`" in screen.text
        screen.press("y\n")
        screen.wait_for("Take back:")
        assert "The effect came." in screen.text, screen.text
        assert f"--step embed-fallback --back --target {staging.file}" in screen.text
        assert screen.end() == 2, screen.text
        assert staging.provider == "fallback"
    with staging.walked(*STEP, "--back") as screen:
        screen.wait_for("Take it back now? [y/N]")
        screen.press("y\n")
        assert screen.end() == 0, screen.text
    assert staging.provider == "local"


def test_a_condition_that_does_not_hold_is_passed_over_without_a_question(
    staging: Staging,
) -> None:
    with staging.asked(), staging.walked(*STEP) as screen:
        assert screen.end() == 0
    assert "Its condition does not hold" in screen.text and "[y/N]" not in screen.text
    assert staging.provider == "local"


def test_without_a_yes_and_with_dry_run_nothing_is_done(staging: Staging) -> None:
    with slow_embedding(staging):
        with staging.walked(*STEP) as screen:
            screen.wait_for("[y/N]")
            screen.press("\n")
            assert screen.end() == 1
            assert "Not done." in screen.text
        code, said = staging.says("playbook", *STEP, "--dry-run", "--target", str(staging.file))
        assert code == 1 and "this step is called for" in said and "Not done." in said
        code, said = staging.says("playbook", *STEP, "--target", str(staging.file))
        assert code == 4 and "Nobody is there to answer" in said
    assert staging.provider == "local"


def test_ctrl_c_at_the_question_does_nothing_and_says_so(staging: Staging) -> None:
    with slow_embedding(staging), staging.walked(*STEP) as screen:
        screen.wait_for("[y/N]")
        screen.press("\x03")
        assert screen.end() == 2
        assert "Interrupted: nothing was done." in screen.text, screen.text
        assert "Traceback" not in screen.text
    assert staging.provider == "local"


def test_ctrl_c_in_the_middle_of_an_action_says_how_to_take_it_back_and_that_works(
    staging: Staging,
) -> None:
    with slow_embedding(staging), staging.walked(*STEP, OPERATOR_LINGERS_S="600") as screen:
        screen.wait_for("[y/N]")
        screen.press("y\n")
        deadline = time.monotonic() + PATIENCE_S
        while provider_now(staging) != "fallback":
            assert time.monotonic() < deadline
            time.sleep(0.2)
        screen.press("\x03")
        assert screen.end() == 2
        assert "Interrupted: embed-fallback was begun" in screen.text, screen.text
        assert "Traceback" not in screen.text
    told = re.findall(r"\(ragdrill (playbook .* --back --target .*)\)", screen.text)
    code, said = staging.says(*shlex.split(told[-1]), "--yes")
    assert code == 0, said
    assert staging.provider == "local"


def provider_now(staging: Staging) -> str | None:
    """Whom the gateway embeds with, ``None`` while it is being restarted."""
    try:
        return staging.provider
    except httpx.HTTPError:
        return None


def test_a_store_that_hangs_is_restarted_although_it_cannot_answer_for_the_target(
    staging: Staging,
) -> None:
    step = ("errors", "--step", "metadata-restart", "--yes")
    staging.stack.pause("metadata")
    try:
        code, said = staging.says("playbook", *step, "--target", str(staging.file))
        assert code == 0, said
        assert "this step is called for" in said and "The effect came." in said
    finally:
        with contextlib.suppress(Exception):
            staging.stack.resume("metadata")


def test_a_target_that_is_not_the_one_meant_is_not_touched(staging: Staging) -> None:
    with slow_embedding(staging):
        given = ("playbook", *STEP, "--yes", "--target", str(staging.file))
        code, said = staging.says(*given, STAGING_TOKEN="the-token-of-another-place")
        assert code == 2 and "has not answered its challenge" in said
        assert "Kept in" not in said
        code, said = staging.says("playbook", *STEP, "--yes", "--target", "stagign")
        assert code == 4 and "no target 'stagign'" in said
    assert staging.provider == "local"
