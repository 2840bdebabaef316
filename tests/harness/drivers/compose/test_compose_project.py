"""What a run lays over a Compose project, what it refuses beforehand, and its secrets."""

from __future__ import annotations

import copy
import json
import os
import re
import stat
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, cast

import pytest

from harness.core.errors import UsageError
from harness.core.target import TargetFile, load_target
from harness.drivers.compose import addresses, cli, mapping, override, secrets
from harness.drivers.compose.bringup import local_images, project_name
from harness.drivers.compose.links import Found, find
from harness.drivers.compose.stack import ComposeStack
from harness.drivers.compose.state import ComposeState, project_environment
from harness.drivers.compose.windows import Windows
from harness.drivers.embedded.keeper_client import KeeperClient

CONFIG: dict[str, Any] = {
    "services": {
        "api": {
            "image": "ours/api:1",
            "container_name": "api",
            "environment": {
                "QDRANT": "http://qdrant:6333",
                "QDRANT_HOST": "qdrant",
                "QDRANT_PORT": "6333",
                "PRICE": "$5",
            },
            "networks": {"inner": None},
            "ports": [{"target": 8080, "published": "8080"}],
            "restart": "always",
        },
        "qdrant": {"networks": {"inner": None, "outer": None}},
        "job": {"ports": [{"target": 9, "published": "9"}]},
    },
    "networks": {"inner": {}, "outer": {"name": "fixed"}},
    "volumes": {"data": {"name": "fixed_data"}},
}
TARGET = {
    "target": {"driver": "compose", "name": "ours"},
    "compose": {"files": ["compose.yaml"]},
    "roles": {
        "gateway": {"service": "api", "port": 8080},
        "vectordb": {"service": "qdrant", "port": 6333, "api_key_env": "QDRANT_API_KEY"},
    },
}


def target(**more: Any) -> TargetFile:
    return TargetFile.model_validate({**copy.deepcopy(TARGET), **more})


def state_in(scratch: Path) -> tuple[ComposeState, Found]:
    """The state of a run of the project, and its links."""
    chosen = target()
    found = find(mapping.services(chosen), CONFIG)
    names = [*mapping.services(chosen), "faultproxy"]
    ports = {name: 20000 + number for number, name in enumerate(names)}
    ports |= {f"link:{edge.name}": 21000 + n for n, edge in enumerate(found.edges)}
    state = ComposeState(
        run_id="run-1",
        scratch=str(scratch),
        log_dir=str(scratch),
        ports=ports,
        time_scale=1.0,
        roles=["gateway", "vectordb"],
        labels={"org.ragdrill.run": "run-1"},
        project="ragdrill-run-1",
        services=mapping.services(chosen),
        edges=[vars(edge) for edge in found.edges],
        source="local",
    )
    return state, found


def laid_over(tmp_path: Path, **settings: dict[str, str]) -> str:
    state, found = state_in(tmp_path)
    given = addresses.Addresses(
        {"inner": addresses.Range(IPv4Network("172.20.0.0/16"))},
        {"api": {"inner": "172.20.0.3"}, "ragdrill-faultproxy": {"inner": "172.20.0.2"}},
    )
    override.write(tmp_path, override.base(state, CONFIG, found, given, Windows()))
    return override.render(tmp_path, settings).read_text()


# --- what is laid over ------------------------------------------------------------------------


def test_addresses_lead_through_the_fault_proxy(tmp_path: Path) -> None:
    text = laid_over(tmp_path)
    assert re.search(r"QDRANT: http://ragdrill-faultproxy:210\d\d\b", text)
    assert re.search(r"QDRANT_HOST: ragdrill-faultproxy$", text, re.MULTILINE)
    assert re.search(r"QDRANT_PORT: '210\d\d'$", text, re.MULTILINE)
    assert "PRICE" not in text


def test_ports_are_the_runs_own_and_on_loopback_alone(tmp_path: Path) -> None:
    text = laid_over(tmp_path)
    assert "ports: !override\n    - 127.0.0.1:20000:8080" in text
    assert "127.0.0.1:20001:6333" in text
    job = text[text.index("  job:") : text.index("  ragdrill-faultproxy:")]
    assert "ports: !override []" in job


@pytest.mark.parametrize(
    ("given", "laid"),
    [({"deploy": {"replicas": 3}}, "replicas: 1"), ({"scale": 2}, "scale: 1")],
)
def test_a_role_is_one_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], laid: str
) -> None:
    monkeypatch.setitem(CONFIG["services"], "qdrant", {**CONFIG["services"]["qdrant"], **given})
    text = laid_over(tmp_path)
    assert text.count(laid) == 1 and laid in text[text.index("  qdrant:") :]


