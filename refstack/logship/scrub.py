"""Takes personal data and secrets out of log lines, and leaves everything else as it is.

Services are not to log such things at all; this is the second wall, for the day one of them does.
Names and addresses of people cannot be told from other words, so fields that are made to hold
what people wrote are replaced whole.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import unquote

import orjson

from refstack.logship import iban

_WRITTEN = frozenset(
    word
    for words in (
        "query queries question prompt text texts document documents content contents body",
        "payload input inputs answer snippet passage passages metadata",
    )
    for word in words.split()
)
_PERSONAL = frozenset(
    ("email", "e_mail", "mail", "phone", "phone_number", "mobile", "iban", "address")
)
_SECRET_WORD = (
    r"(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|service[_-]?key|signing[_-]?key|authorization|cookie|credentials?|jwt|otp)"
)
# Where a word begins within another: after _ or -, at a capital (accessToken), in PGPASSWORD.
_INNER = r"(?:_|-|(?-i:(?<=[a-z0-9])(?=[A-Z]))|(?<=\bPG))"
_SECRET_KEY = re.compile(rf"(?:.*{_INNER})?{_SECRET_WORD}s?", re.IGNORECASE)
_COUNT = re.compile(r"\d{1,7}(?:\.\d+)?|true|false|null|none|yes|no", re.IGNORECASE)

_AT = r"(?:@|%40|\(at\)|\[at\])"
# Without the / = ? and & that an address may have too: in a log they are the URL around it.
_EMAIL = re.compile(
    rf"[\w.!#$'*+^`{{|}}~-]{{0,63}}[\w+-]{_AT}(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W\d_]{{2,}}",
    re.IGNORECASE,
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_USER_INFO = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@:]*:[^\s/@]+@", re.IGNORECASE)
_SCHEME = re.compile(r"\b(bearer|basic)(\s+|%20|\+)([A-Za-z0-9._~+/-]{8,}=*)", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"((?:\b|{_INNER})({_SECRET_WORD})[\"']?\s?([=:]\s?)[\"']?)([^\s\"',;&|)}}\]]{{4,}})",
    re.IGNORECASE,
)
# Names that mean a secret in the query of a URL and nothing of the kind elsewhere.
_IN_QUERY = re.compile(
    r"([?&](?:key|sig|signature|auth|code|sid|session(?:_?id)?"
    r"|x-(?:amz|goog)-(?:signature|credential|security-token))=)([^&#\s\"'<>]{8,})",
    re.IGNORECASE,
)
_KNOWN_SHAPES = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|sk_(?:live|test)_[A-Za-z0-9]{16,}|gh[opsur]_[A-Za-z0-9]{30,}"
    r"|github_pat_[A-Za-z0-9_]{30,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}"
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|hf_[A-Za-z0-9]{30,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})"
)
# What a number is not part of: a word, a path, a fraction, a range, another number.
_BEFORE, _AFTER = r"(?<![\w./#-])", r"(?!\w|[.:/-]\d)"
# Spaces and hyphens that do not break, as people paste them, are spaces and hyphens.
_TYPESET = str.maketrans(
    dict.fromkeys("\u00a0\u2007\u2009\u202f", " ")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
)
_PHONES = tuple(
    re.compile(pattern + _AFTER)
    for pattern in (
        # International, with + or 00: at most 15 digits (E.164). A + within is a form's space.
        r"(?<![\w+])(?:\+|%2B)[1-9](?:[ ./()+-]{0,2}\d){6,14}",
        _BEFORE + r"00[1-9]\d{0,2}(?:[ /+-]|\(0\))(?:[ /+-]?\d){6,12}",
        _BEFORE + r"00[1-9]\d{9,12}",
        # National, with an area code set apart: 030 1234567, (0171) 123 45 67, 0171/1234567.
        _BEFORE + r"\(?0[1-9]\d{1,4}\)?[ /+-]{1,2}\d{3,8}(?:[ +-]\d{2,4}){0,3}",
        # In pairs, as in France: 01 23 45 67 89.
        _BEFORE + r"0[1-9](?:([ .+-])\d\d)(?:\1\d\d){3}",
        # A mobile number written in one go, as in Germany.
        _BEFORE + r"01[5-7]\d{8,9}",
        # North America: (555) 123-4567, 555-123-4567, 555.123.4567.
        _BEFORE + r"\(\d{3}\)[ +]?\d{3}[-. +]\d{4}",
        _BEFORE + r"[2-9]\d{2}([-.])\d{3}\1\d{4}",
    )
)
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_TOKEN_LIKE = re.compile(r"[A-Za-z0-9_-]{16,}")
_DEEPEST = 12
_MOST_ENCODINGS = 3


class Scrubber:
    """Scrubs one line after another and counts, by kind, what it took out.

    `known` holds SHA-256 digests (hex) of secrets of this stack: a random key has no shape by
    which it could be told, and the shipper need not hold the keys to recognise them.
    """

    def __init__(self, known: Collection[str] = ()) -> None:
        self._known = frozenset(known)
        self.taken: Counter[str] = Counter()

    def line(self, raw: str) -> str:
        """The line without what must not be shipped; a JSON object stays one."""
        if raw.startswith("{"):
            try:
                parsed = orjson.loads(raw)
            except ValueError:
                return self.text(raw)
            clean = self._value(parsed, 0)
            return raw if clean == parsed else orjson.dumps(clean).decode()
        return self.text(raw)

    def text(self, text: str) -> str:
        """A text with a mark such as `[email]` in place of each thing that was found.

        What was found in it percent-encoded, as in a URL, leaves the rest of the text decoded.
        """
        decoded = text
        for _ in range(_MOST_ENCODINGS):
            if _ENCODED.search(decoded) is None:
                break
            decoded = unquote(decoded)
            clean = self._plain(decoded)
            if clean != decoded:
                return clean
        return self._plain(text)

    def _plain(self, text: str) -> str:
        if "-----BEGIN" in text:
            text = self._replace(_PRIVATE_KEY, "secret", text)
        if "://" in text:
            text = self._replace(_USER_INFO, "secret", text, lambda m: f"{m[1]}[secret]@")
        if "eyJ" in text:
            text = self._replace(_JWT, "token", text)
        text = self._replace(_SCHEME, "token", text, _scheme)
        text = self._replace(_ASSIGNED, "secret", text, _assigned)
        if "=" in text:
            text = self._replace(_IN_QUERY, "secret", text, lambda m: f"{m[1]}[secret]")
        text = self._replace(_KNOWN_SHAPES, "secret", text)
        if self._known:
            text = self._replace(_TOKEN_LIKE, "secret", text, self._if_known)
        if any(sign in text for sign in ("@", "%40", "(at)", "[at]")):
            text = self._replace(_EMAIL, "email", text)
        for start, end in reversed(iban.spans(text)):
            text = f"{text[:start]}[iban]{text[end:]}"
            self.taken["iban"] += 1
        for pattern in _PHONES:
            text = self._phones(pattern, text)
        return text

    def _phones(self, pattern: re.Pattern[str], text: str) -> str:
        flat = text if text.isascii() else text.translate(_TYPESET)
        if flat == text:
            return self._replace(pattern, "phone", text, _phone)
        for match in reversed(list(pattern.finditer(flat))):
            if _phone(match) != match[0]:
                text = f"{text[: match.start()]}[phone]{text[match.end() :]}"
                self.taken["phone"] += 1
        return text

    def _replace(
        self,
        pattern: re.Pattern[str],
        kind: str,
        text: str,
        put: Callable[[re.Match[str]], str] | None = None,
    ) -> str:
        def replace(match: re.Match[str]) -> str:
            new = put(match) if put else f"[{kind}]"
            self.taken[kind] += new != match[0]
            return new

        return pattern.sub(replace, text)

    def _if_known(self, match: re.Match[str]) -> str:
        digest = hashlib.sha256(match[0].encode()).hexdigest()
        return "[secret]" if digest in self._known else match[0]

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if depth > _DEEPEST:
            # Nobody nests a log line so deeply; what lies there is not looked at, so not shipped.
            return "[too deep]"
        if isinstance(value, dict):
            return {self.text(key): self._field(key, held, depth) for key, held in value.items()}
        if isinstance(value, list):
            return [self._value(each, depth + 1) for each in value]
        return value

    def _field(self, key: str, held: Any, depth: int) -> Any:
        name = key.lower().replace("-", "_")
        if held is None or isinstance(held, bool) or held == "":
            return held
        if name in _PERSONAL:
            self.taken["personal"] += 1
            return "[personal]"
        if _SECRET_KEY.fullmatch(key) and not isinstance(held, int | float):
            self.taken["secret"] += 1
            return "[secret]"
        if name in _WRITTEN and not isinstance(held, int | float):
            self.taken["written"] += 1
            size = len(held)
            return f"[written: {size} {'characters' if isinstance(held, str) else 'items'}]"
        return self._value(held, depth + 1)


def _scheme(match: re.Match[str]) -> str:
    """A word after `basic` or `bearer` is a credential if no word of a sentence looks like it."""
    held = match[3]
    if len(held) < 24 and not any(c.isdigit() for c in held) and not held.endswith("="):
        return match[0]
    return f"{match[1]}{match[2]}[token]"


def _assigned(match: re.Match[str]) -> str:
    """Counts, switches and the words of a sentence are no secrets (`token: 512`, `token: expired`).

    What follows `password` or `secret` always is, since people choose words there.
    """
    held = match[4]
    chosen = match[2].lower().startswith(("pass", "pwd", "secret"))
    word = held.rstrip(".!").isalpha() and len(held) < 16 and match[3] == ": "
    if _COUNT.fullmatch(held) or held.startswith("[") or (word and not chosen):
        return match[0]
    return f"{match[1]}[secret]"


def _phone(match: re.Match[str]) -> str:
    """E.164 allows 15 digits; with fewer than 9 it may as well be a range of hours."""
    return "[phone]" if 9 <= sum(c.isdigit() for c in match[0]) <= 15 else match[0]
