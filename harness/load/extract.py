"""Small facts out of a JSON response, so that a load run can check more than status codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def extract(body: bytes, paths: Mapping[str, str]) -> dict[str, Any]:
    """Return what each dotted path finds in a JSON body; ``None`` for what is not there.

    ``*`` stands for each item of a list and makes the result a list. A body that is no JSON gives
    ``None`` for all.
    """
    try:
        document = json.loads(body)
    except ValueError:
        return dict.fromkeys(paths)
    return {name: _follow(document, path.split(".")) for name, path in paths.items()}


def _follow(value: Any, steps: list[str]) -> Any:
    for position, step in enumerate(steps):
        if step == "*":
            if not isinstance(value, list):
                return None
            return [_follow(item, steps[position + 1 :]) for item in value]
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value