def test_fixed_names_give_way_and_everything_is_labelled(tmp_path: Path) -> None:
    text = laid_over(tmp_path)
    assert re.search(r"container_name: !reset '?null'?", text)
    for name in ("ragdrill-run-1_outer", "ragdrill-run-1_data"):
        assert f"name: {name}" in text
    assert text.count("org.ragdrill.run: run-1") == len(CONFIG["services"]) + 1 + 2 + 1


def test_what_is_killed_stays_down(tmp_path: Path) -> None:
    assert laid_over(tmp_path).count("restart: 'no'") == len(CONFIG["services"]) + 1


def test_the_fault_proxy_is_in_every_network_of_the_mapped_services(tmp_path: Path) -> None:
    text = laid_over(tmp_path)
    proxy = text[text.index("  ragdrill-faultproxy:") : text.index("\nnetworks:")]
    assert re.search(r"inner:\n +ipv4_address: 172.20.0.2\n +outer: null", proxy)


def test_addresses_are_laid_over_where_there_are_some(tmp_path: Path) -> None:
    text = laid_over(tmp_path)
    api = text[text.index("  api:") : text.index("  qdrant:")]
    assert re.search(r"networks:\n +inner:\n +ipv4_address: 172.20.0.3\n", api)
    assert "networks:" not in text[text.index("  qdrant:") : text.index("  ragdrill-faultproxy:")]
    assert text.count("subnet: 172.20.0.0/16") == 1


def test_changed_settings_are_taken_word_for_word(tmp_path: Path) -> None:
    text = laid_over(tmp_path, api={"LIMIT": "5$", "QDRANT": "http://elsewhere:1"})
    assert "LIMIT: 5$$" in text and "http://elsewhere:1" in text


def test_the_file_with_passwords_is_nobody_elses(tmp_path: Path) -> None:
    laid_over(tmp_path)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name


# --- addresses as this machine reaches them ------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "here"),
    [
        ("http://api:8080/metrics?x=1", "http://127.0.0.1:20000/metrics?x=1"),
        ("http://qdrant:6333/metrics", "http://127.0.0.1:20001/metrics"),
        ("http://ragdrill-faultproxy:21001/x", "http://127.0.0.1:21001/x"),
        ("http://api:9/metrics", "http://api:9/metrics"),
        ("http://elsewhere.example/metrics", "http://elsewhere.example/metrics"),
    ],
)
def test_an_address_inside_the_project_is_reached_at_its_published_port(
    tmp_path: Path, inside: str, here: str
) -> None:
    state_in(tmp_path)[0].save()
    keeper = KeeperClient("run-1", tmp_path)
    stack = ComposeStack(cast("Any", None), keeper, name="ours", allow=frozenset())
    assert stack.from_here(inside) == here


# --- what is refused --------------------------------------------------------------------------


def refused(match: str, changed: dict[str, Any] | None = None, **more: Any) -> None:
    config = copy.deepcopy(CONFIG)
    config["services"].update((changed or {}).get("services", {}))
    config["volumes"].update((changed or {}).get("volumes", {}))
    config["networks"].update((changed or {}).get("networks", {}))
    with pytest.raises(UsageError, match=match):
        mapping.check(target(**more), config)


def test_a_sound_project_is_taken() -> None:
    mapping.check(target(), CONFIG)


def test_a_service_that_is_not_there_is_named_with_the_nearest() -> None:
    roles = {**TARGET["roles"], "auth": {"service": "qdrantt", "port": 1}}  # type: ignore[dict-item]
    refused("did you mean qdrant", roles=roles)


def test_a_service_fills_one_role() -> None:
    roles = {**TARGET["roles"], "auth": {"service": "api", "port": 1}}  # type: ignore[dict-item]
    refused("two roles", roles=roles)


def test_a_service_without_a_network_of_its_own_is_refused() -> None:
    refused("network_mode: host", {"services": {"qdrant": {"network_mode": "host"}}})


def test_a_gateway_is_needed() -> None:
    refused("no gateway", roles={"vectordb": {"service": "qdrant", "port": 6333}})


@pytest.mark.parametrize("kind", ["volumes", "networks"])
def test_what_outlives_a_run_is_refused(kind: str) -> None:
    refused("outlives a run", {kind: {"theirs": {"external": True}}})


def test_a_volume_that_is_a_directory_of_the_machine_is_refused() -> None:
    options = {"type": "none", "o": "bind,rw", "device": "/srv/data"}
    refused("directory of this machine", {"volumes": {"x": {"driver_opts": options}}})


