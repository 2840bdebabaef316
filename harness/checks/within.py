"""Whether every value that fits one JSON schema fits another, by a comparison of the two.

Made for schemas that programs publish (draft 2020-12 as pydantic writes it). Where the comparison
can't tell, it says so and counts that against the change: a doubt is looked at, never passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.checks.openapi import Description

NOTES = frozenset(
    {"title", "description", "examples", "example", "default", "deprecated", "$comment"}
    | {"readOnly", "writeOnly", "$id", "$schema", "$defs", "components"}
)
"""Keywords that refuse no value."""

AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
EQUAL = ("pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "const")
SHAPES = ("type", "enum", "anyOf", "oneOf", "properties", "required", "items")
CLOSING = ("additionalProperties", "propertyNames", "patternProperties")
KNOWN = NOTES | set(AT_LEAST) | set(AT_MOST) | set(EQUAL) | set(SHAPES) | set(CLOSING)


Schema = Mapping[str, Any] | bool


class Within:
    """Compares schemas ``inner`` of one document with schemas ``outer`` of another.

    ``sent``: they are of what a client sends, so that a default matters; else of what it reads, so
    that a field which ``outer`` has and ``inner`` has not is one that it may wait for in vain.
    """

    def __init__(self, inner: Description, outer: Description, *, sent: bool) -> None:
        self._inner, self._outer, self._sent = inner, outer, sent
        self._under_way: set[tuple[str, str]] = set()

    def reasons(self, inner: Schema, outer: Schema, where: str) -> list[str]:
        """Say why a value of ``inner`` may not fit ``outer``; nothing means that every one does."""
        key = repr(inner), repr(outer)
        if key in self._under_way:
            return []  # a schema that holds itself: what is compared already counts once
        self._under_way.add(key)
        try:
            return list(self._reasons(_open(inner), _open(outer), where))
        finally:
            self._under_way.discard(key)

    def _reasons(
        self, inner: Mapping[str, Any], outer: Mapping[str, Any], where: str
    ) -> Iterator[str]:
        inner, outer = self._followed(inner, self._inner), self._followed(outer, self._outer)
        if inner.get("not") == {}:
            return
        if outer.get("not") == {}:
            yield f"{where} may not be there any more"
            return
        if self._sent and "default" in inner and inner["default"] != outer.get("default"):
            then, now = inner["default"], outer.get("default", "none")
            yield f"{where} stands for {now!r} when it is left out, and stood for {then!r}"
        if odd := {key for key in (*inner, *outer) if key not in KNOWN}:
            if inner != outer:
                yield f"{where} can't be compared: {', '.join(sorted(odd))}"
            return
        branches = _branches(inner)
        if branches is not None:
            for branch in branches:
                yield from self.reasons(branch, outer, where)
            return
        if "enum" in inner or "const" in inner:
            for value in inner.get("enum", [inner.get("const")]):
                if self._outer.fits(outer, value):
                    yield f"{where} may be {value!r}, which is not known on the other side"
            return
        choices = _branches(outer)
        if choices is not None:
            yield from self._some(inner, choices, where)
            return
        yield from self._one(inner, outer, where)

    def _some(
        self, inner: Mapping[str, Any], choices: list[dict[str, Any]], where: str
    ) -> Iterator[str]:
        """Compare with alternatives, one of which must take everything."""
        tried = {number: self.reasons(inner, each, where) for number, each in enumerate(choices)}
        if not all(tried.values()):
            return
        alike = [
            tried[number]
            for number, each in enumerate(choices)
            if self._followed(each, self._outer).get("type") == inner.get("type")
        ]
        # What is wrong with the only alternative of this type is what one wants to know.
        told = f"{where} may be of the type {inner.get('type', 'any')}, which none takes any more"
        yield from alike[0] if len(alike) == 1 else [told]

    @staticmethod
    def _followed(schema: Mapping[str, Any], document: Description) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**document.resolved({"$ref": schema["$ref"]}), **beside}

    def _one(self, inner: Mapping[str, Any], outer: Mapping[str, Any], where: str) -> Iterator[str]:
        """Compare two schemas of one type each, or of any."""
        kind, wanted = inner.get("type"), outer.get("type")
        if wanted is not None and kind != wanted and (kind, wanted) != ("integer", "number"):
            yield f"{where} is of the type {kind or 'any'}, and {wanted} on the other side"
            return
        if "enum" in outer:
            yield f"{where} may be anything, and only {outer['enum']} on the other side"
        for key in EQUAL:
            if key in outer and inner.get(key) != outer[key]:
                yield f"{where}: {key} {inner.get(key, 'none')!r} is not {outer[key]!r}"
        for key in AT_LEAST:
            if key in outer and inner.get(key, float("-inf")) < outer[key]:
                yield f"{where}: {key} {outer[key]} refuses what was below"
        for key in AT_MOST:
            if key in outer and inner.get(key, float("inf")) > outer[key]:
                yield f"{where}: {key} {outer[key]} refuses what was above"
        if "items" in outer:
            yield from self.reasons(inner.get("items", True), outer["items"], f"{where}[]")
        yield from self._object(inner, outer, where)

    def _object(
        self, inner: Mapping[str, Any], outer: Mapping[str, Any], where: str
    ) -> Iterator[str]:
        there, known = inner.get("properties", {}), outer.get("properties", {})
        certain = set(inner.get("required", ()))
        for name in outer.get("required", ()):
            if name not in certain:
                yield f"{where}.{name} may be missing, and must be there on the other side"
        for name, schema in there.items():
            if name in known:
                yield from self.reasons(schema, known[name], f"{where}.{name}")
            elif outer.get("additionalProperties") is False:
                yield f"{where}.{name} is not known on the other side"
        if not self._sent:
            for name in known:
                if name not in there and name not in outer.get("required", ()):
                    yield f"{where}.{name} is gone"
        if inner.get("patternProperties") != outer.get("patternProperties"):
            yield f"{where} can't be compared: patternProperties"
        if outer.get("additionalProperties") is False:
            if inner.get("type") == "object" and inner.get("additionalProperties", True):
                yield f"{where} may hold fields that are not known on the other side"
        elif "additionalProperties" in outer:
            rest, taken = inner.get("additionalProperties", True), outer["additionalProperties"]
            yield from self.reasons(rest, taken, f"{where}.*")
        if "propertyNames" in outer:
            names = inner.get("propertyNames", True)
            yield from self.reasons(names, outer["propertyNames"], f"{where}: the names")


def _open(schema: Schema) -> Mapping[str, Any]:
    """``true`` takes everything, ``false`` nothing."""
    if isinstance(schema, Mapping):
        return schema
    return {} if schema else {"not": {}}


def _branches(schema: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The alternatives of a schema, ``None`` if it is only one; what stands beside is in each."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            rest = {k: v for k, v in schema.items() if k != key and k not in NOTES}
            return [{**rest, **each} for each in schema[key]]
    if isinstance(schema.get("type"), list):
        rest = {k: v for k, v in schema.items() if k != "type"}
        return [{**rest, "type": kind} for kind in schema["type"]]
    return None
