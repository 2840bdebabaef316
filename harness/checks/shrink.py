"""Shrinks what fails to the least that still fails: delta debugging.

After Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002), ddmin.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def ddmin(
    items: Sequence[T],
    fails: Callable[[list[T]], bool],
    may_try: Callable[[], bool] = lambda: True,
) -> list[T]:
    """Return a part of ``items``, in their order, that still fails.

    ``items`` as a whole are known to fail. ``fails`` tries a part of them; it is asked while
    ``may_try`` says yes. If it says yes to the end, leaving any one item out of what is returned
    makes it pass, as far as trying shows.
    """
    left, parts = list(items), 2
    while len(left) >= 2:
        found = _smaller(left, parts, fails, may_try)
        if found is None:
            if not may_try() or parts >= len(left):
                break
            parts = min(len(left), 2 * parts)
            continue
        smaller, was_part = found
        left, parts = smaller, 2 if was_part else max(parts - 1, 2)
    return left


def _smaller(
    items: list[T], parts: int, fails: Callable[[list[T]], bool], may_try: Callable[[], bool]
) -> tuple[list[T], bool] | None:
    """Return the first part that fails alone, or else the first rest; whether it is a part."""
    bounds = [round(number * len(items) / parts) for number in range(parts + 1)]
    slices = list(itertools.pairwise(bounds))
    for low, high in slices:
        if not may_try():
            return None
        if fails(items[low:high]):
            return items[low:high], True
    # With two parts the rests are the parts once more.
    for low, high in slices if parts > 2 else ():
        if not may_try():
            return None
        rest = items[:low] + items[high:]
        if fails(rest):
            return rest, False
    return None
