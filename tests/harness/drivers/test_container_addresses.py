"""In a run's network an address stays its part's own, on a real engine.

Engines give the address of what was killed to what starts next. A request that was on its way to
the gateway was then answered by the auth service, whose 404 looked like a lost document.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("testcontainers", reason="the extra `containers` is not installed")

sys.path.insert(0, str(Path(__file__).parent / "contract"))

import docker
from contract_labs import ContainersLab, new_run_id

from harness.drivers.containers import labels
from harness.drivers.containers.engine import connect
from harness.drivers.containers.launch import launch, make_network
from harness.drivers.containers.recipes import Recipe, address_in, image_of
from harness.drivers.containers.removal import remove_run

pytestmark = pytest.mark.slow

FIRST, SECOND = "gateway-blue", "auth"


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    """The engine; a skip where none answers or the images are not built."""
    why = ContainersLab().unavailable()
    if why:
        pytest.skip(why)
    client = connect()
    yield client
    client.close()


@pytest.fixture
def run_id(engine: docker.DockerClient) -> Iterator[str]:
    """A run's id; whatever is left of it is removed."""
    name = new_run_id()
    yield name
    remove_run(engine, name)


class Pair:
    """Two parts in a network of their own; either runs what needs no settings."""

    def __init__(self, engine: docker.DockerClient, run_id: str) -> None:
        self._engine, self._run_id, self._labels = engine, run_id, labels.of_run(run_id)
        self.subnet = make_network(run_id, self._labels)

    def launch(self, part: str, number: int) -> None:
        recipe = Recipe(part, image_of("faultproxy", "local"), {}, (), {}, (), "")
        fixed = replace(recipe, address=address_in(self.subnet, number))
        launch(self._name(part), self._run_id, fixed, self._labels)

    def _name(self, part: str) -> str:
        return f"{self._run_id}-{part}"

    def kill(self, part: str) -> None:
        container = self._engine.containers.get(self._name(part))
        container.kill()
        container.wait(timeout=60)

    def start(self, part: str) -> None:
        self._engine.containers.get(self._name(part)).start()

    def address(self, part: str) -> str:
        found = self._engine.containers.get(self._name(part)).attrs["NetworkSettings"]
        return str(found["Networks"][self._run_id]["IPAddress"])


@pytest.fixture
def pair(engine: docker.DockerClient, run_id: str) -> Pair:
    """Two parts that run."""
    return Pair(engine, run_id)


def test_what_starts_first_does_not_get_the_address_of_what_was_killed(pair: Pair) -> None:
    for number, part in enumerate((FIRST, SECOND)):
        pair.launch(part, number)
    before = {part: pair.address(part) for part in (FIRST, SECOND)}
    assert before == {FIRST: address_in(pair.subnet, 0), SECOND: address_in(pair.subnet, 1)}
    pair.kill(FIRST)
    pair.kill(SECOND)
    pair.start(SECOND)
    assert pair.address(SECOND) == before[SECOND]
    pair.start(FIRST)
    assert pair.address(FIRST) == before[FIRST]


def test_two_runs_networks_have_ranges_of_their_own(
    engine: docker.DockerClient, pair: Pair
) -> None:
    other = new_run_id()
    try:
        assert make_network(other, labels.of_run(other)) != pair.subnet
    finally:
        remove_run(engine, other)
