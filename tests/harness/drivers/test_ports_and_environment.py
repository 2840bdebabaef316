"""Ports stay a run's own, and a process gets an environment that is the same everywhere."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from harness.core.errors import TargetError
from harness.drivers.embedded import ports
from harness.drivers.embedded.environment import service_environment
from harness.drivers.embedded.keeper import LOCK_NAME
from harness.drivers.embedded.places import CHECKOUT, cache_dir, toxiproxy_bin


def run_directory(root: Path, name: str) -> Path:
    made = root / name
    made.mkdir(parents=True)
    (made / LOCK_NAME).write_text("")
    return made


def test_every_name_gets_a_free_port_of_its_own(tmp_path: Path) -> None:
    chosen = ports.reserve([f"name-{n}" for n in range(40)], run_directory(tmp_path, "one"))
    assert len(set(chosen.values())) == 40
    assert all(ports.is_free(port) for port in chosen.values())


def test_ports_lie_below_those_of_outgoing_connections(tmp_path: Path) -> None:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    (port,) = ports.reserve(["a"], run_directory(tmp_path, "one")).values()
    low, high = ports.port_range()
    assert low <= port < high
    assert high <= int(text.split()[0]) or int(text.split()[0]) < 13000


def test_two_runs_never_share_a_port_even_while_a_role_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "port_range", lambda: (20000, 20060))
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    names = [f"name-{n}" for n in range(30)]
    one = ports.reserve(names, run_directory(tmp_path, "one"))
    two = ports.reserve(names, run_directory(tmp_path, "two"))
    assert not set(one.values()) & set(two.values())
    with pytest.raises(TargetError, match=r"(?s)not enough free ports.*ragdrill status"):
        ports.reserve(names, run_directory(tmp_path, "three"))


def test_a_taken_port_is_not_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((ports.HOST, 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "port_range", lambda: (port, port + 1))
        assert not ports.is_free(port)
        with pytest.raises(TargetError):
            ports.reserve(["a"], run_directory(tmp_path, "one"))


def test_what_is_to_be_avoided_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "port_range", lambda: (20000, 20002))
    monkeypatch.setattr(ports, "is_free", lambda _: True)
    chosen = ports.reserve(["a"], run_directory(tmp_path, "one"), frozenset({20000}))
    assert chosen == {"a": 20001}


def test_the_environment_is_built_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "http_proxy", "PGHOST", "AWS_PROFILE", "QDRANT__SERVICE__API_KEY"):
        monkeypatch.setenv(name, "leaks")
    env = service_environment(tmp_path, {"OWN": "1"})
    assert "leaks" not in env.values()
    assert (env["HOME"], env["TMPDIR"], env["OWN"]) == (str(tmp_path), str(tmp_path), "1")
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_defects_can_be_injected_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGDRILL_DEFECT", "some-bug")
    monkeypatch.setenv("PYTHONPATH", f"/first{os.pathsep}{os.pathsep}/second")
    monkeypatch.setenv("RAGDRILL_KEEPER_PID", "1")
    env = service_environment(tmp_path, {})
    assert env["RAGDRILL_DEFECT"] == "some-bug"
    assert env["PYTHONPATH"].split(os.pathsep) == ["/first", "/second", str(CHECKOUT)]
    assert "RAGDRILL_KEEPER_PID" not in env, "that of an outer run would misname the keeper"


def test_the_cache_goes_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGDRILL_CACHE", "/elsewhere")
    assert cache_dir() == Path("/elsewhere")
    monkeypatch.delenv("RAGDRILL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_dir() == Path("/caches/ragdrill")


def test_a_real_toxiproxy_that_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOXIPROXY_SERVER", "/no/such/server")
    with pytest.raises(TargetError, match="TOXIPROXY_SERVER names no program"):
        toxiproxy_bin()
