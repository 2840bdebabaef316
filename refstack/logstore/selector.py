"""The part of LogQL that is answered: stream selectors, line filters, counts over time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

NANOSECONDS = 1_000_000_000
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_STRING = r'"(?:\\.|[^"\\])*"|`[^`]*`'
_TOKEN = re.compile(
    rf"\s*(?:(?P<string>{_STRING})|(?P<duration>\[\s*(?:\d+(?:ms|[smhdw]))+\s*\])"
    r"|(?P<word>[a-zA-Z_][a-zA-Z0-9_]*)|(?P<op>\|=|!=|\|~|!~|=~|=|[{}(),|]))"
)
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdw])")
RANGE_FUNCTIONS = ("count_over_time", "rate", "bytes_over_time", "bytes_rate")


class QueryError(ValueError):
    """A query that cannot be answered; the text is for its author."""


@dataclass(frozen=True)
class Matcher:
    """One condition on a label, or (with an empty ``label``) on the line."""

    label: str
    operator: str
    value: str

    def holds(self, held: str) -> bool:
        """Whether a text fulfils it; expressions match a whole label, and any part of a line."""
        if self.operator in ("=", "!="):
            return (held == self.value) is (self.operator == "=")
        if self.operator in ("=~", "!~") and self.label:
            return (re.fullmatch(self.value, held) is not None) is (self.operator == "=~")
        if self.operator == "|=":
            return self.value in held
        if self.operator == "not in":
            return self.value not in held
        return (re.search(self.value, held) is not None) is (self.operator == "|~")


@dataclass(frozen=True)
class LogQuery:
    """Which streams, and which of their lines."""

    streams: tuple[Matcher, ...]
    lines: tuple[Matcher, ...]

    def picks(self, labels: Mapping[str, str]) -> bool:
        """Whether a stream with these labels is meant; a label that is not there is empty."""
        return all(matcher.holds(labels.get(matcher.label, "")) for matcher in self.streams)

    def keeps(self, line: str) -> bool:
        """Whether a line passes every filter."""
        return all(matcher.holds(line) for matcher in self.lines)


@dataclass(frozen=True)
class MetricQuery:
    """``function`` over the last ``range_s`` seconds by stream; summed by ``by`` unless None."""

    logs: LogQuery
    function: str
    range_s: float
    by: tuple[str, ...] | None

    def value(self, lines: int, size: int) -> float:
        """The figure of so many lines of so many bytes within the range."""
        amount = size if self.function.startswith("bytes") else lines
        return amount / self.range_s if self.function in ("rate", "bytes_rate") else float(amount)


def parse(text: str) -> LogQuery | MetricQuery:
    """Read a query; raises QueryError, with what is understood, for anything else."""
    parser = _Parser(text)
    found = parser.query()
    parser.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None:
                raise QueryError(f"parse error at {text[at : at + 20]!r}")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            at = match.end()
        self._at = 0

    def query(self) -> LogQuery | MetricQuery:
        if self._peek() == ("op", "{"):
            return self._logs()
        name = self._word("a stream selector or a function over a range")
        if name in RANGE_FUNCTIONS:
            return self._over_range(name, None)
        if name != "sum":
            raise QueryError(
                f"{name!r} is not understood by this stand-in; it knows sum, "
                + ", ".join(RANGE_FUNCTIONS)
            )
        by: tuple[str, ...] = ()
        if self._peek() == ("word", "by"):
            self._at += 1
            by = self._names()
        self._take("(")
        inner = self._over_range(self._word("a function over a range"), by)
        self._take(")")
        if self._peek() == ("word", "by"):
            self._at += 1
            inner = MetricQuery(inner.logs, inner.function, inner.range_s, self._names())
        return inner

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise QueryError(
                f"parse error at {self._tokens[self._at][1]!r}: "
                "this stand-in knows line filters, and no further stages"
            )

    def _over_range(self, function: str, by: tuple[str, ...] | None) -> MetricQuery:
        if function not in RANGE_FUNCTIONS:
            raise QueryError(f"{function!r} is not one of {', '.join(RANGE_FUNCTIONS)}")
        self._take("(")
        logs = self._logs()
        kind, text = self._peek()
        if kind != "duration":
            raise QueryError("a range such as [5m] is missing")
        self._at += 1
        self._take(")")
        seconds = sum(int(n) * _UNITS_S[unit] for n, unit in _DURATION_PART.findall(text))
        return MetricQuery(logs, function, seconds, by)

    def _logs(self) -> LogQuery:
        self._take("{")
        streams = []
        while self._peek() != ("op", "}"):
            label = self._word("a label")
            operator = self._operator(("=", "!=", "=~", "!~"))
            streams.append(Matcher(label, operator, self._string(expression="~" in operator)))
            if self._peek() == ("op", ","):
                self._at += 1
        self._take("}")
        if not any(not m.holds("") for m in streams):
            raise QueryError("a selector needs one matcher at least that empty labels do not meet")
        lines = []
        while self._peek()[1] in ("|=", "!=", "|~", "!~"):
            operator = self._operator(("|=", "!=", "|~", "!~"))
            value = self._string(expression="~" in operator)
            lines.append(Matcher("", "not in" if operator == "!=" else operator, value))
        return LogQuery(tuple(streams), tuple(lines))

    def _names(self) -> tuple[str, ...]:
        self._take("(")
        found = []
        while self._peek() != ("op", ")"):
            found.append(self._word("a label"))
            if self._peek() == ("op", ","):
                self._at += 1
        self._take(")")
        return tuple(found)

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self, wanted: str, fits: Callable[[tuple[str, str]], bool]) -> str:
        token = self._peek()
        if not fits(token):
            raise QueryError(f"parse error: {wanted} expected, {token[1] or 'the end'!r} found")
        self._at += 1
        return token[1]

    def _take(self, sign: str) -> None:
        self._next(repr(sign), lambda token: token == ("op", sign))

    def _word(self, wanted: str) -> str:
        return self._next(wanted, lambda token: token[0] == "word")

    def _operator(self, allowed: tuple[str, ...]) -> str:
        return self._next(" or ".join(allowed), lambda token: token[1] in allowed)

    def _string(self, *, expression: bool) -> str:
        raw = self._next("a string", lambda token: token[0] == "string")
        try:
            value = raw[1:-1] if raw.startswith("`") else str(json.loads(raw))
            if expression:
                re.compile(value)
        except (ValueError, re.error) as error:
            raise QueryError(f"{raw} cannot be read: {error}") from None
        return value
