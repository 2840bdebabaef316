"""Steps of playbooks that no scenario runs yet, taken on a real stack: not called for while all is
well, called for when their trouble is there, and gone with it once they were taken."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.faults.identity import settings_of
from chaos.playbooks.backup_too_old import BACKUP_TOO_OLD
from chaos.playbooks.bad_canary import BAD_CANARY
from chaos.playbooks.base import Seen, Step
from chaos.playbooks.failed_restore import FAILED_RESTORE
from chaos.playbooks.failed_rollout import FAILED_ROLLOUT
from chaos.playbooks.failed_upgrade import FAILED_UPGRADE
from chaos.playbooks.gpu_lost import GPU_LOST
from chaos.playbooks.key_compromised import COMPROMISED, KEY_COMPROMISED, published
from fixtures.faults import make_fault
from harness.core.errors import TargetError
from harness.drivers.embedded.stack import EmbeddedStack
from harness.drivers.gateway_http import AuthClient, ReferenceGateway

pytestmark = pytest.mark.slow

ASKERS = 6


@pytest.fixture(scope="module")
def customer(fault_stack: EmbeddedStack) -> Iterator[ReferenceGateway]:
    """A tenant with a document."""
    auth = AuthClient(
        fault_stack.endpoint("auth").url, fault_stack.credentials("auth")["service_key"]
    )
    name, password = f"steps-{secrets.token_hex(4)}", secrets.token_urlsafe(18)
    auth.create_user(f"{name}@ragdrill.example", password, name, ("work",))
    token = auth.sign_in(f"{name}@ragdrill.example", password)
    gateway = ReferenceGateway(fault_stack.endpoint("edge").url, token)
    gateway.put_document("work", "The lamp is lit at dusk.").expect(201)
    yield gateway
    gateway.close()
    auth.close()


@contextmanager
def asked(customer: ReferenceGateway) -> Iterator[None]:
    """Questions all the time, several at once."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            customer.query("When is the lamp lit?", "work", rerank=False)

    crew = [threading.Thread(target=ask, daemon=True) for _ in range(ASKERS)]
    for each in crew:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in crew:
            each.join(20)


def eventually(look: Callable[[], Seen], wanted: bool, seconds: float = 20.0) -> Seen:
    """Look until it says what is wanted: metrics come a scrape later."""
    end = time.monotonic() + seconds
    while True:
        try:
            seen = look()
        except TargetError as error:
            seen = Seen(not wanted, {"problem": str(error)})
        if seen.ok is wanted or time.monotonic() > end:
            return seen
        time.sleep(0.3)


def called_for(step: Step, stack: EmbeddedStack, wanted: bool) -> None:
    seen = eventually(lambda: step.condition(stack), wanted)
    assert seen.ok is wanted, seen.detail


def test_a_canary_without_its_points_is_taken_back(
    fault_stack: EmbeddedStack, customer: ReferenceGateway
) -> None:
    step = BAD_CANARY.step("canary-off")
    called_for(step, fault_stack, False)
    settings = {"GATEWAY_EMBED_MODEL": "minilm-384", "GATEWAY_EMBED_STABLE_MODEL": "wordllama-256"}
    fault_stack.replace("gateway", {**settings, "CANARY": "1", "GATEWAY_CANARY_SHARE": "0.5"})
    called_for(step, fault_stack, True)
    step.action(fault_stack)
    assert step.effect(fault_stack).ok
    called_for(step, fault_stack, False)


def test_a_gateway_that_was_rolled_out_and_sheds_its_load_is_rolled_back(
    fault_stack: EmbeddedStack, customer: ReferenceGateway
) -> None:
    step = FAILED_ROLLOUT.step("roll-back")
    with asked(customer):
        called_for(step, fault_stack, False)
        fault_stack.replace("gateway", {"GATEWAY_MAX_INFLIGHT": "1"})
        called_for(step, fault_stack, True)
        step.action(fault_stack)
        seen = eventually(lambda: step.effect(fault_stack), True)
    assert seen.ok, seen.detail


def test_a_compromised_key_is_replaced_and_its_tokens_die(
    fault_stack: EmbeddedStack, customer: ReferenceGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = KEY_COMPROMISED.step("replace-signing-key")
    called_for(step, fault_stack, False)
    monkeypatch.setenv(COMPROMISED, "a-key-that-is-not-published")
    called_for(step, fault_stack, False)
    (kid,) = published(fault_stack)
    monkeypatch.setenv(COMPROMISED, kid)
    called_for(step, fault_stack, True)
    before = settings_of(fault_stack, "auth")["GOTRUE_JWT_KEYS"]
    try:
        step.action(fault_stack)
        assert step.effect(fault_stack).ok
        refused = eventually(
            lambda: Seen(customer.query("lamp", "work").status == 401), True, seconds=25
        )
        assert refused.ok, "the old tokens are refused"
    finally:
        fault_stack.restart("auth", {"GOTRUE_JWT_KEYS": before})
    assert eventually(lambda: Seen(customer.query("lamp", "work").status == 200), True).ok


def test_a_lost_gpu_sends_embedding_elsewhere(
    fault_stack: EmbeddedStack, customer: ReferenceGateway
) -> None:
    if not {"gpu", "metrics"} <= set(fault_stack.roles()):
        pytest.skip("Prometheus is not there: ragdrill doctor says how to get it")
    step, fault = GPU_LOST.step("embed-elsewhere"), make_fault("gpu-device-lost")
    with asked(customer):
        called_for(step, fault_stack, False)
        try:
            fault.inject(fault_stack)
            called_for(step, fault_stack, True)
            step.action(fault_stack)
            seen = eventually(lambda: step.effect(fault_stack), True)
        finally:
            fault.heal(fault_stack)
            step.undo(fault_stack)
    assert seen.ok, seen.detail


def test_a_missing_backup_is_taken_and_tried(
    fault_stack: EmbeddedStack, customer: ReferenceGateway
) -> None:
    if "metrics" not in fault_stack.roles():
        pytest.skip("Prometheus is not there: ragdrill doctor says how to get it")
    step = BACKUP_TOO_OLD.step("back-up-now")
    called_for(step, fault_stack, True)
    step.action(fault_stack)
    assert step.effect(fault_stack).ok
    called_for(step, fault_stack, False)


def test_while_all_is_well_nothing_calls_for_a_restore(
    fault_stack: EmbeddedStack, customer: ReferenceGateway
) -> None:
    if "metrics" not in fault_stack.roles():
        pytest.skip("Prometheus is not there: ragdrill doctor says how to get it")
    called_for(FAILED_RESTORE.step("restore-vectors"), fault_stack, False)
    called_for(FAILED_UPGRADE.step("restore-snapshot"), fault_stack, False)
