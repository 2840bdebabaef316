"""What the operations guide asks for: requirements, waivers, errata and objectives."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from harness.core.errors import UsageError

GUIDE = Path(__file__).resolve().parents[2] / "guide"
SCHEMA = 1

_STRICT = ConfigDict(extra="forbid", strict=True)
_SECTIONS = re.compile(r"\d+(\.\d+)?(, \d+(\.\d+)?)*")
_SLUG = re.compile(r"[a-z][a-z0-9-]*/[a-z0-9-]+")


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _sections(text: str) -> str:
    if not _SECTIONS.fullmatch(text):
        raise ValueError("must be section numbers such as '5.1' or '4, 5'")
    return text


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise ValueError("must be area/requirement in lower case")
    return text


RECOVERY_OBJECTIVES = (
    "backup",
    "recovery-time",
    "recovery-point-metadata",
    "recovery-point-vectors",
)


def _recovery_name(text: str) -> str:
    if text not in RECOVERY_OBJECTIVES:
        raise ValueError(f"must be one of {', '.join(RECOVERY_OBJECTIVES)}")
    return text


Text = Annotated[str, AfterValidator(_filled)]
Sections = Annotated[str, AfterValidator(_sections)]
Slug = Annotated[str, AfterValidator(_slug)]


@dataclass(frozen=True, config=_STRICT)
class Requirement:
    """One MUST or SHOULD: ``section`` of the guide, and the most harmful permission it takes."""

    slug: Slug
    level: Literal["MUST", "SHOULD"]
    section: Sections
    sentence: Text
    permission: Literal["read", "write", "restart", "fault", "destroy"]

    @property
    def area(self) -> str:
        """The slug's first half, which is also the name of a file or folder in ``suites/``."""
        return self.slug.split("/")[0]


@dataclass(frozen=True, config=_STRICT)
class Waiver:
    """A dated exception: a requirement is *not shown* (``not-yet``), its cases show only a part of
    it (``in-part``: *not shown* as well), or its failure is ``accepted``.

    ``until`` is the last day on which it holds.
    """

    slug: Slug
    kind: Literal["not-yet", "in-part", "accepted"]
    reason: Text
    until: date
    owner: Text

    def in_force(self, today: date) -> bool:
        """Whether the waiver still holds on ``today``."""
        return today <= self.until


@dataclass(frozen=True, config=_STRICT)
class Erratum:
    """A place where the guide is wrong; ``case`` is ``""`` while no case shows it."""

    section: Sections
    says: Text
    why: Text
    instead: Text
    case: str


@dataclass(frozen=True, config=_STRICT)
class Objective:
    """A service-level objective of ``slo.yaml``: the share of good events that is asked for.

    ``target`` is a share between 0 and 1. ``threshold_s`` is the latency in seconds up to which an
    event is good, ``None`` where goodness is no matter of time. ``window_s`` is the time in seconds
    over which its error budget is counted.
    """

    name: str
    requirement: Slug
    target: float
    threshold_s: float | None
    window_s: float


@dataclass(frozen=True, config=_STRICT)
class RecoveryObjective:
    """What a backup or a restore is held against; ``source`` is where the figure comes from."""

    name: Annotated[str, AfterValidator(_recovery_name)]
    seconds: Annotated[int, Field(gt=0)]
    source: Text


def load_requirements(path: Path | None = None) -> tuple[Requirement, ...]:
    """Return every requirement in the file's order.

    Raises:
        UsageError: the file can't be read, holds an unknown key or a wrong value, or a slug twice.
    """
    return _load_requirements(path or GUIDE / "requirements.toml")


@cache
def _load_requirements(path: Path) -> tuple[Requirement, ...]:
    loaded = _tables(path, "requirement", Requirement)
    _refuse_twice(path, [requirement.slug for requirement in loaded])
    return loaded


def requirement_of(slug: str, known: Iterable[Requirement] | None = None) -> Requirement:
    """Return the requirement with this slug.

    Raises:
        UsageError: there is none; the message names the nearest ones.
    """
    every = {requirement.slug: requirement for requirement in known or load_requirements()}
    if slug not in every:
        raise UsageError(
            f"There is no requirement {slug!r}.",
            expected="a slug of guide/requirements.toml",
            actual=repr(slug),
            next_step=_did_you_mean(slug, every),
        )
    return every[slug]


def load_waivers(today: date, path: Path | None = None) -> tuple[Waiver, ...]:
    """Return the waivers that hold on ``today``; one that has run out counts as not written.

    Raises:
        UsageError: the file is wrong, a slug is unknown, or one is waived twice.
    """
    return tuple(waiver for waiver in load_all_waivers(path) if waiver.in_force(today))


def load_all_waivers(path: Path | None = None) -> tuple[Waiver, ...]:
    """Return the waivers that hold and those that have run out.

    Raises:
        UsageError: as :func:`load_waivers`.
    """
    path = path or GUIDE / "waivers.toml"
    loaded = _tables(path, "waiver", Waiver)
    for waiver in loaded:
        requirement_of(waiver.slug)
    _refuse_twice(path, [waiver.slug for waiver in loaded])
    return loaded


