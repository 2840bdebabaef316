"""Drivers with a deliberate bug in them, each caught by the promise of the contract it breaks."""

from __future__ import annotations

import dataclasses
import secrets
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

import contract_asker
import contract_checks as checks
import contract_traffic as traffic
import pytest
from contract_asker import Asker
from contract_labs import LABS, Lab, lab_of, new_run_id

from conftest import available
from harness.drivers.base import Component, Endpoint
from harness.drivers.embedded import http
from harness.drivers.embedded.bringup import ALLOW
from harness.drivers.embedded.rollout import roll
from harness.drivers.embedded.state import Secrets
from harness.drivers.reference import ReferenceStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE_S = {"embedded": 3.0}
"""What is broken for good need not be waited for as long as what may be slow."""
ENGINES_PATIENCE_S = 15.0


@dataclasses.dataclass(frozen=True)
class Sound:
    """A stack of a driver with nothing wrong, and a user of it."""

    lab: Lab
    stack: ReferenceStack
    asker: Asker

    def with_defect(self, defect: type) -> ReferenceStack:
        """The sound stack as the defective driver controls it."""
        other = self.lab.attach(self.stack)
        assert isinstance(other, ReferenceStack)
        other.__class__ = type(defect.__name__, (defect, type(other)), {})
        return other


@pytest.fixture(scope="module", params=[name for name, lab in LABS.items() if lab.boots])
def sound(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sound]:
    """A sound stack of each driver that boots one; the defective drivers attach to it."""
    lab = available(request.param)
    stack = lab.boot(new_run_id(), tmp_path_factory.mktemp("defects"))
    try:
        yield Sound(lab, stack, Asker(stack, f"tenant-{secrets.token_hex(4)}"))
    finally:
        stack.down()


