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
from contract_labs import EmbeddedLab, new_run_id

from harness.drivers.base import Component, Endpoint
from harness.drivers.embedded import http
from harness.drivers.embedded.bringup import ALLOW
from harness.drivers.embedded.rollout import roll
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.operator import STATE_NAME

pytestmark = pytest.mark.slow

PATIENCE_S = 3.0
"""What is broken for good need not be waited for as long as what may be slow."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A stack with nothing wrong; the defective drivers attach to it."""
    stack = EmbeddedLab().boot(new_run_id(), tmp_path_factory.mktemp("defects"))
    yield stack
    stack.down()


@pytest.fixture(scope="module")
def asker(sound: EmbeddedStack) -> Asker:
    """A user of it."""
    return Asker(sound, f"tenant-{secrets.token_hex(4)}")


@pytest.fixture(autouse=True)
def _mended(sound: EmbeddedStack, asker: Asker, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Little patience for a defect, and the stack in order again after it."""
    with monkeypatch.context() as patched:
        patched.setattr(contract_asker, "WAIT_S", PATIENCE_S)
        yield
    for role in ("metadata", "vectordb", "rerank"):
        if not sound.parts.is_running(role):
            sound.start(role)
    if not asker.answers():
        sound.processes.migrate()
        asker.leave()
        assert contract_asker.eventually(asker.answers), "the stack is not in order again"


def with_defect(sound: EmbeddedStack, defect: type[EmbeddedStack]) -> EmbeddedStack:
    """The sound stack as the defective driver controls it."""
    return defect.attach(sound.scratch / STATE_NAME)


class ReadyBeforeReady(EmbeddedStack):
    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        """A process that runs is taken for one that serves."""


class LogsCut(EmbeddedStack):
    def logs(self, role: str, tail: int | None = None) -> str:
        return super().logs(role, 20 if tail is None else tail)


class KillThatStopsGently(EmbeddedStack):
    def kill(self, role: str) -> None:
        self.stop(role)

    def exit_status(self, role: str) -> int | None:
        return -9


class StopThatDoesNothing(EmbeddedStack):
    def stop(self, role: str) -> None:
        """It says that it did."""


class PauseThatPretends(EmbeddedStack):
    def pause(self, role: str) -> None:
        """It says that it did."""


class RestartThatLosesData(EmbeddedStack):
    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        # As where a container's data lies in the container.
        if role == "vectordb":
            self.wipe(role)
            self.start(role)
            self.processes.migrate()
        else:
            super().restart(role, env)


class RestartThatForgetsSettings(EmbeddedStack):
    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        processes = self.processes
        processes.secrets.overrides.pop(role, None)
        processes.secrets.save(self.scratch)
        super().restart(role, env)


class ReplaceThatDropsRequests(EmbeddedStack):
    def replace(self, role: str, env: Mapping[str, str]) -> None:
        # The old colour ends first, and only then does the new one begin.
        self.stop(role)
        roll(self.processes, env)


class AddressHandedOn(EmbeddedStack):
    def start(self, role: str) -> None:
        """What starts next gets the address of what was killed, as an engine likes to give it."""
        super().start(role)
        if role in ("auth", "gateway"):
            edge = f"{self.faultproxy()}/proxies/edge-{self.state.colour}"
            there = self.endpoint(role)
            upstream = {"upstream": f"{there.host}:{there.port}"}
            assert http.request("POST", edge, json_body=upstream).status == 200


class WipeThatKeepsTheData(EmbeddedStack):
    def wipe(self, role: str) -> None:
        self.kill(role)


class StandInsUnmarked(EmbeddedStack):
    def components(self) -> tuple[Component, ...]:
        return tuple(dataclasses.replace(each, stand_in=False) for each in super().components())


class AllowIgnored(EmbeddedStack):
    @property
    def allow(self) -> frozenset[str]:
        return ALLOW

    @allow.setter
    def allow(self, given: frozenset[str]) -> None:
        """What the target file says is thrown away."""


class SharedVolume(EmbeddedStack):
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
    sound: EmbeddedStack, asker: Asker, defect: type[EmbeddedStack], promise: object, reason: str
) -> None:
    stack = with_defect(sound, defect)
    with pytest.raises((AssertionError, pytest.fail.Exception), match=reason):
        try:
            promise(stack, asker)  # type: ignore[operator]
        except TypeError as error:
            if "positional argument" not in str(error):
                raise
            promise(stack)  # type: ignore[operator]


def test_a_bypassed_link_is_noticed(sound: EmbeddedStack, asker: Asker) -> None:
    direct = sound.processes.context.direct("rerank")
    through = sound.processes.context.link("gateway-rerank")
    sound.restart("gateway", {"GATEWAY_RERANK_URL": direct})
    try:
        with pytest.raises(AssertionError, match="gateway-rerank cut nothing fails"):
            traffic.links_carry_the_traffic(sound, asker)
    finally:
        sound.restart("gateway", {"GATEWAY_RERANK_URL": through})


def test_a_port_open_to_everybody_is_noticed(
    sound: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as open_to_all:
        port = open_to_all.getsockname()[1]
        endpoint = Endpoint("pager", f"http://127.0.0.1:{port}", "127.0.0.1", port)
        ask = sound.endpoint
        monkeypatch.setattr(
            sound, "endpoint", lambda role: endpoint if role == "pager" else ask(role)
        )
        with pytest.raises(AssertionError, match="pager listens everywhere"):
            checks.endpoints_answer_on_this_host_alone(sound)


def test_a_volume_of_two_runs_is_noticed(sound: EmbeddedStack, asker: Asker) -> None:
    with pytest.raises(AssertionError, match="one volume for both"):
        checks.two_stacks_share_nothing(sound, asker, with_defect(sound, SharedVolume))


def test_an_allowance_that_is_ignored_is_noticed(sound: EmbeddedStack) -> None:
    with pytest.raises(AssertionError, match="more than read is allowed"):
        checks.what_is_not_allowed_is_refused(with_defect(sound, AllowIgnored))


def test_what_is_left_behind_is_noticed(tmp_path: Path) -> None:
    left = tmp_path / "ragdrill" / "dead-run"
    left.mkdir(parents=True)
    with pytest.raises(AssertionError, match="directory"):
        checks.a_run_that_went_down_left_nothing(EmbeddedLab(), "dead-run", tmp_path)
