"""The world of the gateway's integration tests: booted once, its content apart by tenant."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from gateway_world import Client, Gateway, World


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("gateway-world")
    with contextlib.closing(World(place)) as world:
        status, said = world.migrate()
        assert status == 0, said
        yield world


@pytest.fixture(scope="session")
def _gateway(world: World) -> Gateway:
    return world.start_gateway()


@pytest.fixture
def gateway(world: World, _gateway: Gateway) -> Iterator[Gateway]:
    """The gateway that tests share which leave it as it is; what they start besides is ended."""
    started = len(world.gateways)
    yield _gateway
    world.end_gateways(started)
    world.well_again()


@pytest.fixture
def user(world: World, gateway: Gateway) -> Callable[..., Client]:
    """Make a user: of a new tenant and with persona `work`, unless told otherwise."""

    def make(*personas: str, tenant: str | None = None, of: Gateway = gateway) -> Client:
        tenant = tenant or world.tenant()
        personas = personas or ("work",)
        return Client(of, tenant, personas, world.auth.token(tenant, *personas))

    return make
