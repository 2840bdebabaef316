"""What of a dead run will not go holds up nobody; what goes slowly is waited for."""

from __future__ import annotations

import time
from typing import Any, cast

import docker
import docker.errors
import pytest

from harness.drivers.containers import removal


class Engine:
    """Answers as Docker's API does; a network named stuck never goes, one of `slow` at its nth."""

    def __init__(self, networks: dict[str, int | None]) -> None:
        self.api = self
        self.left = dict(networks)

    def containers(self, **_: Any) -> list[dict[str, str]]:
        return []

    def volumes(self, **_: Any) -> dict[str, None]:
        return {"Volumes": None}

    def networks(self, **_: Any) -> list[dict[str, str]]:
        return [{"Id": name} for name in self.left]

    def remove_network(self, name: str) -> None:
        tries = self.left[name]
        if tries is None or tries > 1:
            self.left[name] = None if tries is None else tries - 1
            raise docker.errors.APIError("network has active endpoints")
        del self.left[name]


def remove(engine: Engine, **limits: float) -> removal.Left:
    return removal.remove_run(cast(docker.DockerClient, engine), "run", **limits)


def test_what_never_goes_is_told_and_not_waited_for() -> None:
    began = time.monotonic()
    left = remove(Engine({"stuck": None, "fine": 1}), limit_s=60.0, stuck_s=0.2)
    assert left.networks == ["stuck"]
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("tries", [1, 5])
def test_what_goes_at_a_later_try_is_gone(tries: int) -> None:
    assert not remove(Engine({"slow": tries}), limit_s=60.0, stuck_s=30.0)


def test_the_limit_holds_for_what_never_goes() -> None:
    assert remove(Engine({"stuck": None}), limit_s=0.2).networks == ["stuck"]
