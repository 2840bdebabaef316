"""What a hostile client asks, as data: requests aimed from one namespace at another's document."""

from __future__ import annotations

import base64
import json
import re
import shlex
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from harness.checks.markers import Finder, Leak, Marker, excerpt

_MADE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""An id that the service makes for a document that was written without one."""
_PASSING = ("date", "x-request-id", "connection")


@dataclass(frozen=True)
class Request:
    """One HTTP request as it goes onto the wire: ``target`` is path and query, never normalised.

    ``json`` or ``content`` is the body. A header may be given twice, so they are pairs.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    json: Any = None
    content: bytes | None = None

    @property
    def body(self) -> bytes | None:
        """The bytes of the body, ``None`` without one."""
        if self.content is not None:
            return self.content
        return None if self.json is None else json.dumps(self.json).encode()

    @property
    def sent(self) -> str:
        """All that the request says: what comes back of this alone tells nobody anything."""
        told = (self.body or b"").decode(errors="replace")
        plain = unquote(self.target)
        paths = (self.target, plain, unquote(plain))
        return "\n".join([*paths, *(f"{k}: {v}" for k, v in self.headers), told])

    def curl(self) -> str:
        """A shell line that sends it to ``$EDGE`` with the asker's ``$TOKEN``."""
        parts = ["curl", "-sS", "--path-as-is", "-X", self.method]
        if all(name.lower() != "authorization" for name, _ in self.headers):
            parts += ["-H", "Authorization: Bearer $TOKEN"]
        for name, value in self.headers:
            parts += ["-H", f"{name}: {value}"]
        body = self.body
        if body is not None:
            if all(name.lower() != "content-type" for name, _ in self.headers):
                parts += ["-H", "Content-Type: application/json"]
            parts += ["--data-binary", body.decode(errors="replace")]
        words = [_quoted(part) for part in [*parts, "$EDGE" + self.target]]
        return " ".join(words)


