"""`noop`: lets everything through."""

from __future__ import annotations

from dataclasses import dataclass

from refstack.faultproxy.toxics import register
from refstack.faultproxy.toxics.base import Stage


@dataclass(frozen=True)
class Settings:
    """No attributes."""


@register("noop", Settings)
class Noop(Stage):
    """Takes part in the pipeline and changes nothing."""
