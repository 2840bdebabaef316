"""What a run leaves, shares and may do, for every driver that boots."""

from __future__ import annotations

import signal
from pathlib import Path

import contract_checks as checks
import pytest
from contract_asker import Asker, eventually
from contract_labs import Lab, new_run_id

pytestmark = pytest.mark.slow


def test_two_runs_side_by_side_share_nothing_and_leave_nothing(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = new_run_id(), new_run_id()
    stack = lab.boot(ours, tmp_path)
    try:
        asker = Asker(stack, "tenant-of-both")
        other = lab.boot(theirs, tmp_path, frozenset({"read"}))
        try:
            checks.two_stacks_share_nothing(stack, asker, other)
            checks.what_is_not_allowed_is_refused(other)
            checks.what_is_not_allowed_is_refused(lab.attach(other))
            lab.sweep(tmp_path)
        finally:
            other.down()
        checks.a_run_that_went_down_left_nothing(lab, theirs, tmp_path)
        for role in stack.roles():
            stack.ready(role, timeout_s=30)
        assert eventually(asker.answers), "the end of another run took something of ours"
    finally:
        stack.down()
    stack.down()
    checks.a_run_that_went_down_left_nothing(lab, ours, tmp_path)


def test_a_killed_run_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    run_id = new_run_id()
    process = lab.owner(run_id, tmp_path)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    assert lab.left(run_id, tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    checks.a_run_that_went_down_left_nothing(lab, run_id, tmp_path)
