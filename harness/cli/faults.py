"""``ragdrill faults``: every fault that can be injected, read from the registry."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import json
import math
import re
from dataclasses import dataclass
from typing import Any

from chaos.faults import FAULTS, Fault
from chaos.faults.http_fault import HttpFault
from chaos.faults.link_fault import LinkFault
from chaos.faults.role_fault import RoleFault
from harness.cli import page
from harness.core.errors import HarnessError, UsageError
from harness.core.registry import ROLES
from harness.core.run import CHECKOUT
from harness.core.verdicts import ExitCode

PAGE = CHECKOUT / "docs" / "faults.md"

_LINKS = ("gateway-embed", "gateway-rerank", "gateway-vectordb", "gateway-metadata")
_REFUSED = re.compile(r"can't be injected with this (\w+)")
_RANGE = re.compile(r"(-?[\d.]+) to (-?[\d.]+) ")
_STARTS = (0, 1, 60, 3600)
"""Numbers to begin with: most are refused with the range, which gives a better one."""
_NO_TEXT = "\0 no such text"
_OTHER = "other"
"""The argument of a fault that hits two roles for the second of them."""


@dataclass(frozen=True)
class Argument:
    """One argument: ``allowed`` is what its fault said when refusing a wrong value."""

    name: str
    type: str
    required: bool
    default: Any
    allowed: str


@dataclass(frozen=True)
class Entry:
    """One fault as the page and the list show it."""

    slug: str
    group: str
    sentence: str
    about: str
    hits: str
    needs: tuple[str, ...]
    arguments: tuple[Argument, ...]
    proof: str
    heal: str
    heal_proof: str


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser("faults", help="list every fault; write docs/faults.md")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--write", action="store_true", help="write docs/faults.md")
    how.add_argument("--check", action="store_true", help="only compare docs/faults.md, exit 1")
    how.add_argument("--json", action="store_true", help="print the faults as JSON")
    parser.set_defaults(handler=faults)


def faults(options: argparse.Namespace) -> int:
    """List the faults, or write or compare their page."""
    entries = catalogue()
    if options.json:
        print(json.dumps([dataclasses.asdict(entry) for entry in entries], indent=1))
        return ExitCode.PASS
    told = f"{len(entries)} faults"
    if options.check:
        again = "ragdrill faults --write, and commit it."
        return page.check(PAGE, render(entries), told, again)
    if options.write:
        return page.write(PAGE, render(entries), told)
    width = max(len(entry.slug) for entry in entries)
    for entry in entries:
        print(f"{entry.slug:{width}}  {entry.sentence}")
        taken = [f"{a.name}{'' if a.required else f'={a.default}'}" for a in entry.arguments]
        print(f"{'':{width}}  hits {entry.hits}: {', '.join(taken) or 'no arguments'}")
    return ExitCode.PASS


def catalogue() -> list[Entry]:
    """Return every fault of the registry by group and slug."""
    entries = [_entry(kind) for kind in FAULTS.values()]
    return sorted(entries, key=lambda entry: (_GROUPS.index(entry.group), entry.slug))


_GROUPS = ("Links", "HTTP answers", "Roles", "Stores and the rest")


def _entry(kind: type[Fault]) -> Entry:
    values = valid_arguments(kind)
    if issubclass(kind, LinkFault):
        group, hits = "HTTP answers" if issubclass(kind, HttpFault) else "Links", kind.where
    elif issubclass(kind, RoleFault):
        group, hits = "Roles", "a role"
    elif _OTHER in values:
        group, hits = "Roles", "two roles"
    else:
        group, hits = _GROUPS[-1], kind(**values).on
    return Entry(
        kind.slug,
        group,
        kind.sentence,
        _plain(inspect.getdoc(kind)),
        hits,
        kind.needs,
        tuple(_argument(kind, field, values) for field in _fields(kind)),
        _doc(kind, "prove", "hit", "shows"),
        _doc(kind, "heal"),
        _doc(kind, "prove_healed"),
    )


def _fields(kind: type[Fault]) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(kind)  # type: ignore[arg-type]


def valid_arguments(kind: type[Fault]) -> dict[str, Any]:
    """Arguments that the fault takes: the largest of each number that has no default.

    Raises:
        HarnessError: none can be found from what the fault says when it refuses.
    """
    fields = _fields(kind)
    needed = [f for f in fields if f.default is dataclasses.MISSING]
    places: list[dict[str, Any]] = [{}]
    for name, choices in (("link", _LINKS), ("role", ROLES)):
        if any(field.name == name for field in needed):
            places = [{name: choice} for choice in choices]
    if any(field.name == _OTHER for field in needed):
        places = [place | {_OTHER: other} for place in places for other in ROLES]
    texts = {f.name: "any" for f in needed if f.type == "str" and f.name not in places[0]}
    numbers = [f.name for f in needed if f.name not in places[0] and f.name not in texts]
    refusal = ""
    for place, start in itertools.product(places, _STARTS if numbers else (0,)):
        values: dict[str, Any] = place | texts | dict.fromkeys(numbers, start)
        for _ in range(2 * len(fields) + 2):
            try:
                kind(**values)
                return values
            except UsageError as error:
                refusal = str(error)
                argument, allowed = _REFUSED.search(refusal), _RANGE.match(str(error.expected))
                if argument is None or allowed is None:
                    break
                high = float(allowed[2])
                values[argument[1]] = int(high) if high.is_integer() else high
    raise HarnessError(f"No arguments are known for the fault {kind.slug!r}.", actual=refusal)


def _argument(kind: type[Fault], field: dataclasses.Field[Any], values: dict[str, Any]) -> Argument:
    required = field.default is dataclasses.MISSING
    default = None if required else field.default
    if field.name == "link" and issubclass(kind, LinkFault):
        allowed = kind.where
    elif field.name == "role":
        allowed = "a role"
    elif field.name == _OTHER:
        allowed = "another role"
    else:
        allowed = _told_on_refusal(kind, field, values)
    return Argument(field.name, str(field.type), required, default, allowed)


def _told_on_refusal(
    kind: type[Fault], field: dataclasses.Field[Any], values: dict[str, Any]
) -> str:
    wrong: Any = _NO_TEXT if field.type == "str" else math.nan
    try:
        kind(**values | {field.name: wrong})
    except UsageError as error:
        return str(error.expected)
    return ""


def _doc(kind: type[Fault], *names: str) -> str:
    """The docstring of the method nearest to the fault, earlier names first within a class."""
    for owner in kind.__mro__:
        for name in names:
            text = getattr(owner.__dict__.get(name), "__doc__", None)
            if text:
                return _plain(text)
    return ""


def _plain(text: str | None) -> str:
    return " ".join((text or "").replace("``", "`").split())


def render(entries: list[Entry]) -> str:
    """Return the page."""
    lines = [
        "# Catalogue of faults",
        "",
        "Generated by `ragdrill faults --write` from the faults themselves; do not edit. "
        f"{len(entries)} faults. Ranges are what a fault says when it refuses a value. "
        'A case injects one with `with faults("slug", argument=...)`; the block is entered only '
        "when the effect was seen, and left only when it is seen to be gone.",
        "",
        "`link` is one of `ragdrill status`'s links, for instance `gateway-embed`; `role` is one "
        f"of {', '.join(ROLES)}.",
    ]
    for group in _GROUPS:
        members = [entry for entry in entries if entry.group == group]
        if members:
            lines += ["", f"## {group}"]
        for entry in members:
            lines += ["", f"### {entry.slug}", "", f"{entry.sentence} {entry.about}", ""]
            lines += [f"Hits {entry.hits}; needs the permission {' and '.join(entry.needs)}."]
            if entry.arguments:
                lines += ["", "| argument | default | allowed |", "|---|---|---|"]
                lines += [_row(argument) for argument in entry.arguments]
            lines += ["", f"- Proof that it landed: {entry.proof}", f"- Healing: {entry.heal}"]
            lines += [f"- Proof that it is gone: {entry.heal_proof}"]
    return "\n".join(lines) + "\n"


def _row(argument: Argument) -> str:
    default = "required" if argument.required else f"`{argument.default}`"
    told = argument.allowed or "any text"
    cells = (f"`{argument.name}` ({argument.type})", default, told)
    return "| " + " | ".join(page.cell(each) for each in cells) + " |"
