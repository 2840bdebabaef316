"""The vectors of an embeddings response, in the shapes that are in use."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable
from typing import Any

Change = Callable[[list[float]], list[float]]


def each_vector(answer: Any, change: Change) -> int:
    """Apply `change` to every vector of a parsed answer, in place; how many there were.

    Known are OpenAI's `{"data": [{"embedding": ...}]}` with lists of numbers or base64 of
    little-endian 32-bit floats, and TEI's list of lists.
    """
    if isinstance(answer, dict) and isinstance(answer.get("data"), list):
        entries = [e for e in answer["data"] if isinstance(e, dict)]
        return sum(_change_member(entry, "embedding", change) for entry in entries)
    if isinstance(answer, list):
        return sum(_change_member(answer, place, change) for place in range(len(answer)))
    return 0


def _change_member(holder: Any, key: Any, change: Change) -> bool:
    value = holder.get(key) if isinstance(holder, dict) else holder[key]
    if isinstance(value, list) and value and all(isinstance(n, int | float) for n in value):
        holder[key] = change(value)
        return True
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return False
        if not raw or len(raw) % 4:
            return False
        vector = change(list(struct.unpack(f"<{len(raw) // 4}f", raw)))
        holder[key] = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        return True
    return False
