"""The shipped alert rules, and copies with shortened windows: durations alone change."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.core.errors import UsageError
from harness.drivers.embedded.places import CONFIG

# Prometheus needs two samples for a rate; with four, one late scrape does not blind a rule.
LEAST_WINDOW_S = 4.0

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdw]))+")
_PART = re.compile(r"(\d+)(ms|[smhdw])")
# A string literal (left alone), or a range or subquery selector.
_SELECTOR = re.compile(
    r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|\[\s*([0-9a-z]+)\s*(?::\s*([0-9a-z]*)\s*)?\]"""
)


def shipped_rules() -> dict[str, str]:
    """The text of each shipped rule file by its name."""
    return _texts("rules")


def shipped_rule_tests() -> dict[str, str]:
    """The text of each shipped unit test of the rules by its name, as promtool reads them."""
    return _texts("tests")


def _texts(folder: str) -> dict[str, str]:
    return {
        path.name: path.read_text()
        for path in sorted((CONFIG / "prometheus" / folder).glob("*.yml"))
    }


def milliseconds(duration: str) -> int:
    """Read a duration as Prometheus writes it (``1h30m``); raises ValueError for anything else."""
    if not _DURATION.fullmatch(duration):
        raise ValueError(f"{duration!r} is no duration such as 90s, 5m or 1h30m")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(duration))


def scaled(duration: str, scale: float) -> str:
    """A duration divided by ``scale``, rounded to the millisecond and never below one."""
    shortened = max(1, round(milliseconds(duration) / scale))
    return f"{shortened // 1000}s" if shortened % 1000 == 0 else f"{shortened}ms"


def scale_expression(expression: str, scale: float) -> str:
    """Divide the windows in square brackets; everything else stays as it is.

    Raises UsageError when a window would get too short to hold samples one second apart.
    """

    def replace(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[0]
        window = scaled(match[2], scale)
        if milliseconds(window) < LEAST_WINDOW_S * 1000:
            longest = milliseconds(match[2]) / 1000 / LEAST_WINDOW_S
            raise UsageError(
                f"A window of {match[2]} cannot be shortened {scale:g} times.",
                expected=f"--time-scale of at most {longest:g}, which leaves "
                f"{LEAST_WINDOW_S:g} s for samples one second apart",
                actual=f"{window} in: {expression}",
            )
        if match[3] is None:
            return f"[{window}]"
        return f"[{window}:{scaled(match[3], scale) if match[3] else ''}]"

    return _SELECTOR.sub(replace, expression)


def scale_rules(text: str, scale: float) -> str:
    """A rule file with the windows and the ``for`` of every rule divided by ``scale``."""
    if scale == 1:
        return text
    document: dict[str, Any] = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = scale_expression(rule["expr"], scale)
            for waiting in ("for", "keep_firing_for"):
                if waiting in rule:
                    rule[waiting] = scaled(rule[waiting], scale)
    return yaml.safe_dump(document, sort_keys=False, width=1000)
