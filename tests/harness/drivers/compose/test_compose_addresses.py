"""Each service of a run has an address of its own; what the operator fixed stays as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import compose_lab as lab
import pytest

from harness.core.errors import TargetError
from harness.drivers.compose.addresses import Addresses, fixed, plan, unsaid
from harness.drivers.compose.override import faultproxy_networks

CHOSEN = IPv4Network("172.20.0.0/16")
PROXY = "ragdrill-faultproxy"


def project(networks: dict[str, Any] | None = None, **services: Any) -> dict[str, Any]:
    """A project as Compose resolves it."""
    given = {"a": {"networks": {"default": None}}, "b": {"networks": {"default": None}}}
    return {"services": {**given, **services}, "networks": networks or {"default": {"ipam": {}}}}


def planned(config: dict[str, Any], *single: str, subnet: IPv4Network = CHOSEN) -> Addresses:
    chosen = dict.fromkeys(unsaid(config), subnet)
    return plan(config, chosen, single, {PROXY: faultproxy_networks(config, config["services"])})


# --- what is given ----------------------------------------------------------------------------


def test_every_service_has_an_address_that_the_engine_gives_to_nobody() -> None:
    found = planned(project())
    addresses = [its["default"] for its in found.of_service.values()]
    assert set(found.of_service) == {"a", "b", PROXY} and len(set(addresses)) == 3
    (told,) = found.ranges["default"].ipam()["config"]
    assert told["subnet"] == str(CHOSEN) and told["gateway"] == "172.20.0.1"
    for address in addresses:
        assert IPv4Address(address) in CHOSEN and address != told["gateway"]
        assert IPv4Address(address) not in IPv4Network(told["ip_range"])


def test_a_service_has_one_in_each_of_its_networks() -> None:
    both = {"networks": {"inner": None, "outer": {"aliases": ["x"]}}}
    config = project({"inner": {}, "outer": {}}, a=both, b={"networks": {"inner": None}})
    found = planned(config)
    assert set(found.of_service["a"]) == {"inner", "outer"} == set(found.of_service[PROXY])
    assert set(found.of_service["b"]) == {"inner"}


def test_copies_of_a_service_have_none_unless_a_run_makes_it_one() -> None:
    config = project(a={"deploy": {"replicas": 3}})
    assert set(planned(config).of_service) == {"b", PROXY}
    assert set(planned(config, "a").of_service) == {"a", "b", PROXY}


def test_what_is_in_no_network_of_the_project_has_none() -> None:
    assert "a" not in planned(project(a={"network_mode": "host"})).of_service


def test_a_range_that_is_too_small_is_told_and_left_to_the_engine() -> None:
    found = planned(project(), subnet=IPv4Network("10.0.0.0/29"))
    assert found == Addresses(short=("default",))


# --- what the operator fixed ------------------------------------------------------------------


def test_the_operators_range_is_kept_and_its_addresses_avoided() -> None:
    said = {
        "subnet": "10.5.0.0/24",
        "gateway": "10.5.0.254",
        "ip_range": "10.5.0.128/26",
        "aux_addresses": {"printer": "10.5.0.252"},
    }
    theirs = {"networks": {"fixed": {"ipv4_address": "10.5.0.253"}}}
    config = project(
        {"fixed": {"ipam": {"config": [said]}}}, a=theirs, b={"networks": {"fixed": {}}}
    )
    found = planned(config)
    assert (
        unsaid(config) == () and found.ranges == {} and fixed(config) == {"fixed": ["10.5.0.0/24"]}
    )
    assert found.of_service == {PROXY: {"fixed": "10.5.0.251"}, "b": {"fixed": "10.5.0.250"}}


@pytest.mark.parametrize(
    "entry",
    [
        {"driver": "macvlan"},
        {"ipam": {"driver": "dhcp"}},
        {"enable_ipv4": False},
        {"driver": "overlay", "ipam": {"config": [{"subnet": "10.5.0.0/24"}]}},
        {"ipam": {"config": [{"subnet": "fd00::/64"}]}},
    ],
)
def test_a_network_of_another_kind_is_left_alone(entry: dict[str, Any]) -> None:
    config = project({"default": entry})
    assert unsaid(config) == () and planned(config) == Addresses()


# --- on a real engine -------------------------------------------------------------------------

slow = [pytest.mark.slow, pytest.mark.timeout(300)]

FIXED = """
networks:
  default:
    ipam: { config: [{ subnet: 10.213.77.0/24 }] }
"""


@pytest.fixture
def client() -> Any:
    return lab.engine_for("base", "faultproxy")


@contextlib.contextmanager
def up(folder: Path, place: Path, project: str = lab.PROJECT) -> Iterator[Any]:
    """A stack of the operator's little project, for the length of the block."""
    stack = lab.stack_of(lab.written(folder, project), place)
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture
def stack(client: Any, tmp_path: Path) -> Iterator[Any]:
    with up(tmp_path / "theirs", tmp_path / "run") as stack:
        yield stack


def addresses_of(stack: Any) -> dict[str, str]:
    """By part, the address that its container has now; empty while it is down."""
    found = {}
    for part in (*stack.state.services, "faultproxy"):
        networks = stack.fleet.container(part).attrs["NetworkSettings"]["Networks"]
        (found[part],) = (each["IPAddress"] for each in networks.values())
    return found


class TestOnAnEngine:
    pytestmark = slow

    def test_what_starts_first_does_not_get_the_address_of_what_was_killed(
        self, stack: Any
    ) -> None:
        before = addresses_of(stack)
        # An engine's own choice would be the lowest that is free.
        low, high = sorted(("gateway", "embed"), key=lambda role: _number(before, role))
        stack.kill(low)
        stack.kill(high)
        stack.start(high)
        assert _number(addresses_of(stack), high) == _number(before, high)
        stack.start(low)
        assert addresses_of(stack) == before

    def test_two_runs_of_one_project_have_ranges_of_their_own(
        self, stack: Any, tmp_path: Path
    ) -> None:
        with up(tmp_path / "theirs", tmp_path / "other") as other:
            ours, theirs = addresses_of(stack), addresses_of(other)
            assert not set(ours.values()) & set(theirs.values())

    def test_the_operators_own_range_and_address_hold(self, client: Any, tmp_path: Path) -> None:
        mine = "container_name: the-store\n    networks: {default: {ipv4_address: 10.213.77.9}}"
        text = lab.PROJECT.replace("container_name: the-store", mine) + FIXED
        with up(tmp_path / "theirs", tmp_path / "run", text) as stack:
            found = addresses_of(stack)
            assert found["embed"] == "10.213.77.9" and len(set(found.values())) == 3
            assert all(each.startswith("10.213.77.") for each in found.values())
            beside = up(tmp_path / "theirs", tmp_path / "other", text)
            with pytest.raises(TargetError, match=r"(?s)is in use.*10\.213\.77\.0/24"), beside:
                pytest.fail("two runs have the same range")
            assert addresses_of(stack) == found


def _number(addresses: dict[str, str], role: str) -> IPv4Address:
    return IPv4Address(addresses["gateway-blue" if role == "gateway" else role])