def load_errata(path: Path | None = None) -> tuple[Erratum, ...]:
    """Return the places where the guide is wrong.

    Raises:
        UsageError: the file can't be read, or holds an unknown key or a wrong value.
    """
    return _tables(path or GUIDE / "errata.toml", "erratum", Erratum)


def load_recovery_objectives(path: Path | None = None) -> dict[str, RecoveryObjective]:
    """Return the objectives of backup and recovery by name.

    Raises:
        UsageError: the file can't be read, holds an unknown key or a wrong value, a name twice, or
            lacks one.
    """
    path = path or GUIDE / "recovery.toml"
    loaded = _tables(path, "objective", RecoveryObjective)
    _refuse_twice(path, [objective.name for objective in loaded])
    missing = [name for name in RECOVERY_OBJECTIVES if name not in {each.name for each in loaded}]
    if missing:
        raise UsageError(
            f"{path} lacks an objective.",
            expected=", ".join(RECOVERY_OBJECTIVES),
            actual=f"nothing for {', '.join(missing)}",
        )
    return {objective.name: objective for objective in loaded}


def load_objectives(path: Path | None = None) -> dict[str, Objective]:
    """Return the objectives of an OpenSLO v1 file by name (``query-latency``, ``availability``).

    Raises:
        UsageError: the file can't be read, is no OpenSLO v1, or a target is not between 0 and 1.
    """
    path = path or GUIDE / "slo.yaml"
    try:
        documents = [document for document in yaml.safe_load_all(_read(path)) if document]
        found = [_objective(document) for document in documents if document["kind"] == "SLO"]
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is no OpenSLO v1 file that the harness can use.",
            expected="kind: SLO with metadata.name, the annotation ragdrill/requirement and "
            "spec.objectives[0].target between 0 and 1",
            actual=f"{type(error).__name__}: {error}",
        ) from error
    for objective in found:
        requirement_of(objective.requirement)
    _refuse_twice(path, [objective.name for objective in found])
    return {objective.name: objective for objective in found}


def _objective(document: dict[str, Any]) -> Objective:
    if document["apiVersion"] != "openslo/v1":
        raise ValueError(f"apiVersion is {document['apiVersion']!r}")
    annotations = document["metadata"]["annotations"]
    threshold = annotations.get("ragdrill/threshold-seconds")
    target = float(document["spec"]["objectives"][0]["target"])
    if not 0 < target < 1:
        raise ValueError(f"target is {target}")
    return Objective(
        name=document["metadata"]["name"],
        requirement=annotations["ragdrill/requirement"],
        target=target,
        threshold_s=None if threshold is None else float(threshold),
        window_s=_seconds(document["spec"]["timeWindow"][0]["duration"]),
    )


_UNITS_S = {"h": 3600, "d": 86_400, "w": 604_800}


def _seconds(duration: str) -> float:
    """Read a duration shorthand of OpenSLO (``28d``) that has a fixed length."""
    if not re.fullmatch(r"[1-9][0-9]*[hdw]", duration):
        raise ValueError(f"timeWindow is {duration!r}, not a number of h, d or w")
    return float(int(duration[:-1]) * _UNITS_S[duration[-1]])


T = TypeVar("T", Requirement, Waiver, Erratum, RecoveryObjective)


def _tables(path: Path, name: str, kind: type[T]) -> tuple[T, ...]:
    try:
        raw = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no valid TOML.", actual=str(error)) from error
    _refuse_unknown(path, "", raw, ("schema", "guide_revision", name))
    if raw.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} is written for another version of this file.",
            expected=f"schema = {SCHEMA}",
            actual=f"schema = {raw.get('schema')}",
        )
    entries = raw.get(name, [])
    if not isinstance(entries, list):
        raise UsageError(
            f"{path}: {name} must be a list.", expected=f"[[{name}]]", actual=f"[{name}]"
        )
    known = tuple(field.name for field in fields(kind))
    loaded = []
    for number, entry in enumerate(entries, start=1):
        where = f"{name} {number} ({entry.get('slug') or entry.get('section') or 'unnamed'})"
        _refuse_unknown(path, where, entry, known)
        try:
            loaded.append(kind(**entry))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
                for problem in error.errors()
            )
            raise UsageError(
                f"{path}: {where} is not valid.",
                expected=", ".join(known),
                actual=problems,
            ) from error
    return tuple(loaded)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path} can't be read.",
            expected="a file of the checkout",
            actual=error.strerror,
            next_step="run from a complete checkout: git status shows what is missing",
        ) from error


def _refuse_unknown(path: Path, where: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            raise UsageError(
                f"{path}: {where + ': ' if where else ''}there is no key {key!r}.",
                expected=", ".join(known),
                actual=key,
                next_step=_did_you_mean(key, known),
            )


def _refuse_twice(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: named twice: {', '.join(twice)}.", expected="each name once")


def _did_you_mean(given: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(given, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else None
