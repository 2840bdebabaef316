"""The toxics: one file each, found by importing this package.

To add one, add a file with a `Stage` subclass decorated with `@register`, and its test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from refstack.faultproxy.body import Fields, plain
from refstack.faultproxy.errors import bad_body
from refstack.faultproxy.toxics.base import Stage

_types: dict[str, type[Stage]] = {}

S = TypeVar("S", bound=type[Stage])


def register(type_name: str, settings_type: type) -> Callable[[S], S]:
    """Make a `Stage` subclass known as a toxic type with these settings."""

    def decorate(stage_type: S) -> S:
        stage_type.type_name = type_name
        stage_type.settings_type = settings_type
        _types[type_name] = stage_type
        return stage_type

    return decorate


def stage_type(type_name: str) -> type[Stage] | None:
    """The stage of a toxic type, None when there is no such type."""
    return _types.get(type_name)


def type_names() -> list[str]:
    """Every known toxic type."""
    return sorted(_types)


def read_settings(settings_type: type, current: Mapping[str, Any], members: Fields) -> Any:
    """Settings of a toxic: the current values with the given attributes merged into them.

    Raises `ApiError` 400 for an unknown name (with the known ones), a value of another type,
    and a value that the toxic refuses (with the allowed range).
    """
    known = {field.name: field for field in fields(settings_type)}
    for name in members:
        if name not in known:
            raise bad_body(
                f"unknown attribute {members.spelled(name)!r}; known: {', '.join(known) or 'none'}"
            )
    values = dict(current)
    for name, field in known.items():
        if members.raw(name) is not None:
            read = members.integer if field.type == "int" else members.number
            values[name] = read(name, 0)
    try:
        return settings_type(**values)
    except ValueError as error:
        raise bad_body(str(error)) from None


def show_settings(settings: Any) -> dict[str, float]:
    """The attributes of a toxic as the API shows them."""
    return {field.name: plain(getattr(settings, field.name)) for field in fields(settings)}


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["read_settings", "register", "show_settings", "stage_type", "type_names"]
