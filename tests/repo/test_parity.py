"""Requirements, cases, waivers, errata and the catalogue agree with one another."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any

from harness.core import guide
from harness.core.registry import PERMISSIONS
from tests.defects.defect import load_catalogue
from tests.repo.checkout import ROOT


def _ragdrill(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: collecting cases inside a running pytest would mix the two.
    program = "import sys; from harness.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@cache
def _cases() -> tuple[dict[str, Any], ...]:
    done = _ragdrill("catalogue", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    cases = json.loads(done.stdout)
    assert cases, "no case was collected"
    return tuple(cases)


def test_every_requirement_has_a_case_or_a_waiver_that_still_holds() -> None:
    covered = {case["slug"] for case in _cases()}
    waived = {waiver.slug for waiver in guide.load_waivers(datetime.now(UTC).date())}
    bare = [r.slug for r in guide.load_requirements() if r.slug not in covered | waived]
    assert not bare, f"neither case nor waiver in force: {bare}"


def test_no_requirement_is_waived_for_want_of_a_case_that_it_has() -> None:
    covered = {case["slug"] for case in _cases()}
    stale = [
        waiver.slug
        for waiver in guide.load_all_waivers()
        if waiver.kind == "not-yet" and waiver.slug in covered
    ]
    assert not stale, f"these have cases; take them out of guide/waivers.toml: {stale}"


def test_only_a_case_that_exists_can_show_a_part_or_have_its_failure_accepted() -> None:
    covered = {case["slug"] for case in _cases()}
    idle = [w.slug for w in guide.load_all_waivers() if w.kind in ("in-part", "accepted")]
    assert set(idle) <= covered, f"these have no case: {sorted(set(idle) - covered)}"


def test_a_waiver_for_a_part_is_renewed_before_it_ends() -> None:
    # Past its date nothing would say any more that the passing cases show only a part.
    today = datetime.now(UTC).date()
    over = [w.slug for w in guide.load_all_waivers() if w.kind == "in-part" and w.until < today]
    assert not over, f"renew these with a reason that is still true, or finish them: {over}"


def test_a_requirement_names_the_most_harmful_thing_that_its_cases_need() -> None:
    wrong = []
    for case in _cases():
        declared = PERMISSIONS.index(guide.requirement_of(case["slug"]).permission)
        needed = max((PERMISSIONS.index(need) for need in case["needs"]), default=0)
        if needed > declared:
            wrong.append(f"{case['id']} needs {PERMISSIONS[needed]}")
    assert not wrong, f"guide/requirements.toml permits less: {wrong}"


def test_every_case_that_an_erratum_names_exists() -> None:
    ids = {case["id"] for case in _cases()}
    gone = [e.case for e in guide.load_errata() if e.case and e.case not in ids]
    assert not gone, f"no such case: {gone}"


def test_every_defect_names_a_case_that_exists() -> None:
    ids = {case["id"] for case in _cases()}
    gone = {d.name: d.catches for d in load_catalogue() if d.catches not in ids}
    assert not gone, f"no such case: {gone}"


def test_every_must_that_has_a_case_has_a_defect_that_its_cases_catch() -> None:
    caught = {defect.catches.split("::")[0] for defect in load_catalogue()}
    covered = {case["slug"] for case in _cases()}
    musts = {r.slug for r in guide.load_requirements() if r.level == "MUST"}
    assert not (covered & musts) - caught, "nothing shows that these can fail"


def test_every_case_of_the_gate_has_a_defect_that_it_catches() -> None:
    # One for each test function: its parameters differ in what they look at, not in how.
    caught = {defect.catches.split("[")[0] for defect in load_catalogue()}
    cases = {case["id"].split("[")[0] for case in _cases() if "ci" in case["profiles"]}
    bare = sorted(cases - caught)
    assert not bare, f"nothing shows that these can fail; add to tests/defects/catalogue: {bare}"


def test_the_committed_catalogue_is_what_the_cases_say() -> None:
    done = _ragdrill("catalogue", "--check")
    assert done.returncode == 0, done.stdout + done.stderr
