"""One booted stack, taken through everything the driver contract promises."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_lab import eventually, marked

from harness.core.errors import TargetError, UsageError
from harness.drivers.base import Kill, Links, Pause, Replace, Restart, Stack, Volume
from harness.drivers.embedded import http, procfs
from harness.drivers.embedded.bringup import ROLES, BootOptions
from harness.drivers.embedded.links import EDGES
from harness.drivers.embedded.places import system_bin
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.embedded.state import SECRETS_NAME, STATE_NAME
from harness.drivers.gateway_http import Answer, AuthClient, ReferenceGateway
from harness.drivers.running import processes, stopped

pytestmark = pytest.mark.slow

OPTIONAL = {"metrics": "prometheus", "alerts": "alertmanager"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # With a space, and longer than a socket path may be.
    return tmp_path_factory.mktemp("a place") / ("long" * 25)


@pytest.fixture(scope="module")
def stack(place: Path) -> Iterator[EmbeddedStack]:
    booted = EmbeddedStack.boot(
        f"contract-{secrets.token_hex(4)}",
        place,
        place / "logs of it",
        BootOptions(
            time_scale=60,
            env={"gateway-blue": {"GATEWAY_RERANK_BATCH": "16"}},
            name="staging",
            allow=frozenset({"read", "restart"}),
        ),
    )
    yield booted
    booted.down()
    assert marked(booted.run_id) == []
    assert not booted.scratch.exists()
    assert (place / "logs of it" / "gateway-blue.log").stat().st_size > 0


class Asker:
    """Asks the gateway through the edge, over a fresh connection each time.

    A kept one would make nginx keep its old worker, and each rollout wait, for five seconds.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def query(self, text: str = "what does the fox do?") -> Answer:
        with contextlib.closing(ReferenceGateway(self.url, self.token)) as gateway:
            return gateway.query(text, "work")

    def answers(self) -> bool:
        answer = self.query()
        return answer.status == 200 and "lazy dog" in answer.text


@pytest.fixture(scope="module")
def asker(stack: EmbeddedStack) -> Asker:
    url = stack.endpoint("edge").url
    service_key = stack.credentials("auth")["service_key"]
    with contextlib.closing(AuthClient(stack.endpoint("auth").url, service_key)) as auth:
        auth.create_user("a@example.org", "correct-horse-7", "acme", ["work"])
        token = auth.sign_in("a@example.org", "correct-horse-7")
    with contextlib.closing(ReferenceGateway(url, token)) as gateway:
        gateway.put_document("work", "The quick brown fox jumps over the lazy dog.").expect(201)
    return Asker(url, token)


def test_it_is_all_that_a_stack_can_be(stack: EmbeddedStack) -> None:
    for capability in (Stack, Restart, Kill, Pause, Replace, Volume, Links):
        assert isinstance(stack, capability), capability


def test_every_role_is_there_ready_and_has_a_version(stack: EmbeddedStack) -> None:
    absent = {role for role, program in OPTIONAL.items() if system_bin(program) is None}
    assert set(stack.roles()) == set(ROLES) - absent
    for role in stack.roles():
        stack.ready(role, timeout_s=5)
    assert {part.role for part in stack.components()} == set(stack.roles())
    for part in stack.components():
        assert part.version[0].isdigit(), part


def test_stand_ins_are_marked(stack: EmbeddedStack) -> None:
    marked_so = {part.role for part in stack.components() if part.stand_in}
    faultproxy = set() if stack.state.real_toxiproxy else {"faultproxy"}
    source = http.request("GET", f"{stack.endpoint('gpu').url}/healthz").json()
    gpu = {"gpu"} if source["stand_in"] else set()
    assert marked_so == {"vectordb", "fallback", "pager", "logs"} | faultproxy | gpu
    assert all(part.note for part in stack.components() if part.stand_in)


def test_a_query_is_answered_through_the_edge(asker: Asker) -> None:
    assert asker.answers()


def test_settings_given_at_boot_reach_the_process(stack: EmbeddedStack) -> None:
    pid = stack.keeper.services()["gateway-blue"]["pid"]
    assert procfs.environ(pid)["GATEWAY_RERANK_BATCH"] == "16"


def test_state_is_private_and_free_of_secrets(stack: EmbeddedStack) -> None:
    for name in (STATE_NAME, SECRETS_NAME):
        assert stat.S_IMODE((stack.scratch / name).stat().st_mode) == 0o600
    values = json.loads((stack.scratch / SECRETS_NAME).read_text())["values"].values()
    state = (stack.scratch / STATE_NAME).read_text()
    assert not [value for value in values if value in state]


