"""A published OpenAPI 3.1 description, and whether an answer is one that it describes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from harness.core.errors import TargetError

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
SHOWN = 5
"""Problems of one answer that are told; their number is not limited by the answer."""

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """A method of a path template, as the description has it; ``parameters`` are those of the
    path as well."""

    method: str
    path: str
    raw: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]

    @property
    def label(self) -> str:
        """As ``POST /v1/query``."""
        return f"{self.method.upper()} {self.path}"

    @property
    def deprecated(self) -> bool:
        """Whether the description calls it deprecated."""
        return self.raw.get("deprecated") is True

    @property
    def statuses(self) -> frozenset[str]:
        """The statuses that it may answer with, as the description writes them."""
        return frozenset(self.raw.get("responses", {}))


class Description:
    """An OpenAPI document. Raises TargetError where it is none."""

    def __init__(self, document: Document) -> None:
        if not isinstance(document.get("paths"), Mapping) or "openapi" not in document:
            raise TargetError(
                "The published description is no OpenAPI document.",
                expected="an object with openapi and paths",
                actual=sorted(document)[:10],
            )
        self.document = document

    def operations(self) -> tuple[Operation, ...]:
        """Return every operation in the order of the document."""
        found = []
        for path, item in self.document["paths"].items():
            shared = tuple(self.resolved(each) for each in item.get("parameters", ()))
            for method in METHODS:
                if method in item:
                    own = tuple(self.resolved(each) for each in item[method].get("parameters", ()))
                    named = {(each["name"], each["in"]) for each in own}
                    kept = tuple(e for e in shared if (e["name"], e["in"]) not in named)
                    found.append(Operation(method, path, item[method], (*kept, *own)))
        return tuple(found)

    def operation(self, label: str) -> Operation:
        """Return the operation of a label such as ``POST /v1/query``.

        Raises:
            TargetError: the description has none.
        """
        for each in self.operations():
            if each.label == label:
                return each
        raise TargetError(
            f"The published description has no {label}.",
            expected=", ".join(each.label for each in self.operations()),
        )

    def resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow ``$ref`` within the document; anything else is returned as it is.

        Raises:
            TargetError: the reference leads nowhere.
        """
        while isinstance(part, Mapping) and "$ref" in part:
            part = self._at(str(part["$ref"]))
        return part

    def _at(self, reference: str) -> Mapping[str, Any]:
        found: Any = self.document
        for step in reference.removeprefix("#/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or name not in found:
                raise TargetError(
                    "A reference of the published description leads nowhere.", actual=reference
                )
            found = found[name]
        return dict(found)

    def problems(
        self, operation: Operation, status: int, headers: Mapping[str, str], text: str
    ) -> list[str]:
        """Say in what an answer differs from what is described; nothing means that it fits.

        The status must be described, the content type be one of those of the status, the body be
        valid against its schema, and headers that are described be there where they are required
        and be valid; header names count without regard to case.
        """
        response = operation.raw.get("responses", {}).get(str(status))
        if response is None:
            described = ", ".join(sorted(operation.statuses))
            return [f"the status {status} is not described ({described} are)"]
        response = self.resolved(response)
        plain = {name.lower(): value for name, value in headers.items()}
        return [
            *self._header_problems(response.get("headers", {}), plain),
            *self._body_problems(response.get("content") or {}, plain, text),
        ]

    def fits(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        """Say in what a value differs from a schema of this document."""
        whole = {**schema, "components": self.document.get("components", {})}
        validator = Draft202012Validator(whole)
        found = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.path)))
        return [f"{_place(error.path)}: {error.message[:300]}" for error in found[:SHOWN]]

    def _header_problems(
        self, described: Mapping[str, Any], plain: Mapping[str, str]
    ) -> Iterator[str]:
        for name, header in described.items():
            header = self.resolved(header)
            value = plain.get(name.lower())
            if value is None:
                if header.get("required"):
                    yield f"the header {name} is required and missing"
                continue
            schema = self.resolved(header.get("schema", {}))
            read: Any = value
            if schema.get("type") in ("integer", "number", "boolean"):
                try:
                    read = json.loads(value)
                except ValueError:
                    read = value
            yield from (f"the header {name}, {told}" for told in self.fits(schema, read))

    def _body_problems(
        self, content: Mapping[str, Any], plain: Mapping[str, str], text: str
    ) -> list[str]:
        if not content:
            return [f"a body of {len(text)} characters, where none is described"] if text else []
        kind = plain.get("content-type", "").split(";")[0].strip().lower()
        if kind not in content:
            return [f"the content type {kind or 'none'}, where {', '.join(content)} is described"]
        try:
            body = json.loads(text)
        except ValueError:
            return [f"a body that is no JSON: {text[:120]!r}"]
        return self.fits(content[kind].get("schema", {}), body)


def _place(path: Any) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "body" + "".join(steps)
