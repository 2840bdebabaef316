"""The colours of the page are readable in light and in dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import reports

CSS = (Path(reports.__file__).parent / "templates" / "page.css").read_text()


def palette(block: int) -> dict[str, tuple[int, int, int]]:
    """Return the colours of the n-th ``:root`` block; the dark one is laid over the light one."""
    found: dict[str, tuple[int, int, int]] = {}
    for body in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[: block + 1]:
        for name, value in re.findall(r"--([\w-]+): #([0-9a-f]{3}|[0-9a-f]{6});", body):
            full = value if len(value) == 6 else "".join(2 * digit for digit in value)
            red, green, blue = (int(full[index : index + 2], 16) for index in (0, 2, 4))
            found[name] = (red, green, blue)
    return found


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """The contrast ratio of WCAG 2.2."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [value / 255 for value in colour]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "raised"])
@pytest.mark.parametrize(
    "ink", ["ink", "soft", "link", "pass", "fail", "error", "inconclusive", "skip"]
)
def test_text_stands_out_from_its_ground(scheme: int, ground: str, ink: str) -> None:
    colours = palette(scheme)
    assert contrast(colours[ink], colours[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["phase-a", "phase-b"])
def test_the_names_of_phases_stand_out(scheme: int, ground: str) -> None:
    colours = palette(scheme)
    assert contrast(colours["soft"], colours[ground]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("bar", ["pass", "fail"])
def test_numbers_in_the_bars_stand_out(scheme: int, bar: str) -> None:
    colours = palette(scheme)
    assert contrast(colours["on-colour"], colours[bar]) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("line", ["line", "objective", "inconclusive", "fail", "pass"])
def test_lines_of_charts_stand_out(scheme: int, line: str) -> None:
    colours = palette(scheme)
    assert contrast(colours[line], colours["paper"]) >= 3.0


def test_both_schemes_name_the_same_colours() -> None:
    light, dark = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
    names = [set(re.findall(r"--([\w-]+): #", block)) for block in (light, dark)]
    assert names[0] == names[1]