def test_no_secret_stands_on_a_command_line(stack: EmbeddedStack) -> None:
    values = json.loads((stack.scratch / SECRETS_NAME).read_text())["values"].values()
    for pid in marked(stack.run_id):
        line = " ".join(procfs.command(pid))
        assert not [value for value in values if value in line], line.split()[:3]


def test_attaching_gives_the_same_stack(stack: EmbeddedStack) -> None:
    other = EmbeddedStack.attach(stack.scratch / STATE_NAME)
    assert other.run_id == stack.run_id
    assert (other.name, other.allow) == ("staging", frozenset({"read", "restart"}))
    for role in stack.roles():
        assert other.endpoint(role) == stack.endpoint(role)
        assert other.credentials(role) == stack.credentials(role)
    assert other.links() == stack.links()


def test_attaching_to_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"(?s)no booted stack.*ragdrill up"):
        EmbeddedStack.attach(tmp_path / STATE_NAME)


def test_an_unknown_role_is_answered_with_the_known_ones(stack: EmbeddedStack) -> None:
    with pytest.raises(TargetError, match=r"(?s)'gatway'.*gateway, embed"):
        stack.endpoint("gatway")


def test_each_link_has_a_proxy_to_the_right_process(stack: EmbeddedStack) -> None:
    absent = set(ROLES) - set(stack.roles())
    expected = {e.name for e in EDGES if not absent & {e.source, e.target}}
    assert {link.name for link in stack.links()} == expected
    proxies = http.request("GET", f"{stack.faultproxy()}/proxies").json()
    for link in stack.links():
        assert proxies[link.name]["upstream"] == link.upstream
        assert proxies[link.name]["listen"] == f"{link.host}:{link.port}"


def test_traffic_runs_through_the_links(stack: EmbeddedStack, asker: Asker) -> None:
    proxy = f"{stack.faultproxy()}/proxies/edge-{stack.state.colour}"
    assert http.request("POST", proxy, json_body={"enabled": False}).status == 200
    try:
        assert asker.query().status == 502
    finally:
        http.request("POST", proxy, json_body={"enabled": True})
    assert eventually(lambda: asker.answers())