@pytest.fixture(autouse=True)
def _mended(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little patience for a defect, and the stack in order again after it."""
    stack, patience = sound.stack, PATIENCE_S.get(sound.lab.name, ENGINES_PATIENCE_S)
    with monkeypatch.context() as patched:
        patched.setattr(contract_asker, "WAIT_S", patience)
        yield
    for role in ("metadata", "vectordb", "rerank"):
        if not stack.parts.is_running(role):
            stack.start(role)
    if not sound.asker.answers():
        sound.lab.migrate(stack)
        sound.asker.leave()
        assert contract_asker.eventually(sound.asker.answers), "the stack is not in order again"


class ReadyBeforeReady(ReferenceStack):
    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        """A process that runs is taken for one that serves."""


class LogsCut(ReferenceStack):
    def logs(self, role: str, tail: int | None = None) -> str:
        return super().logs(role, 20 if tail is None else tail)


class KillThatStopsGently(ReferenceStack):
    def kill(self, role: str) -> None:
        self.stop(role)

    def exit_status(self, role: str) -> int | None:
        return -9


class StopThatDoesNothing(ReferenceStack):
    def stop(self, role: str) -> None:
        """It says that it did."""


class PauseThatPretends(ReferenceStack):
    def pause(self, role: str) -> None:
        """It says that it did."""


class RestartThatLosesData(ReferenceStack):
    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        # As where a container's data lies in the container.
        if role == "vectordb":
            self.wipe(role)
            self.start(role)
            lab_of(self).migrate(self)
        else:
            super().restart(role, env)


class RestartThatForgetsSettings(ReferenceStack):
    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        kept = Secrets.load(self.scratch)
        kept.overrides.pop(role, None)
        kept.save(self.scratch)
        super().restart(role, env)


class ReplaceThatDropsRequests(ReferenceStack):
    def replace(self, role: str, env: Mapping[str, str]) -> None:
        # The old colour ends first, and only then does the new one begin.
        self.stop(role)
        roll(self.parts, env)


class AddressHandedOn(ReferenceStack):
    def start(self, role: str) -> None:
        """What starts next gets the address of what was killed, as an engine likes to give it."""
        super().start(role)
        if role in ("auth", "gateway"):
            edge = f"{self.faultproxy()}/proxies/edge-{self.state.colour}"
            part = f"gateway-{self.state.colour}" if role == "gateway" else role
            upstream = {"upstream": lab_of(self).inside(self, part)}
            assert http.request("POST", edge, json_body=upstream).status == 200


class WipeThatKeepsTheData(ReferenceStack):
    def wipe(self, role: str) -> None:
        self.kill(role)


class StandInsUnmarked(ReferenceStack):
    def components(self) -> tuple[Component, ...]:
        return tuple(dataclasses.replace(each, stand_in=False) for each in super().components())


class AllowIgnored(ReferenceStack):
    @property
    def allow(self) -> frozenset[str]:
        return ALLOW

    @allow.setter
    def allow(self, given: frozenset[str]) -> None:
        """What the target file says is thrown away."""


class SharedVolume(ReferenceStack):
    """Another run whose ports and keys are its own, and whose data is not."""

    def endpoint(self, role: str) -> Endpoint:
        there = super().endpoint(role)
        return dataclasses.replace(there, port=there.port + 1)

    def credentials(self, role: str) -> Mapping[str, str]:
        return {name: f"other {value}" for name, value in super().credentials(role).items()}


@pytest.mark.parametrize(
    ("defect", "promise", "reason"),
    [
        (ReadyBeforeReady, checks.ready_means_ready, "is ready"),
        (LogsCut, checks.logs_are_whole_and_in_order, "lines are missing"),
        (KillThatStopsGently, checks.a_kill_is_a_kill, "time to say goodbye"),
        (StopThatDoesNothing, checks.a_stopped_role_is_down_until_it_is_started, "still takes"),
        (PauseThatPretends, checks.a_paused_role_holds_still, "DID NOT RAISE"),
        (RestartThatForgetsSettings, checks.a_restart_may_change_settings, "were forgotten"),
        (ReplaceThatDropsRequests, traffic.a_rollout_drops_no_request, "502|503"),
        (StandInsUnmarked, checks.stand_ins_are_marked, "stand_in=False"),
        (AddressHandedOn, traffic.what_comes_back_is_not_taken_for_another, "somebody else"),
        (WipeThatKeepsTheData, checks.a_wiped_store_has_lost_everything, "still there"),
        (RestartThatLosesData, checks.a_restart_keeps_what_was_written, "what was written is gone"),
    ],
    ids=lambda given: given.__name__ if isinstance(given, type) else "",
)
def test_a_defective_driver_breaks_its_promise(
    sound: Sound, defect: type, promise: object, reason: str
) -> None:
    stack = sound.with_defect(defect)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=reason):
        try:
            promise(stack, sound.asker)  # type: ignore[operator]
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            promise(stack)  # type: ignore[operator]


def test_a_bypassed_link_is_noticed(sound: Sound) -> None:
    direct = sound.lab.inside(sound.stack, "rerank")
    through = sound.lab.through(sound.stack, "gateway-rerank")
    sound.stack.restart("gateway", {"GATEWAY_RERANK_URL": f"http://{direct}"})
    try:
        with pytest.raises(AssertionError, match="gateway-rerank cut nothing fails"):
            traffic.links_carry_the_traffic(sound.stack, sound.asker)
    finally:
        sound.stack.restart("gateway", {"GATEWAY_RERANK_URL": f"http://{through}"})


def test_a_port_open_to_everybody_is_noticed(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        port = open_to_all.getsockname()[1]
        endpoint = Endpoint("pager", f"http://127.0.0.1:{port}", "127.0.0.1", port)
        ask = sound.stack.endpoint
        monkeypatch.setattr(
            sound.stack, "endpoint", lambda role: endpoint if role == "pager" else ask(role)
        )
        with pytest.raises(AssertionError, match="pager listens everywhere"):
            checks.endpoints_answer_on_this_host_alone(sound.stack)


def test_a_volume_of_two_runs_is_noticed(sound: Sound) -> None:
    with pytest.raises(AssertionError, match="one volume for both"):
        checks.two_stacks_share_nothing(sound.stack, sound.asker, sound.with_defect(SharedVolume))


def test_an_allowance_that_is_ignored_is_noticed(sound: Sound) -> None:
    with pytest.raises(AssertionError, match="more than read is allowed"):
        checks.what_is_not_allowed_is_refused(sound.with_defect(AllowIgnored))


def test_what_is_left_behind_is_noticed(sound: Sound, tmp_path: Path) -> None:
    left = tmp_path / "ragdrill" / "dead-run"
    left.mkdir(parents=True)
    with pytest.raises(AssertionError, match="directory"):
        checks.a_run_that_went_down_left_nothing(sound.lab, "dead-run", tmp_path)
