"""A stack that another process booted, asked through the documented adapter of an unlike API."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from harness.drivers.embedded.stack import EmbeddedStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "docs" / "examples" / "spaces"
COMMAND = [sys.executable, "-m", "harness.cli.main"]
TOKEN = "a-token-for-the-challenge"
LEAK = "isolation/query::asking_for_foreign_text_returns_only_own_documents"
SHOWN = (
    LEAK,
    "isolation/query::a_foreign_id_looks_like_one_that_does_not_exist",
    "isolation/query::a_token_is_limited_to_its_personas",
    "isolation/write::deleting_a_foreign_document_does_nothing",
    "durability/acknowledged::acknowledged_documents_survive_a_kill[vectordb]",
)
NATIVE = "isolation/query::a_request_cannot_widen_itself[body]"
_ACT = (
    "import sys; from pathlib import Path; "
    "from harness.drivers.embedded.stack import EmbeddedStack; "
    "getattr(EmbeddedStack.attach(Path(sys.argv[1])), sys.argv[2])('vectordb')"
)


@dataclass(frozen=True)
class Attached:
    """A target file for a running stack, and the environment that its secrets are in."""

    file: Path
    env: dict[str, str]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments, "--target", str(self.file)],
            capture_output=True,
            text=True,
            env=self.env,
            cwd=ROOT,
            timeout=500,
            check=False,
        )

    def verdicts(self, place: Path, *cases: str) -> dict[str, dict[str, Any]]:
        chosen = [word for case in cases for word in ("--case", case)]
        done = self.run("verify", "--run-dir", str(place), *chosen)
        assert (place / "run.jsonl").exists(), done.stdout + done.stderr
        lines = [json.loads(line) for line in (place / "run.jsonl").read_text().splitlines()]
        return {each["case"]: each for each in lines if each["kind"] == "case.verdict"}


@contextlib.contextmanager
def spaces(place: Path, defect: str = "") -> Iterator[Attached]:
    """Boot a stack in a process of its own, and the unlike gateway in front of it."""
    inject = [str(ROOT / "tests" / "defects" / "inject")] if defect else []
    env = {
        **os.environ,
        "TMPDIR": str(place),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *inject]),
        "COLUMNS": "200",
    }
    booting = {**env, "RAGDRILL_DEFECT": defect} if defect else env
    up = [*COMMAND, "up", "--json", "--no-sample"]
    done = subprocess.run(up, capture_output=True, text=True, env=booting, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    state = Path(told["state"]) / "stack.json"
    stack = EmbeddedStack.attach(state)
    front = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "server.py"), "--behind", told["url"]],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert front.stdout is not None
        url = front.stdout.readline().strip()
        admin = stack.credentials("metadata")["admin_dsn"]
        secrets = {
            "AUTH_SERVICE_KEY": stack.credentials("auth")["service_key"],
            "QDRANT_API_KEY": stack.credentials("vectordb")["api_key"],
            "POSTGRES_PASSWORD": psycopg.conninfo.conninfo_to_dict(admin).get("password", ""),
            "SPACES_CHALLENGE": TOKEN,
        }
        file = place / "target.toml"
        file.write_text(target_file(stack, state, url, admin))
        place_token(stack, admin)
        yield Attached(file, {**env, **{k: str(v) for k, v in secrets.items() if v}})
    finally:
        front.send_signal(signal.SIGKILL)
        front.wait(timeout=30)
        stack.down()
        shutil.rmtree(Path(told["logs"]).parent, ignore_errors=True)


def target_file(stack: EmbeddedStack, state: Path, url: str, admin: str) -> str:
    """Fill the documented target file in, with what a stack of this test has besides."""
    told = (EXAMPLE / "target.toml").read_text()
    given = {
        "http://127.0.0.1:9000": url,
        "http://127.0.0.1:9001": stack.endpoint("auth").url,
        "http://127.0.0.1:6333": stack.endpoint("vectordb").url,
        '"adapter.py"': f'"{EXAMPLE / "adapter.py"}"',
        '"read", "write"]': '"read", "write", "restart", "fault"]\n'
        'challenge_env = "SPACES_CHALLENGE"',
    }
    for old, new in given.items():
        assert old in told
        told = told.replace(old, new)
    server = psycopg.conninfo.conninfo_to_dict(admin)
    where = f"{server['user']}@{server['host']}:{server['port']}/{server['dbname']}"
    key = 'api_key_env = "POSTGRES_PASSWORD"\n' if server.get("password") else ""
    act = f"{shlex.quote(sys.executable)} -c {shlex.quote(_ACT)} {shlex.quote(str(state))}"
    return (
        f'{told}\n[roles.metadata]\nurl = "postgresql://{where}"\n{key}'
        f"[control.vectordb]\nkill = {json.dumps(act + ' kill')}\n"
        f"start = {json.dumps(act + ' start')}\n"
    )


def place_token(stack: EmbeddedStack, admin: str) -> None:
    """Do what an operator does whom ``ragdrill challenge`` told how."""
    url = stack.endpoint("vectordb").url
    headers = {"api-key": stack.credentials("vectordb")["api_key"]}
    with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
        name = client.get("/collections").json()["result"]["collections"][0]["name"]
        alias = {"collection_name": name, "alias_name": f"ragdrill-challenge-{TOKEN}"}
        actions = {"actions": [{"create_alias": alias}]}
        client.post("/collections/aliases", json=actions).raise_for_status()
    with psycopg.connect(admin, autocommit=True) as link:
        database = link.info.dbname
        link.execute(f"COMMENT ON DATABASE {database} IS 'ragdrill-challenge={TOKEN}'")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attached]:
    with spaces(tmp_path_factory.mktemp("sound")) as target:
        yield target


def test_doctor_says_what_the_adapter_lacks_and_what_can_be_shown(sound: Attached) -> None:
    done = sound.run("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "adapter       spaces" in done.stdout
    assert "lacks       filter" in done.stdout and "a search takes words only" in done.stdout
    assert "challenge     answered" in done.stdout
    shown, _, not_shown = done.stdout.partition("not shown, for want of:")
    assert "isolation/query" in shown and "durability/acknowledged" in shown
    assert "native-api" in next(line for line in not_shown.splitlines() if "logs/routing" in line)


def test_cases_are_shown_through_the_adapter_and_raw_requests_are_skipped(
    sound: Attached, tmp_path: Path
) -> None:
    seen = sound.verdicts(tmp_path / "run", *SHOWN, NATIVE)
    told = {case: (each["verdict"], each["message"]) for case, each in seen.items()}
    assert {case: told[case][0] for case in SHOWN} == dict.fromkeys(SHOWN, "pass"), told
    assert told[NATIVE][0] == "skip" and "native-api" in told[NATIVE][1]


def test_a_leak_behind_the_adapter_is_seen(tmp_path: Path) -> None:
    with spaces(tmp_path, defect="answers_cached_without_tenant") as leaking:
        seen = leaking.verdicts(tmp_path / "run", LEAK)
    assert seen[LEAK]["verdict"] == "fail", seen[LEAK]
    assert "foreign marker" in seen[LEAK]["message"]