def test_the_metadata_store_is_real_and_durable(stack: EmbeddedStack) -> None:
    given = stack.credentials("metadata")
    with psycopg.connect(given["admin_dsn"], connect_timeout=5) as database:
        shown = {
            name: str((database.execute(f"SHOW {name}").fetchone() or ("",))[0])
            for name in ("fsync", "synchronous_commit", "archive_mode", "data_checksums")
        }
    assert set(shown.values()) == {"on"}
    with psycopg.connect(given["operator_dsn"], connect_timeout=5) as database:
        database.execute("SELECT pg_switch_wal()")
    assert eventually(lambda: any(len(each.name) == 24 for each in stack.archive_dir.iterdir()))
    with psycopg.connect(given["gateway_dsn"], connect_timeout=5) as database:
        row = database.execute(
            "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == (False,)


def test_every_target_is_scraped_but_the_idle_colour(stack: EmbeddedStack) -> None:
    if "metrics" not in stack.roles():
        pytest.skip("; ".join(stack.missing))

    def health() -> dict[str, str]:
        url = f"{stack.endpoint('metrics').url}/api/v1/targets?state=active"
        targets = http.request("GET", url).json()["data"]["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in targets}

    services = ("gateway-blue", "embed", "rerank", "vectordb", "auth", "objectstore")
    jobs = (*services, "exporter", "gpu", "logs", "logship")
    expected = {**dict.fromkeys(jobs, "up"), "gateway-green": "down"}
    assert eventually(lambda: health() == expected, 15), health()


def test_alert_rules_are_loaded_with_shortened_windows(stack: EmbeddedStack) -> None:
    if "metrics" not in stack.roles():
        pytest.skip("; ".join(stack.missing))
    groups = http.request("GET", f"{stack.endpoint('metrics').url}/api/v1/rules").json()
    rules = {rule["name"]: rule for group in groups["data"]["groups"] for rule in group["rules"]}
    assert rules["RAG_P95_Latency_High"]["duration"] == 10
    assert "[5s]" in rules["RAG_P95_Latency_High"]["query"]


@pytest.mark.parametrize("role", ["vectordb", "metadata", "edge"])
def test_a_killed_role_is_gone_with_all_its_children(stack: EmbeddedStack, role: str) -> None:
    tree = stack.keeper.tree(role)
    assert len(tree) > 1, "it has children"
    stack.kill(role)
    assert not any(procfs.is_alive(pid) for pid in tree)
    with socket.socket() as probe:
        assert probe.connect_ex((stack.endpoint(role).host, stack.endpoint(role).port)) != 0
    assert stopped(stack) == [role]
    stack.start(role)
    stack.ready(role, timeout_s=20)


def test_what_was_written_survives_the_kills(asker: Asker) -> None:
    assert eventually(lambda: asker.answers(), 20)


def test_a_paused_role_holds_still_until_it_is_resumed(stack: EmbeddedStack, asker: Asker) -> None:
    stack.pause("vectordb")
    try:
        with pytest.raises(OSError, match="timed out"):
            http.request("GET", f"{stack.endpoint('vectordb').url}/", timeout_s=0.3)
    finally:
        stack.resume("vectordb")
    assert eventually(lambda: asker.answers(), 20)


def test_a_rollout_changes_colour_and_settings_and_rollback_takes_both_back(
    stack: EmbeddedStack, asker: Asker
) -> None:
    def serving() -> tuple[str, str]:
        colour = asker.query().expect(200).headers["x-gateway-colour"]
        pid = stack.keeper.services()[f"gateway-{colour}"]["pid"]
        return colour, procfs.environ(pid)["GATEWAY_RERANK_BATCH"]

    assert serving() == ("blue", "16")
    stack.replace("gateway", {"GATEWAY_RERANK_BATCH": "4"})
    assert serving() == ("green", "4")
    assert stack.endpoint("gateway").port == stack.state.ports["gateway-green"]
    assert not stack.keeper.is_running("gateway-blue")
    stack.rollback("gateway")
    assert serving() == ("blue", "16")


def test_a_green_that_fails_its_health_check_never_serves(
    stack: EmbeddedStack, asker: Asker
) -> None:
    colour = stack.state.colour
    with pytest.raises(TargetError, match=r"(?s)failed its health check.*GATEWAY_TIMEOUT_S"):
        stack.replace("gateway", {"GATEWAY_TIMEOUT_S": "never"})
    assert asker.query().headers["x-gateway-colour"] == colour
    running = [name for name in stack.keeper.services() if stack.keeper.is_running(name)]
    assert [name for name in running if name.startswith("gateway-")] == [f"gateway-{colour}"]


def test_another_role_cannot_be_rolled_over(stack: EmbeddedStack) -> None:
    with pytest.raises(TargetError, match=r"restart\(role, env\)"):
        stack.replace("embed", {})


def test_a_restart_with_settings_keeps_them(stack: EmbeddedStack) -> None:
    key = secrets.token_hex(20)
    with pytest.raises(UsageError, match="takes no settings"):
        stack.restart("metadata", {"fsync": "off"})
    stack.restart("rerank", {"RERANK_API_KEYS": key})
    stack.restart("rerank")
    pid = stack.keeper.services()["rerank"]["pid"]
    assert procfs.environ(pid)["RERANK_API_KEYS"] == key
    assert stack.credentials("rerank") == {"api_key": key}


def test_every_process_is_told_with_its_size(stack: EmbeddedStack) -> None:
    rows = {row.name: row for row in processes(stack)}
    assert all(row.proportional > 1_000_000 and row.uptime_s >= 0 for row in rows.values())
    assert rows["metadata"].problem is None


def test_logs_are_those_of_the_role(stack: EmbeddedStack) -> None:
    assert "database system is ready" in stack.logs("metadata")
    assert len(stack.logs("gateway", tail=3).splitlines()) == 3


def tables(stack: EmbeddedStack) -> int:
    query = "SELECT count(*) FROM pg_tables WHERE schemaname NOT LIKE ALL ('{pg_%,information%}')"
    with psycopg.connect(stack.credentials("metadata")["admin_dsn"], connect_timeout=5) as database:
        row = database.execute(query).fetchone()
    return int(row[0]) if row else -1


def test_a_wiped_store_has_lost_everything_and_starts_empty(
    stack: EmbeddedStack, asker: Asker
) -> None:
    assert tables(stack) > 0
    for role in ("vectordb", "metadata"):
        stack.wipe(role)
        assert not stack.keeper.is_running(role)
        assert not stack.volume(role).exists() or not any(stack.volume(role).iterdir())
        stack.start(role)
    assert tables(stack) == 0
    assert not asker.answers()
