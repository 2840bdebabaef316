"""upgrade/*: the upgrade script makes the vector store another version, and takes that back."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import sys
from collections.abc import Mapping

import pytest

from fixtures.observed import State, compare
from fixtures.scripts import Ran
from fixtures.upgrades import Upgrade
from harness import conformance, needs
from harness.core.errors import TargetError
from harness.core.evidence import Evidence

ROLES = ["vectordb", "gateway", "edge", "metadata", "objectstore", "embed"]


def ended(evidence: Evidence, what: str, ran: Ran, code: int = 0) -> None:
    """Require that the script ended as it must."""
    evidence.require(
        what, ran.exit_code == code, expected=f"exit code {code}", actual=ran.told, log=ran.log[-3:]
    )


def steps(ran: Ran) -> list[str]:
    """Return the steps that the script says it has done, in order."""
    return [e["step"] for e in ran.log if e.get("event") == "step" and e.get("state") == "done"]


def runs(evidence: Evidence, upgrade: Upgrade, when: str, version: str) -> None:
    """Require that the engine's own telemetry names this version."""
    found = upgrade.runs()
    evidence.require(
        f"{when}: version {version} runs", found == version, expected=version, actual=found
    )


def same(
    evidence: Evidence,
    upgrade: Upgrade,
    when: str,
    before: Mapping[str, State],
    documents: list[str],
) -> None:
    """Require the same content, settings and exact answers, and that the gateway finds every one
    of the documents."""
    compare(evidence, when, before, upgrade.look("after"))
    asked = documents[:: max(1, len(documents) // 8)]
    found = upgrade.answered(asked)
    evidence.require(
        f"{when}: the gateway finds what was written before",
        found == asked,
        expected=asked,
        actual=found,
    )


def measure(evidence: Evidence, what: str, ran: Ran, before: Mapping[str, State]) -> None:
    """Record how long a script took, and for how many points."""
    points = sum(state.digest.count for state in before.values())
    evidence.measure(what, ran.seconds, "s", n=points)


@conformance("upgrade/minor-in-place", since="0.2")
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(400)
def test_a_minor_upgrade_in_place_keeps_content_and_answers(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """After the script has put the next minor version on the data of the last one, content,
    settings and answers MUST be the same; once more it MUST touch nothing."""
    documents = upgrade.begin_with_the_old_version()
    before = upgrade.look("before")
    ran = upgrade.script("--to", upgrade.versions.new)
    ended(evidence, "the upgrade ends well", ran)
    measure(evidence, "minor upgrade in place", ran, before)
    runs(evidence, upgrade, "after the upgrade", upgrade.versions.new)
    same(evidence, upgrade, "after the upgrade", before, documents)
    evidence.require(
        "a backup was taken before the old version was ended",
        "backup" in steps(ran) and steps(ran).index("backup") < steps(ran).index("stop"),
        expected="backup, then stop",
        actual=steps(ran),
    )
    process = upgrade.process()
    again = upgrade.script("--to", upgrade.versions.new)
    ended(evidence, "the same upgrade once more ends well", again)
    evidence.require(
        "and touches nothing",
        upgrade.process() == process,
        expected=f"process {process}",
        actual=upgrade.process(),
    )


@conformance("upgrade/major-by-snapshot", since="0.2")
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(400)
def test_an_upgrade_into_a_fresh_volume_keeps_content_and_answers(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """After the script has filled a fresh volume of the next version from a snapshot, content,
    settings and answers MUST be the same; a version that skips others MUST be refused before
    anything is touched."""
    documents = upgrade.begin_with_the_old_version()
    before = upgrade.look("before")
    process = upgrade.process()
    major, minor = (int(part) for part in upgrade.versions.old.split(".")[:2])
    skipped = [
        ("two minors on", (f"{major}.{minor + 2}",)),
        ("two minors on, into a fresh volume", (f"{major}.{minor + 2}.0", "--fresh")),
        ("past the first of the next major", (f"{major + 1}.1", "--fresh", "--from-last-minor")),
        ("two majors on", (f"{major + 2}.0", "--fresh", "--from-last-minor")),
        ("a new major in place", (f"{major + 1}.0", "--from-last-minor")),
        ("a minor back", (f"{major}.{minor - 1}",)),
    ]
    for what, (to, *more) in skipped:
        ran = upgrade.script("--to", to, *more, env=upgrade.into_fresh_volume)
        ended(evidence, f"{what} ({upgrade.versions.old} to {to}) is refused", ran, 1)
    evidence.require(
        "what was refused touched nothing",
        upgrade.process() == process and not upgrade.fresh_volume.exists(),
        expected=f"process {process}, no other volume",
        actual=upgrade.process(),
    )
    ran = upgrade.script("--to", upgrade.versions.new, "--fresh", env=upgrade.into_fresh_volume)
    ended(evidence, "the upgrade ends well", ran)
    measure(evidence, "upgrade into a fresh volume", ran, before)
    runs(evidence, upgrade, "after the upgrade", upgrade.versions.new)
    evidence.require(
        "it serves from the fresh volume",
        any(upgrade.fresh_volume.rglob("collection.json")),
        expected=f"collections in {upgrade.fresh_volume.name}",
        actual="none",
    )
    same(evidence, upgrade, "after the upgrade", before, documents)
    back = upgrade.script("--undo", env=upgrade.into_fresh_volume)
    ended(evidence, "taking it back ends well", back)
    runs(evidence, upgrade, "taken back", upgrade.versions.old)
    same(evidence, upgrade, "taken back", before, documents)


def killed_and_undone(
    upgrade: Upgrade,
    evidence: Evidence,
    moment: tuple[str, str],
    *arguments: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Kill an upgrade at a moment, undo it, and require that nothing is lost."""
    step, state = moment
    when = f"killed at {step} {state}, undone"
    documents = upgrade.write(3)
    before = upgrade.look("before")
    running = upgrade.begin("--to", upgrade.versions.new, *arguments, env=env)
    running.wait_for_event("step", 180.0, step=step, state=state)
    running.kill(signal.SIGKILL)
    running.finish()
    back = upgrade.script("--undo", env=env)
    ended(evidence, f"{when}: ends well", back)
    measure(evidence, "undo", back, before)
    runs(evidence, upgrade, when, upgrade.versions.old)
    same(evidence, upgrade, when, before, documents)


@conformance("upgrade/way-back", since="0.2")
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(400)
def test_an_upgrade_that_dies_midway_is_undone_with_nothing_lost(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """When an upgrade in place is killed once the new version has had the data, --undo MUST put
    the old version back, with everything that was there before."""
    upgrade.begin_with_the_old_version()
    killed_and_undone(upgrade, evidence, ("compare", "started"))
    again = upgrade.script("--undo")
    ended(evidence, "once more ends well", again)
    evidence.require(
        "and touches nothing", "stop" not in steps(again), expected="no stop", actual=steps(again)
    )


MOMENTS = (
    ("stop_writers", "started"),
    ("backup", "started"),
    ("backup", "done"),
    ("stop", "started"),
    ("stop", "done"),
    ("start_new", "started"),
    ("ready", "done"),
    ("compare", "done"),
    ("start_writers", "started"),
)
FRESH_MOMENTS = (("start_new", "done"), ("restore", "started"), ("restore", "done"))


@conformance("upgrade/way-back", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(1200)
def test_an_upgrade_killed_at_any_step_is_undone_with_nothing_lost(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """Whichever step an upgrade is killed at, in place or into a fresh volume, --undo MUST put the
    old version back, with everything that was there before."""
    upgrade.begin_with_the_old_version()
    for moment in MOMENTS:
        killed_and_undone(upgrade, evidence, moment)
    for moment in FRESH_MOMENTS:
        killed_and_undone(upgrade, evidence, moment, "--fresh", env=upgrade.into_fresh_volume)


@conformance("upgrade/minor-in-place", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(900)
def test_an_upgrade_that_is_killed_goes_on_when_it_is_run_again(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """An upgrade that is killed again and again, each time a step further, MUST come to the same
    end when it is run once more."""
    documents = upgrade.begin_with_the_old_version()
    before = upgrade.look("before")
    killed = []
    for step, state in MOMENTS:
        running = upgrade.begin("--to", upgrade.versions.new)
        # What an earlier run has done is not done again: then there is no such moment.
        with contextlib.suppress(TargetError):
            running.wait_for_event("step", 180.0, step=step, state=state)
            killed.append(step)
        running.kill(signal.SIGKILL)
        running.finish()
    evidence.require(
        "it was killed before and after the new version had the data",
        {"backup", "stop", "start_new", "compare"} <= set(killed),
        expected="backup, stop, start_new and compare among the steps",
        actual=killed,
    )
    ran = upgrade.script("--to", upgrade.versions.new)
    ended(evidence, "the last run ends well", ran)
    runs(evidence, upgrade, "after the upgrade", upgrade.versions.new)
    same(evidence, upgrade, "after the upgrade", before, documents)


@conformance("upgrade/way-back", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(400)
def test_what_was_written_since_an_upgrade_is_not_lost_without_a_word(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """Once the writers have gone on after an upgrade, --undo MUST refuse to drop what they wrote,
    and leave everything as it is."""
    upgrade.begin_with_the_old_version()
    ran = upgrade.script("--to", upgrade.versions.new)
    ended(evidence, "the upgrade ends well", ran)
    later = upgrade.write(1)
    back = upgrade.script("--undo")
    ended(evidence, "taking it back is refused: a document was written since", back, 1)
    evidence.require(
        "and what was written since is still there",
        upgrade.answered(later) == later and "would be lost" in back.stderr,
        expected=later,
        actual=back.told,
    )
    runs(evidence, upgrade, "after the refusal", upgrade.versions.new)


LOSE = """
import os, httpx
asked = os.environ
headers = {"api-key": asked["LOSE_KEY"], "Content-Type": "application/json"}
httpx.post(asked["LOSE_URL"], content=asked["LOSE_BODY"], headers=headers).raise_for_status()
"""


@conformance("upgrade/way-back", since="0.2", profiles=("full",))
@needs("read", "write", "restart", "destroy", roles=ROLES)
@pytest.mark.timeout(600)
def test_a_version_that_loses_something_is_found_out_and_undone(
    upgrade: Upgrade, evidence: Evidence
) -> None:
    """When the new version comes up without some of the points, the upgrade MUST say so and keep
    the writers stopped, and --undo MUST bring every point back."""
    documents = upgrade.begin_with_the_old_version()
    before = upgrade.look("before")
    key = upgrade.stack.credentials("vectordb")["api_key"]
    collection = max(before, key=lambda name: before[name].digest.count)
    url = f"{upgrade.stack.endpoint('vectordb').url}/collections/{collection}/points/delete"
    match = {"key": "document_id", "match": {"value": documents[0]}}
    then_lose = shlex.join([sys.executable, "-c", LOSE])
    env = {
        "START_NEW_QDRANT_CMD": f"{upgrade.environment['START_NEW_QDRANT_CMD']} && {then_lose}",
        "LOSE_URL": f"{url}?wait=true",
        "LOSE_BODY": json.dumps({"filter": {"must": [match]}}),
        "LOSE_KEY": key,
    }
    ran = upgrade.script("--to", upgrade.versions.new, env=env)
    ended(evidence, "the loss is found out", ran, 5)
    evidence.require(
        "it is said what is lost, and the writers are kept stopped",
        bool(re.search(r"content of .* points", ran.stderr)) and not upgrade.stack.pids("gateway"),
        expected="the collection with its points before and now, and no gateway",
        actual=ran.told,
    )
    ended(evidence, "taking it back ends well", upgrade.script("--undo"))
    runs(evidence, upgrade, "taken back", upgrade.versions.old)
    same(evidence, upgrade, "taken back", before, documents)
