"""What is demanded of every link fault: each check fails with its own words when it is not met."""

from __future__ import annotations

import socket
from dataclasses import replace

import httpx

from chaos.faults.base import Fault
from chaos.faults.link_fault import LinkFault
from chaos.faults.probe import look_through
from chaos.faults.toxics import ToxicControl, link_of
from harness.drivers.base import Link, Stack
from harness.drivers.embedded.stack import EmbeddedStack


def clean(stack: Stack) -> None:
    """Take everything off the links, past the fault under test."""
    assert isinstance(stack, EmbeddedStack)
    httpx.post(f"{stack.faultproxy()}/reset", timeout=5).raise_for_status()


def it_lands(fault: Fault, stack: Stack) -> None:
    """Once injected it is proven."""
    before = fault.before(stack)
    try:
        fault.inject(stack)
        proof = fault.prove(stack, before)
        assert proof.ok, f"never landed: {proof.seen}"
    finally:
        fault.heal(stack)
        clean(stack)


def it_heals(fault: Fault, stack: Stack) -> None:
    """Once healed the link is as before, and so is the fault proxy."""
    before = fault.before(stack)
    found = ToxicControl(stack).state()
    try:
        fault.inject(stack)
        assert fault.prove(stack, before).ok, "never landed"
        fault.heal(stack)
        proof = fault.prove_healed(stack, before)
        assert proof.ok, f"not healed: {proof.seen}"
        assert ToxicControl(stack).state() == found, "not healed: residue at the fault proxy"
    finally:
        clean(stack)


def it_is_not_proven_without_being_injected(fault: Fault, stack: Stack) -> None:
    """All is well, and the proof says so."""
    assert not fault.prove(stack, fault.before(stack)).ok, "proven without being injected"


def the_control_api_is_no_proof(fault: Fault, stack: Stack) -> None:
    """A toxic that is listed and spares every connection proves nothing."""
    assert isinstance(fault, LinkFault)
    assert isinstance(stack, EmbeddedStack)
    before = fault.before(stack)
    body = {
        "name": f"ragdrill-{fault.slug}",
        "type": fault.toxic,
        "attributes": fault.attributes,
        "toxicity": 0.0,
    }
    try:
        url = f"{stack.faultproxy()}/proxies/{fault.link}/toxics"
        httpx.post(url, json=body, timeout=5).raise_for_status()
        assert not fault.prove(stack, before).ok, "proven by the control API's list"
    finally:
        clean(stack)


def a_link_that_is_still_broken_is_not_healed(fault: Fault, stack: Stack) -> None:
    """The same effect by a toxic of another name: the fault's own is gone, the effect is not."""
    assert isinstance(fault, LinkFault)
    before = fault.before(stack)
    control = ToxicControl(stack)
    try:
        control.add(fault.link, "somebody-else", fault.toxic, fault.stream, fault.attributes)
        fault.heal(stack)
        assert not fault.prove_healed(stack, before).ok, "healed by the control API's list"
    finally:
        clean(stack)


def a_broken_target_is_no_proof(fault: Fault, stack: Stack) -> None:
    """If the target itself refuses connections, the link's silence says nothing."""
    assert isinstance(stack, EmbeddedStack)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        gone = f"127.0.0.1:{bound.getsockname()[1]}"
        before = fault.before(stack)
        try:
            fault.inject(stack)
            assert not fault.prove(WithUpstream(stack, gone), before).ok, "proven on a dead target"
        finally:
            fault.heal(stack)
            clean(stack)


def other_links_are_spared(fault: Fault, stack: Stack) -> None:
    """While it is on, no other proxy has a toxic or is off, and another link answers."""
    try:
        fault.inject(stack)
        others = {k: v for k, v in ToxicControl(stack).state().items() if k != fault.on}
        hit = [name for name, it in others.items() if it["toxics"] or not it["enabled"]]
        assert not hit, f"hit another link: {hit}"
        assert look_through(link_of(stack, "gateway-rerank")).outcome == "answered"
    finally:
        fault.heal(stack)
        clean(stack)


class WithUpstream:
    """A target whose links all lead to one address, as a proof that looks past them would see."""

    def __init__(self, stack: EmbeddedStack, upstream: str) -> None:
        self._stack = stack
        self._upstream = upstream
        self.run_id = stack.run_id
        self.name = stack.name

    def faultproxy(self) -> str:
        return self._stack.faultproxy()

    def links(self) -> tuple[Link, ...]:
        return tuple(replace(link, upstream=self._upstream) for link in self._stack.links())

    def credentials(self, role: str) -> dict[str, str]:
        return dict(self._stack.credentials(role))