def _quoted(word: str) -> str:
    # The two variables must stay open to the shell.
    if "$TOKEN" in word or "$EDGE" in word:
        kept = word.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`")
        kept = kept.replace("$", "\\$").replace("\\$TOKEN", "$TOKEN").replace("\\$EDGE", "$EDGE")
        return f'"{kept}"'
    return shlex.quote(word)


@dataclass(frozen=True)
class Aim:
    """From whom to whom: a namespace that asks, and a document of another one.

    ``text`` is near to the victim's document; ``word`` and ``keeper`` stand in its text and in its
    metadata. ``own_id`` is a document of the asker, ``barred`` a persona that its token lacks.
    ``trace_id`` was given with a question of the victim's namespace, as its request id and as its
    idempotency key; ``other_cursor`` stands for a page of the victim's list. Both may be empty.
    """

    tenant: str
    persona: str
    own_id: str
    barred: str
    other_tenant: str
    other_persona: str
    document_id: str
    chunk_id: str
    point_id: str
    text: str
    word: str
    keeper: str
    trace_id: str = ""
    other_cursor: str = ""

    @property
    def exact(self) -> str:
        """The whole text of the victim's document."""
        return whole_text(self.text, self.word)

    @property
    def asker(self) -> str:
        """The asking namespace in words."""
        return f"{self.tenant}/{self.persona}"

    def query(self, **changes: Any) -> Request:
        """A query for the victim's text, with these fields of its body changed or added."""
        body = {"query": self.text, "persona": self.persona, "top_k": 10} | changes
        return Request("POST", "/v1/query", json=body)

    def cursor(self, after: str) -> str:
        """A cursor as the gateway makes them, which stands for the page after ``after``."""
        return base64.urlsafe_b64encode(after.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Probe:
    """One thing to try. ``refused`` says that only a client error or a redirect will do.

    ``writes`` marks a probe that may leave a document of the asker's behind.
    """

    name: str
    group: str
    make: Callable[[Aim], Request]
    refused: bool = False
    writes: bool = False


@dataclass(frozen=True)
class Seen:
    """An answer to a probe; ``status`` 0 is none, and ``error`` says why."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""
    error: str = ""
    sent_at: float = field(default=0.0, compare=False)


def judge(probe: Probe, aim: Aim, request: Request, seen: Seen, foreign: Finder) -> list[Leak]:
    """Return what of other namespaces an answer holds.

    Refusals and ids may repeat what the request itself said; content in a success may not.
    """
    found = []
    places = {"body": seen.text} | {f"header {name}": value for name, value in seen.headers}
    for where, text in places.items():
        for marker in foreign.find(text):
            echoed = marker.word.lower() in request.sent.lower()
            if echoed and (marker.part == "id" or not 200 <= seen.status < 300):
                continue
            found.append(leak(probe, aim, request, f"{seen.status}, {where}", text, marker))
    return found


def leak(probe: Probe, aim: Aim, request: Request, where: str, text: str, marker: Marker) -> Leak:
    """Return the leak of ``marker`` in ``text`` as reports show it."""
    return Leak(
        probe=probe.name,
        asker=aim.asker,
        request=request.curl(),
        where=where,
        found=excerpt(text, marker.word),
        whose=marker.whose,
        marker=marker.word,
    )


def odd(probe: Probe, request: Request, seen: Seen) -> str:
    """Return what is wrong with the status of an answer of a healthy target, "" if nothing is."""
    if seen.status == 0:
        return f"{probe.name}: no answer ({seen.error})"
    if seen.status >= 500:
        return f"{probe.name}: {seen.status} {seen.text[:160]}"
    if probe.refused and not 300 <= seen.status < 500:
        return f"{probe.name}: {seen.status} where a refusal was due; {request.curl()}"
    return ""


def whole_text(topic: str, word: str) -> str:
    """Return the text of a document about ``topic`` that is marked by ``word``."""
    return f"{topic} Reference {word}."


def absent_like(word: str) -> str:
    """Return a word that nobody has, of the same shape and length and next to it in any order."""
    last = word[-1]
    other = "0" if last.isdigit() and last != "0" else "1" if last.isdigit() else "g"
    return word[:-1] + ("h" if other == last else other)


def at_nothing(aim: Aim) -> Aim:
    """Return the aim at a document, point and tenant that do not exist, all else the same."""
    point = aim.point_id or str(uuid.UUID(int=0))
    return replace(
        aim,
        other_tenant=absent_like(aim.other_tenant),
        document_id=absent_like(aim.document_id),
        chunk_id=absent_like(aim.chunk_id or "chunk"),
        point_id=f"{point[:-1]}{'0' if point[-1] != '0' else '1'}",
        word=absent_like(aim.word),
        keeper=absent_like(aim.keeper),
        trace_id=absent_like(aim.trace_id) if aim.trace_id else "",
        other_cursor=_absent_cursor(aim) if aim.other_cursor else "",
    )


def _absent_cursor(aim: Aim) -> str:
    """The cursor of nobody's list, next to the victim's in any order if that can be read."""
    padded = aim.other_cursor + "=" * (-len(aim.other_cursor) % 4)
    try:
        return aim.cursor(absent_like(base64.urlsafe_b64decode(padded).decode("ascii")))
    except (ValueError, IndexError):
        return absent_like(aim.other_cursor)


def shape(request: Request, seen: Seen, aim: Aim) -> dict[str, Any]:
    """Return all that an answer tells, without what differs by right: trace, date and the very
    words that were asked for. Scores are rounded to six decimals."""
    try:
        body = json.loads(seen.text)
    except ValueError:
        body = seen.text
    body = _rounded(body)
    if isinstance(body, dict):
        body = {k: v for k, v in body.items() if k not in ("trace_id", "instance")}
    kept = sorted((k.lower(), v) for k, v in seen.headers if k.lower() not in _PASSING)
    text = json.dumps([body, kept], ensure_ascii=False).replace(request.target, "<target>")
    asked = (
        *(aim.other_tenant, aim.document_id, aim.chunk_id, aim.point_id, aim.word, aim.keeper),
        *(aim.trace_id, aim.other_cursor),
    )
    for number, word in enumerate(asked):
        if word:
            text = re.sub(re.escape(word), f"<{number}>", text, flags=re.IGNORECASE)
    if seen.status == 201:
        text = _MADE.sub("<made>", text)
    return {"status": seen.status, "rest": text}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    """Return the request with more headers."""
    more = (*request.headers, *headers.items())
    return Request(request.method, request.target, more, request.json, request.content)


def by_name(probes: Iterable[Probe]) -> dict[str, Probe]:
    """Return the probes by their names.

    Raises:
        ValueError: two have the same name, so that a leak would not say which it was.
    """
    named: dict[str, Probe] = {}
    for probe in probes:
        if probe.name in named:
            raise ValueError(f"two probes are called {probe.name!r}")
        named[probe.name] = probe
    return named
