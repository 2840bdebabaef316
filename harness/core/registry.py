"""What a test function declares about itself: the requirement it shows and what it needs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.core.errors import UsageError
from harness.core.gateway_api import FEATURES

PERMISSIONS = ("read", "write", "restart", "fault", "destroy")
"""What a target may allow, from harmless to harmful (``[target] allow`` in a target file)."""

ROLES = (
    "gateway",
    "embed",
    "fallback",
    "rerank",
    "vectordb",
    "metadata",
    "auth",
    "objectstore",
    "edge",
    "metrics",
    "alerts",
    "pager",
    "faultproxy",
    "logs",
    "dashboards",
    "gpu",
    "exporter",
    "logship",
)
PROFILES = ("ci", "full", "drill", "upgrade", "safe", "gpu")
"""``ci`` minutes; ``full`` everything; ``drill`` recovery; ``upgrade`` before an upgrade; ``safe``
only what reads and writes."""

_SLUG = re.compile(r"[a-z][a-z0-9-]*/[a-z0-9-]+")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """What ``@conformance`` said: slug, first version with this case, profiles it runs in."""

    slug: str
    since: str
    profiles: tuple[str, ...]


@dataclass(frozen=True)
class Needs:
    """What ``@needs`` said: permissions, roles and features of the gateway's API that the target
    must offer."""

    permissions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    @property
    def exclusive(self) -> bool:
        """Whether other cases of the run must stand still meanwhile."""
        return bool({"restart", "fault", "destroy"} & set(self.permissions))


def conformance(
    slug: str, *, since: str, profiles: Iterable[str] = ("ci", "full")
) -> Callable[[F], F]:
    """Bind a test function to the requirement ``slug``; its docstring is its MUST sentence.

    Raises:
        UsageError: the slug is not of the form ``area/requirement`` or a profile is unknown.
    """
    if not _SLUG.fullmatch(slug):
        raise UsageError(
            "A case names its requirement by a slug.",
            expected="area/requirement in lower case, as in guide/requirements.toml",
            actual=repr(slug),
        )
    wanted = tuple(profiles)
    _refuse_unknown("profile", wanted, PROFILES)

    def bind(function: F) -> F:
        function.__conformance__ = Declaration(slug, since, wanted)  # type: ignore[attr-defined]
        return function

    return bind


def needs(
    *permissions: str, roles: Iterable[str] = (), features: Iterable[str] = ()
) -> Callable[[F], F]:
    """Declare what the target must allow and offer; where it does not, the case is skipped.

    ``features``: of the gateway's API (:data:`harness.core.gateway_api.FEATURES`). A case about the
    reference gateway's own requests as they are written needs ``native-api``.

    Raises:
        UsageError: a permission, role or feature is unknown.
    """
    wanted, of_api = tuple(roles), tuple(features)
    _refuse_unknown("feature", of_api, tuple(FEATURES))
    _refuse_unknown("permission", permissions, PERMISSIONS)
    _refuse_unknown("role", wanted, ROLES)

    def bind(function: F) -> F:
        function.__needs__ = Needs(permissions, wanted, of_api)  # type: ignore[attr-defined]
        return function

    return bind


def declaration_of(function: object) -> Declaration | None:
    """Return what ``@conformance`` said of ``function``, or ``None``."""
    found = getattr(function, "__conformance__", None)
    return found if isinstance(found, Declaration) else None


def needs_of(function: object) -> Needs:
    """Return what ``@needs`` said of ``function``; nothing said is nothing needed."""
    found = getattr(function, "__needs__", None)
    return found if isinstance(found, Needs) else Needs()


def case_id(slug: str, function_name: str) -> str:
    """Return ``<slug>::<name>``: the function's name without its ``test_``."""
    return f"{slug}::{function_name.removeprefix('test_')}"


def _refuse_unknown(what: str, given: Iterable[str], known: tuple[str, ...]) -> None:
    for value in given:
        if value not in known:
            raise UsageError(
                f"There is no {what} of this name.",
                expected=", ".join(known),
                actual=repr(value),
            )