def test_a_writable_mount_of_the_machine_is_refused_and_a_readable_one_taken() -> None:
    mount = {"type": "bind", "source": "/srv/data", "target": "/data"}
    refused("may write to /srv/data", {"services": {"more": {"volumes": [mount]}}})
    config = copy.deepcopy(CONFIG)
    config["services"]["more"] = {"volumes": [{**mount, "read_only": True}]}
    mapping.check(target(), config)


# --- the target file --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[target]\ndriver = "compose"\n', "belong together"),
        ('[compose]\nfiles = ["x"]\n', "belong together"),
        (
            '[target]\ndriver = "compose"\n[compose]\nfiles = ["x"]\n[roles.gateway]\nport = 1\n',
            "needs its service",
        ),
        (
            '[target]\ndriver = "compose"\n[compose]\nfiles = ["x"]\n'
            '[roles.gateway]\nurl = "http://x"\nservice = "a"\nport = 1\n',
            "url is nothing",
        ),
        ('[roles.gateway]\nurl = "http://x"\nservice = "a"\n', "service is nothing"),
        ('[target]\ndriver = "compose"\n[compose]\nfile = ["x"]\n', "did you mean files"),
        ('[roles.gateway]\nurl = "http://x"\nhealth = "healthz"\n', "health: string should match"),
        ('[target]\ndriver = "containers"\n[roles.gateway]\nbucket = "x"\n', "needs its url"),
    ],
)
def test_a_wrong_target_file_says_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "target.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        load_target(path)


def test_paths_of_the_target_file_are_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "target.toml"
    path.write_text(
        '[target]\ndriver = "compose"\n'
        '[compose]\nfiles = ["a/compose.yaml"]\nenv_files = [".env"]\n'
    )
    section = load_target(path).compose
    assert section is not None
    assert section.files == (str(tmp_path / "a/compose.yaml"),)
    assert section.env_files == (str(tmp_path / ".env"),)


# --- secrets and names ------------------------------------------------------------------------


def test_a_secret_is_the_environments_or_random() -> None:
    given = secrets.make(target(), {"QDRANT_API_KEY": "from outside"})
    assert given["vectordb_api_key"] == "from outside"
    one, other = (secrets.make(target(), {})["vectordb_api_key"] for _ in range(2))
    assert one != other and len(one) == 40


def test_the_project_is_given_every_variable_that_the_target_file_names() -> None:
    chosen = target(
        compose={
            "files": ["x"],
            "generate": ["EXTRA"],
            "logins": {"rag_gateway": "GATEWAY_PASSWORD"},
        },
        roles={
            **TARGET["roles"],  # type: ignore[dict-item]
            "auth": {"service": "job", "port": 9, "jwt_keys_env": "KEYS"},
        },
    )
    made = secrets.make(chosen, {})
    environment = project_environment(made)
    assert set(environment) == {"QDRANT_API_KEY", "EXTRA", "GATEWAY_PASSWORD", "KEYS"}
    assert made["rag_gateway_password"] == environment["GATEWAY_PASSWORD"]
    (key,) = json.loads(environment["KEYS"])
    assert key["key_ops"] == ["sign"]


def test_local_images_are_given_but_where_the_operator_chose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGDRILL_IMAGE_GATEWAY", "mine:1")
    given = project_environment(local_images())
    assert given["RAGDRILL_IMAGE_VECTORDB"].startswith("ragdrill/vectordb:")
    assert "RAGDRILL_IMAGE_GATEWAY" not in given


def test_a_projects_name_is_one_that_compose_takes() -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", project_name("20261122T181234Z-ci-Ab12.c"))


# --- Compose itself ---------------------------------------------------------------------------


def fake_docker(tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command `docker` that says what an engine's would, for its answers alone."""
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_no_docker_command_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(cli.ComposeError, match="no docker command"):
        cli.require_compose()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo \"docker: 'compose' is not a docker command.\" >&2; exit 1", "no Docker Compose v2"),
        ("echo 1.29.2", "too old"),
        ("echo v2.24.3", "too old"),
        ("echo nonsense", "no Docker Compose v2"),
    ],
)
def test_no_fitting_compose_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    fake_docker(tmp_path, script, monkeypatch)
    with pytest.raises(cli.ComposeError, match=told):
        cli.require_compose()


@pytest.mark.parametrize("version", ["2.24.4", "v2.40.3", "2.26.1-4"])
def test_a_fitting_compose_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    fake_docker(tmp_path, f"echo {version}", monkeypatch)
    assert cli.require_compose() in version


def test_what_compose_refuses_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_docker(
        tmp_path, "echo 'required variable KEY is missing a value' >&2; exit 1", monkeypatch
    )
    section = target().compose
    assert section is not None
    with pytest.raises(UsageError, match="KEY is missing a value"):
        cli.resolved(section, "x", dict(os.environ))
