"""Rolls the gateway over: start the other colour, prove it, switch nginx, drain, stop."""

from __future__ import annotations

import time
from collections.abc import Mapping

from harness.core.errors import TargetError
from harness.drivers.embedded import http
from harness.drivers.embedded.parts import Parts
from harness.drivers.embedded.ports import HOST
from harness.drivers.embedded.readiness import NotReady, wait_ready

READY_S = 30.0
SWITCH_S = 10.0
# nginx's keepalive_min_timeout keeps an old worker for 5 s, worker_shutdown_timeout ends it at 20.
DRAIN_S = 25.0
# So many fresh connections in a row must be answered by the new colour.
PROOFS = 10
_OTHER = {"blue": "green", "green": "blue"}


def roll(processes: Parts, settings: Mapping[str, str], *, back: bool = False) -> str:
    """Put a gateway with ``settings`` into service beside the old one, then retire that.

    Returns the new colour. With ``back``, ``settings`` are all of its overrides, else they are
    added to those of the colour that serves.
    Raises TargetError, with the old colour still serving, when the new one does not become ready
    or does not answer through the edge.
    """
    state, secrets = processes.state, processes.secrets
    old, new = state.colour, _OTHER[state.colour]
    old_process, new_process = f"gateway-{old}", f"gateway-{new}"
    overrides = secrets.overrides.get(old_process, {})
    secrets.overrides[new_process] = dict(settings) if back else {**overrides, **settings}
    if processes.is_running(new_process):
        processes.stop(new_process)
    processes.start(new_process)
    try:
        wait_ready(processes, new_process, READY_S)
    except NotReady as error:
        _discard(processes, new_process)
        raise TargetError(
            f"The new gateway ({new}) failed its health check; {old} keeps serving.",
            expected="/readyz to answer 200",
            actual=error.actual,
            next_step=error.next_step,
        ) from error
    old_workers = processes.edge_workers()
    try:
        processes.switch_edge(new)
        _prove(processes, new)
    except TargetError:
        processes.switch_edge(old)
        _discard(processes, new_process)
        raise
    state.colour = new
    state.save()
    secrets.previous = overrides
    secrets.save(processes.scratch)
    _drain(processes, old_workers)
    if processes.is_running(old_process):
        processes.stop(old_process)
    return new


def _discard(processes: Parts, name: str) -> None:
    if processes.is_running(name):
        processes.stop(name)
    processes.secrets.overrides.pop(name, None)


def _prove(processes: Parts, colour: str) -> None:
    url = f"http://{HOST}:{processes.port('edge')}/healthz"
    deadline = time.monotonic() + SWITCH_S
    in_a_row, seen = 0, "no answer"
    while in_a_row < PROOFS:
        try:
            answer = http.request("GET", url, timeout_s=2.0)
            seen = f"{answer.status} from {answer.headers.get('x-gateway-colour', 'no colour')}"
        except OSError as error:
            seen = str(error)
        in_a_row = in_a_row + 1 if seen == f"200 from {colour}" else 0
        if time.monotonic() > deadline:
            raise TargetError(
                "The edge did not switch to the new gateway; it was set back.",
                expected=f"{PROOFS} fresh connections in a row answered by {colour}",
                actual=seen,
                next_step=f"read {processes.log('edge')}",
            )
        if in_a_row == 0:
            time.sleep(0.02)


def _drain(processes: Parts, workers: Mapping[int, int]) -> None:
    """Wait for nginx's old workers, which may still send requests to the old colour."""
    deadline = time.monotonic() + DRAIN_S
    while workers.items() & processes.edge_workers().items():
        if time.monotonic() > deadline:
            return
        time.sleep(0.02)
