"""The catalogue of faults: one small file each, registered by being here."""

from __future__ import annotations

import importlib
import pkgutil

from chaos.faults.base import FAULTS, Fault, Proof

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["FAULTS", "Fault", "Proof"]
