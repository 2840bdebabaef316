"""What a watchdog calls in tests: undoing that can be counted, and undoing that fails at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def note(order: dict[str, Any]) -> dict[str, Any]:
    """Write the order's name to its file; fail as often as the order says, before that."""
    path = Path(order["file"])
    tries = path.with_suffix(".tries")
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (count + 1))
    if count < order.get("fails", 0):
        raise OSError("not yet")
    with path.open("a") as file:
        file.write(f"{order['name']}\n")
    return {"healed": True, "seen": {}}
