"""Whether a client of an older OpenAPI description can go on as it is with a newer one.

What an old client sends must still be taken: whatever fits the old schema of a request fits the
new one. What it reads must still be what it knows: whatever fits the new schema of an answer fits
the old one. Both are one question, whether one schema lies within another
(:mod:`harness.checks.within`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks.openapi import Description, Operation
from harness.checks.within import Within


def breaking_changes(old: Description, new: Description) -> list[str]:
    """Return one sentence for each way in which a client of ``old`` may fail with ``new``.

    More paths, operations, optional parameters, optional fields of a request, fields of an answer
    and statuses of errors break nobody. A field of an answer that is gone, a status of success that
    is new, and a default of a request that is another one count as breaking.
    """
    after = {(_shape(each.path), each.method): each for each in new.operations()}
    found: list[str] = []
    for before in old.operations():
        now = after.get((_shape(before.path), before.method))
        if now is None:
            found.append(f"{before.label}: is gone")
            continue
        pair = _Pair(old, new, before, now)
        found += [f"{before.label}: {reason}" for reason in dict.fromkeys(pair.reasons())]
    return found


def _shape(path: str) -> str:
    """A path template without the names of its parameters, which no client sends."""
    return re.sub(r"\{[^}]*\}", "{}", path)


class _Pair:
    """One operation before and now."""

    def __init__(
        self, old: Description, new: Description, before: Operation, now: Operation
    ) -> None:
        self._old, self._new, self._before, self._now = old, new, before, now
        self._sent = Within(old, new, sent=True)
        self._read = Within(new, old, sent=False)

    def reasons(self) -> Iterator[str]:
        yield from self._security()
        yield from self._parameters()
        yield from self._request()
        yield from self._responses()

    def _security(self) -> Iterator[str]:
        wanted = self._now.raw.get("security", self._new.document.get("security"))
        if not wanted:
            return
        before = self._before.raw.get("security", self._old.document.get("security"))
        for way in before or [{}]:
            if way not in wanted:
                yield f"the credentials {sorted(way) or 'none'} are not enough any more"

    def _parameters(self) -> Iterator[str]:
        paths = self._before.path, self._now.path
        old = {_key(each, paths[0]): each for each in self._before.parameters}
        new = {_key(each, paths[1]): each for each in self._now.parameters}
        for key, parameter in new.items():
            if key not in old and parameter.get("required"):
                yield f"the {key[1]} parameter {parameter['name']} is required now"
        for key, parameter in old.items():
            where = f"the {key[1]} parameter {parameter['name']}"
            if key not in new:
                yield f"{where} is gone"
                continue
            if new[key].get("required") and not parameter.get("required"):
                yield f"{where} is required now"
            yield from self._sent.reasons(
                parameter.get("schema", {}), new[key].get("schema", {}), where
            )

    def _request(self) -> Iterator[str]:
        old = self._old.resolved(self._before.raw.get("requestBody", {}))
        new = self._new.resolved(self._now.raw.get("requestBody", {}))
        if new.get("required") and not old.get("required"):
            yield "a body is required now"
        for kind, content in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield f"a request of the type {kind} is not taken any more"
                continue
            schema = new["content"][kind].get("schema", {})
            yield from self._sent.reasons(content.get("schema", {}), schema, "request")

    def _responses(self) -> Iterator[str]:
        old, new = self._before.raw.get("responses", {}), self._now.raw.get("responses", {})
        for status in new:
            if status not in old and status.startswith("2"):
                yield f"may answer with the status {status} now"
        for status, response in old.items():
            if status not in new:
                if status.startswith("2"):
                    yield f"never answers with the status {status} any more"
                continue
            yield from self._response(
                status, self._old.resolved(response), self._new.resolved(new[status])
            )

    def _response(
        self, status: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> Iterator[str]:
        there = {name.lower() for name in new.get("headers", {})}
        for name in old.get("headers", {}):
            if name.lower() not in there:
                yield f"{status} has no header {name} any more"
        before, now = old.get("content") or {}, new.get("content") or {}
        if before and not now:
            yield f"{status} has no body any more"
        for kind, content in now.items():
            if kind not in before:
                yield f"{status} may be of the type {kind} now"
                continue
            schema = before[kind].get("schema", {})
            yield from self._read.reasons(content.get("schema", {}), schema, f"answer {status}")


def _key(parameter: Mapping[str, Any], path: str) -> tuple[str, str]:
    """What tells a parameter: its name, or for one of the path its place in it."""
    name, place = str(parameter["name"]), str(parameter["in"])
    if place == "path":
        names = re.findall(r"\{([^}]*)\}", path)
        return (str(names.index(name)) if name in names else name), place
    return name.lower() if place == "header" else name, place
