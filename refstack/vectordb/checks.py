"""Small readers of JSON values that refuse what does not fit, in the words of the API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from refstack.vectordb.errors import format_error, only_known, query_error, validation_error

JsonObject = dict[str, Any]
DEPTH_LIMIT = 127
"""How deep JSON may nest: serde_json's limit, by which the engine reads its own payloads too."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def load_body(body: bytes) -> JsonObject:
    """The JSON object of a request body. Raises `ApiError` 400."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise format_error(str(error)) from None
    if _may_be_deep(body) and not _within(value, DEPTH_LIMIT):
        raise format_error("recursion limit exceeded")
    return as_object(value, "the body")


def _may_be_deep(body: bytes) -> bool:
    """A quick look at the brackets alone, those in strings included."""
    depth = 0
    for bracket in body.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH_LIMIT:
            return True
    return False


def _within(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_within(item, levels - 1) for item in items)


def kind(value: object) -> str:
    """The JSON type of a value, for messages."""
    names = {dict: "map", list: "sequence", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def as_object(value: object, where: str, known: Sequence[str] | None = None) -> JsonObject:
    """`value` as an object; with `known`, other keys are refused."""
    if not isinstance(value, dict):
        raise format_error(f"invalid type: {kind(value)}, expected a map for {where}")
    if known is not None:
        only_known(value, known, where)
    return value


def as_list(value: object, where: str) -> list[Any]:
    """`value` as a list."""
    if not isinstance(value, list):
        raise format_error(f"invalid type: {kind(value)}, expected a sequence for {where}")
    return value


def as_text(value: object, where: str) -> str:
    """`value` as a string."""
    if not isinstance(value, str):
        raise format_error(f"invalid type: {kind(value)}, expected a string for {where}")
    return value


def as_bool(value: object, where: str) -> bool:
    """`value` as a boolean."""
    if not isinstance(value, bool):
        raise format_error(f"invalid type: {kind(value)}, expected a boolean for {where}")
    return value


def as_int(value: object, where: str, low: int = 0, high: int = 2**63 - 1) -> int:
    """`value` as a whole number; outside `low`..`high` is a 422."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise format_error(f"invalid type: {kind(value)}, expected an integer for {where}")
    if value < low:
        raise validation_error(where, f"value {value} invalid, must be {low} or larger")
    if value > high:
        raise validation_error(where, f"value {value} invalid, must be from {low} to {high}")
    return value


def as_number(value: object, where: str) -> float:
    """`value` as a finite number of single precision, which is what the engine computes in."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise format_error(f"invalid type: {kind(value)}, expected a number for {where}")
    if not -3.4028235e38 <= value <= 3.4028235e38:
        raise format_error(f"{where} must be a finite number of single precision")
    return float(value)


def as_choice(value: object, choices: Sequence[str], where: str) -> str:
    """`value` as one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        names = ", ".join(f"`{name}`" for name in choices)
        raise format_error(f"unknown variant `{value}` for {where}, expected one of {names}")
    return value


def given(source: JsonObject, key: str) -> Any:
    """The value of a key, or None when it is absent: the API treats null as absent."""
    return source.get(key)


def required(source: JsonObject, key: str) -> Any:
    """The value of a key that must be there."""
    if key not in source:
        raise format_error(f"missing field `{key}`")
    return source[key]


def one_or_many(value: object) -> list[Any]:
    """A list as it is, anything else as the list of itself."""
    return value if isinstance(value, list) else [value]


def query_flag(text: str | None, name: str, default: bool) -> bool:
    """A boolean of the query string. Raises `ApiError` 400."""
    if text is None:
        return default
    if text not in ("true", "false"):
        raise query_error(f"{name}: provided string `{text}` was not `true` or `false`")
    return text == "true"


def query_choice(text: str | None, name: str, choices: Sequence[str]) -> str | None:
    """One of `choices` from the query string, or None when absent. Raises `ApiError` 400."""
    if text is None or text in choices:
        return text
    names = ", ".join(f"`{choice}`" for choice in choices)
    raise query_error(f"{name}: unknown variant `{text}`, expected one of {names}")
