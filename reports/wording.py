"""Turns numbers, times and untrusted text into the words that every report shares."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

LONGEST = 2000
"""Characters of one value that a report shows; the whole value stays in ``run.jsonl``."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
# Control characters, direction overrides and lone surrogates: invalid in XML, or able to make a
# line of a report read as something that it does not say.
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NONCHARACTERS = re.compile("[\ufffe\uffff]")

_SECONDS = frozenset({"s", "sec", "second", "seconds"})
_SHARES = frozenset({"share", "ratio", "fraction", "proportion"})
_BYTES = frozenset({"b", "byte", "bytes"})
_COUNTS = frozenset({"", "1", "count"})


def plain(text: str) -> str:
    """Return ``text`` without terminal escapes and with every unprintable character visible."""
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _NONCHARACTERS.sub("\ufffd", _UNSAFE.sub("\ufffd", text))


def value_text(value: object, longest: int = LONGEST) -> str:
    """Return any recorded value as text of at most about ``longest`` characters."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool) or value is None:
        text = {True: "yes", False: "no", None: "none"}[value]
    elif isinstance(value, int | float):
        # As recorded, without separators: it may be a status, a port or a seed.
        text = f"{value:.12g}" if isinstance(value, float) else str(value)
    elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        text = ", ".join(value)
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return shorten(plain(text), longest)


def shorten(text: str, longest: int) -> str:
    """Return ``text``, cut with a remark that says how much is missing if it is too long.

    What is shorter than the remark is not cut: a reader gains nothing by it.
    """
    remark = f" … ({len(text) - longest:,} more characters in run.jsonl)"
    return text if len(text) <= longest + len(remark) else text[:longest] + remark


def number(value: float, digits: int = 4) -> str:
    """Return ``value`` with at most ``digits`` significant digits, integers whole."""
    if math.isnan(value):
        return "not a number"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 10 ** max(digits, 9):
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 1e15 or abs(value) < 1e-9:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def quantity(value: object, unit: str, digits: int = 4) -> str:
    """Return ``value`` in ``unit`` as a person would write it: 0.2143 s is ``214.3 ms``."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value_text(value, 80)
    if not math.isfinite(value):
        return number(value)
    kind = unit.strip().lower()
    if kind in _SECONDS:
        return duration(value, digits)
    if kind in _SHARES:
        return _percent(value, digits)
    if kind in _BYTES:
        return _bytes(value, digits)
    if kind in _COUNTS:
        return number(value, digits)
    return f"{number(value, digits)} {plain(unit)}"


def quantity_beside(value: object, other: object, unit: str) -> str:
    """Return ``value`` with digits enough that it never reads the same as a different ``other``."""
    for digits in range(4, 13):
        text = quantity(value, unit, digits)
        if value == other or text != quantity(other, unit, digits):
            return text
    return quantity(value, unit, 15)


def duration(seconds: float, digits: int = 4) -> str:
    """Return a length of time: ``214.3 ms``, ``12.4 s``, ``56 min 52 s``, ``3 h 20 min``."""
    if not math.isfinite(seconds):
        return number(seconds)
    size, sign = abs(seconds), "−" if seconds < 0 else ""
    if size == 0:
        return "0 s"
    if size < 0.001:
        return f"{sign}{number(size * 1e6, digits)} µs"
    if size < 1:
        return f"{sign}{number(size * 1e3, digits)} ms"
    if size < 120:
        return f"{sign}{number(size, digits)} s"
    rounded = round(size, max(0, digits - 4))
    hours, rest = divmod(rounded, 3600)
    minutes, left = divmod(rest, 60)
    parts = [f"{int(hours)} h"] if hours else []
    parts += [f"{int(minutes)} min"] if minutes else []
    parts += [f"{number(left, digits)} s"] if round(left, 9) else []
    return sign + " ".join(parts)


def offset(seconds: float) -> str:
    """Return a moment relative to another: ``+84.2 s``, ``−30 s``."""
    text = duration(round(seconds, 1) + 0.0)
    return text if text.startswith("−") else f"+{text}"


def utc(t: float) -> str:
    """Return UTC seconds as ``2026-11-22 11:20:25 UTC``."""
    try:
        return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{t!r} s since 1970"


def many(count: int, one: str, more: str | None = None) -> str:
    """Return ``1 case`` or ``3 cases``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def _percent(share: float, digits: int) -> str:
    percent = share * 100
    # A share close to one differs from it in the nines: 99.951 % must not read 99.95 %.
    gap = abs(100 - percent)
    if percent and 0 < gap < 1:
        decimals = min(12, digits - 3 - math.floor(math.log10(gap)))
        return f"{percent:.{max(decimals, 2)}f}".rstrip("0").rstrip(".") + " %"
    return f"{number(percent, digits)} %"


def _bytes(size: float, digits: int) -> str:
    for name in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{number(size, digits)} {name}"
        size /= 1024
    return f"{number(size, digits)} TiB"
