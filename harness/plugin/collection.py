"""Selection of cases: what each test declares is checked, and nothing is selected by accident."""

from __future__ import annotations

import difflib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.guide import Requirement, load_requirements
from harness.core.registry import Declaration, Needs, case_id, declaration_of, needs_of
from harness.core.run import CHECKOUT
from harness.plugin.options import CASE_TREES, SHARE_DAY, is_conformance_run, is_worker


@dataclass(frozen=True)
class Case:
    """One collected case: its id, what it declared, and its MUST sentence."""

    id: str
    declaration: Declaration
    needs: Needs
    title: str
    nodeid: str

    @property
    def slug(self) -> str:
        """The requirement that the case shows."""
        return self.declaration.slug


CASE_KEY = pytest.StashKey[Case]()
PROBLEM_KEY = pytest.StashKey[str]()


def case_of(item: pytest.Item) -> Case | None:
    """Return the case that ``item`` is, or ``None`` for the harness's own tests."""
    return item.stash.get(CASE_KEY, None)


def needs_target(item: pytest.Item) -> bool:
    """Whether a case declares a need, or asks for ``stack`` itself or through a fixture.

    One that does neither reads shipped files alone, and nothing is booted for it.
    """
    case = case_of(item)
    if case is None:
        return False
    return case.needs != Needs() or "stack" in getattr(item, "fixturenames", ())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bind items to cases, refuse bad declarations, and keep what was asked for.

    In a worker an exception would surface as an internal error, so there the problem is kept for
    the controller (see ``harness.plugin.session``) and nothing is run.
    """
    try:
        _bind(items, {requirement.slug: requirement for requirement in load_requirements()})
        if is_conformance_run(config) or config.getoption("case"):
            _select(config, items)
        else:
            _keep_share(config, items)
    except UsageError as error:
        if not is_worker(config):
            raise pytest.UsageError(str(error)) from error
        config.stash[PROBLEM_KEY] = str(error)
        items.clear()


def _bind(items: list[pytest.Item], requirements: dict[str, Requirement]) -> None:
    seen: dict[str, str] = {}
    for item in items:
        function = getattr(item, "function", None)
        declaration = declaration_of(function)
        if declaration is None:
            if _in_case_tree(item.path):
                raise UsageError(
                    f"{item.nodeid} is below {_tree(item.path)}/ but declares no requirement.",
                    expected='@conformance("<slug>", since="<version>")',
                    next_step="add the decorator, or move the test to tests/",
                )
            continue
        if declaration.slug not in requirements:
            raise UsageError(
                f"{item.nodeid} names a requirement that does not exist.",
                expected="a slug of guide/requirements.toml"
                + _nearest(declaration.slug, requirements),
                actual=declaration.slug,
            )
        sentence = " ".join((getattr(function, "__doc__", None) or "").split())
        if not sentence:
            raise UsageError(
                f"{item.nodeid} has no docstring.",
                expected="a docstring that is the case's MUST (or SHOULD) sentence",
                next_step="write what the target must show, in one sentence",
            )
        name = case_id(declaration.slug, item.name)
        if name in seen:
            raise UsageError(
                f"The case id {name} is used twice.",
                expected="one test of this name per requirement",
                actual=f"{seen[name]} and {item.nodeid}",
            )
        seen[name] = item.nodeid
        item.stash[CASE_KEY] = Case(name, declaration, needs_of(function), sentence, item.nodeid)


def _select(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted: list[str] = config.getoption("case")
    profile: str | None = config.getoption("profile")
    cases = [case for item in items if (case := case_of(item)) is not None]
    for pattern in wanted:
        if not any(matches(pattern, case.id) for case in cases):
            known = [case.id for case in cases] + sorted({case.slug for case in cases})
            raise UsageError(
                f"--case {pattern} matches nothing, and a run of nothing proves nothing.",
                expected="an area, a requirement's slug or a case id" + _nearest(pattern, known),
                actual=pattern,
                next_step="ragdrill catalogue lists every case",
            )
    keep: list[pytest.Item] = []
    drop: list[pytest.Item] = []
    for item in items:
        case = case_of(item)
        asked = case is not None and (
            any(matches(pattern, case.id) for pattern in wanted)
            if wanted
            else profile is None or profile in case.declaration.profiles
        )
        (keep if asked else drop).append(item)
    if drop:
        config.hook.pytest_deselected(items=drop)
        items[:] = keep
    _keep_share(config, items)


def _keep_share(config: pytest.Config, items: list[pytest.Item]) -> None:
    share: int = config.getoption("share")
    if share == 1:
        return
    day = int(os.environ[SHARE_DAY])
    keep = [item for item in items if in_share(item, share, day)]
    drop = [item for item in items if not in_share(item, share, day)]
    if drop:
        config.hook.pytest_deselected(items=drop)
        items[:] = keep


def in_share(item: pytest.Item, share: int, day: int) -> bool:
    """Whether it is the turn of a case, or of an own test, on this day.

    Each has its turn once in ``share`` days, whatever others there are; a case that measures time
    has none. Own tests take turns by file, since what a file's tests share is set up once.
    """
    case = case_of(item)
    if case is not None and item.get_closest_marker("timing") is not None:
        return False
    name = item.nodeid.split("::")[0] if case is None else case.id
    return (zlib.crc32(name.encode()) + day) % share == 0


def matches(pattern: str, case: str) -> bool:
    """Whether ``pattern`` (area, slug or id) selects the case with id ``case``."""
    slug = case.split("::")[0]
    return pattern in (case, slug, slug.split("/")[0])


def _nearest(given: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(given, list(known), n=3, cutoff=0.4)
    return f"; nearest: {', '.join(near)}" if near else ""


def _in_case_tree(path: Path) -> bool:
    return any(path.is_relative_to(CHECKOUT / tree) for tree in CASE_TREES)


def _tree(path: Path) -> str:
    return path.relative_to(CHECKOUT).parts[0]
