"""International bank account numbers: found by their country's length and their check digits.

Lengths: the IBAN registry of ISO 13616. Check: ISO 7064, modulo 97-10.
"""

from __future__ import annotations

import re

_LENGTHS = {
    name: length
    for length, names in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ DZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for name in names.split()
}
_SEPARATORS = " \u00a0\u2009\u202f\u2011-+"
"""How the groups are set apart: by spaces and hyphens of any width; + is the space of a form."""
_BEGIN = re.compile(
    rf"(?<![A-Za-z0-9])[A-Za-z]{{2}}[0-9]{{2}}(?=[{_SEPARATORS[:-2]}+-]?[A-Za-z0-9])"
)


def spans(text: str) -> list[tuple[int, int]]:
    """Where in a text account numbers stand, printed in groups or not."""
    found = []
    for match in _BEGIN.finditer(text):
        length = _LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        end = _end(text, match.start(), length)
        if end is not None and _checks(text[match.start() : end]):
            found.append((match.start(), end))
    return found


def _end(text: str, start: int, length: int) -> int | None:
    """Where `length` letters and digits from `start` end, with single separators between."""
    count, at, gap = 0, start, False
    while at < len(text) and count < length:
        character = text[at]
        if character.isascii() and character.isalnum():
            count, gap = count + 1, False
        elif character in _SEPARATORS and not gap:
            gap = True
        else:
            return None
        at += 1
    whole = count == length and not (at < len(text) and text[at].isalnum())
    return at if whole else None


def _checks(printed: str) -> bool:
    plain = "".join(c for c in printed if c not in _SEPARATORS).upper()
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1
