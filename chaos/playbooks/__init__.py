"""The catalogue of playbooks: the guide's incident procedures as steps that run."""

from __future__ import annotations

import importlib
import pkgutil

from chaos.playbooks.base import (
    PLAYBOOKS,
    Playbook,
    Seen,
    Step,
    nothing_to_undo,
    replaceable,
    restartable,
)

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["PLAYBOOKS", "Playbook", "Seen", "Step", "nothing_to_undo", "replaceable", "restartable"]
