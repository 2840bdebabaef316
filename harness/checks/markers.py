"""Marker words that tell whose content a text holds, in the clear or encoded."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

_PLAIN = re.compile(r"mark[0-9a-f]{16}")
_AROUND = 70
_KEPT = re.compile(r'"\w{1,24}":')


@dataclass(frozen=True)
class Marker:
    """A word of one ``part`` (text, metadata or id) of one document, found nowhere else."""

    word: str
    tenant: str
    persona: str
    document_id: str
    part: str

    @property
    def whose(self) -> str:
        """The origin in words."""
        if not self.document_id:
            return f"{self.tenant}, its name" if self.part in ("id", "name") else self.tenant
        return f"{self.tenant}/{self.persona}, {self.part} of {self.document_id}"


def new_word() -> str:
    """Return an unguessable marker word of 20 letters and digits (64 random bits)."""
    return f"mark{secrets.token_hex(8)}"


class Finder:
    """Finds markers in any text: in any case, as base64 of either alphabet, or as hex."""

    def __init__(self, markers: Iterable[Marker]) -> None:
        self._markers = tuple(markers)
        self._words = {marker.word: marker for marker in self._markers}
        # Words of another shape (ids) are looked for one by one.
        self._others = [m for m in self._markers if not _PLAIN.fullmatch(m.word)]
        self._encoded = [(form, m) for m in self._markers for form in encodings(m.word)]

    def find(self, text: str) -> list[Marker]:
        """Return each marker that the text holds, once, in the order they were given."""
        lowered = text.lower()
        seen = {self._words[word] for word in _PLAIN.findall(lowered) if word in self._words}
        seen |= {marker for marker in self._others if marker.word.lower() in lowered}
        seen |= {marker for form, marker in self._encoded if form in text}
        return [marker for marker in self._markers if marker in seen]


def encodings(word: str) -> tuple[str, ...]:
    """Return what of ``word`` stands in its base64 at each of the three alignments, and its hex."""
    raw, forms = word.encode(), [word.encode().hex()]
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        # The first and last characters depend on what stands beside the word.
        whole = coded[-(-8 * shift // 6) : 8 * (shift + len(raw)) // 6]
        forms += {whole, whole.translate(str.maketrans("+/", "-_"))}
    return tuple(forms)


def excerpt(text: str, word: str) -> str:
    """Return what stands around ``word``, with every other word but JSON keys blacked out.

    An encoded marker is not shown in its place: then the excerpt says so.
    """
    at = text.lower().find(word.lower())
    if at < 0:
        return f"(encoded) {word}"
    before = text[max(0, at - _AROUND) : at]
    after = text[at + len(word) : at + len(word) + _AROUND]
    return f"{_blacked(before)}{text[at : at + len(word)]}{_blacked(after)}"


def _blacked(text: str) -> str:
    kept: list[str] = []
    end = 0
    for key in _KEPT.finditer(text):
        kept += [re.sub(r"\w+", "···", text[end : key.start()]), key.group()]
        end = key.end()
    return "".join(kept) + re.sub(r"\w+", "···", text[end:])


@dataclass(frozen=True)
class Leak:
    """Foreign content in an answer: what was asked by whom, what came back, and whose it is."""

    probe: str
    asker: str
    request: str
    where: str
    found: str
    whose: str
    marker: str = ""

    def as_json(self) -> dict[str, str]:
        """The leak as evidence keeps it and reports show it."""
        return dict(vars(self))

    def __str__(self) -> str:
        return f"{self.probe} by {self.asker}: {self.where} holds {self.found} of {self.whose}"
