"""Reading request bodies as Go's JSON decoder does: lenient about keys, strict about types.

Keys are compared without case, unknown keys and bytes after the first value are ignored, and
`null` leaves a field at its default.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

from refstack.faultproxy.errors import bad_body

INT64 = range(-(2**63), 2**63)
_NAMES = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def decode(raw: bytes) -> Any:
    """The first JSON value of a body; raises `ApiError` 400 when there is none."""
    text = raw.decode("utf-8", errors="replace").lstrip(" \t\r\n")
    if not text:
        raise bad_body("EOF: expected a JSON value, got nothing")
    try:
        value, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise bad_body(f"not JSON: {error}") from None
    return value


def kind(value: Any) -> str:
    """What a JSON value is, in words fit for an error."""
    if value is None:
        return "null"
    return _NAMES.get(type(value), f"the number {value}")


class Fields:
    """The members of one JSON object, read by lower-case name and expected type.

    Every reader returns its default for an absent member and for `null`, and raises `ApiError`
    400 for a value of another type.
    """

    def __init__(self, value: Any, what: str) -> None:
        if value is not None and not isinstance(value, dict):
            raise bad_body(f"{what} must be an object, got {kind(value)}")
        self._members: dict[str, Any] = {}
        self._spelled: dict[str, str] = {}
        for key, member in (value or {}).items():
            if member is not None:
                self._members[key.lower()] = member
            self._spelled[key.lower()] = key

    def __iter__(self) -> Iterator[str]:
        return iter(self._spelled)

    def spelled(self, name: str) -> str:
        """The member's name as the caller wrote it."""
        return self._spelled[name]

    def raw(self, name: str) -> Any:
        """The value as it came, None when absent."""
        return self._members.get(name)

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        value = self._members.get(name, default)
        if not isinstance(value, str):
            raise bad_body(f"{name} must be a text, got {kind(value)}")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        value = self._members.get(name, default)
        if not isinstance(value, bool):
            raise bad_body(f"{name} must be true or false, got {kind(value)}")
        return value

    def integer(self, name: str, default: int) -> int:
        """A whole number of 64 bits; 1.0 and 1e3 are refused, as Go does."""
        value = self._members.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value not in INT64:
            raise bad_body(f"{name} must be a whole number of 64 bits, got {kind(value)}")
        return value

    def number(self, name: str, default: float) -> float:
        """Any number."""
        value = self._members.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad_body(f"{name} must be a number, got {kind(value)}")
        return value


def float32(value: float) -> float:
    """A number rounded to 32 bits, as the shortest decimal that rounds to the same.

    Raises `ApiError` 400 for a number that 32 bits cannot hold.
    """
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        raise bad_body(f"toxicity must fit a 32-bit float, got {value}") from None
    rounded: float = struct.unpack("<f", packed)[0]
    texts = (f"{rounded:.{digits}g}" for digits in range(1, 10))
    return next((float(t) for t in texts if struct.pack("<f", float(t)) == packed), rounded)


def plain(value: float) -> float:
    """A number as Go writes it: without a fraction when it has none.

    Beyond 2**53, where a float tells no two neighbours apart, it stays in exponent form.
    """
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return int(value) if whole else value
