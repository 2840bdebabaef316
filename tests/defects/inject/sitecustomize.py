"""Loaded by every Python process of a defect run: breaks a module when it is imported.

Active only while ``RAGDRILL_DEFECT`` names a file of ``tests/defects/catalogue`` and this directory
is on ``PYTHONPATH``; the product knows nothing of either.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path


class _Breaker(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the defect's modules the ordinary way, loads them, hands each to the defect."""

    def __init__(self, defect):
        self.defect = defect
        self.names = [defect.MODULE] if isinstance(defect.MODULE, str) else list(defect.MODULE)
        self.loaders = {}

    def find_spec(self, name, path=None, target=None):
        if name not in self.names or name in self.loaders:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None:
            return None
        self.loaders[name], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec):
        return self.loaders[spec.name].create_module(spec)

    def exec_module(self, module):
        self.loaders[module.__name__].exec_module(module)
        self.defect.patch(module)
        log = os.environ.get("RAGDRILL_DEFECT_LOG")
        if log:
            with Path(log).open("a") as file:
                file.write(f"{os.getpid()} {module.__name__}\n")


def _install():
    name = os.environ.get("RAGDRILL_DEFECT")
    if not name:
        return
    path = Path(__file__).resolve().parents[1] / "catalogue" / f"{name}.py"
    spec = importlib.util.spec_from_file_location("ragdrill_defect", path)
    defect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(defect)
    sys.meta_path.insert(0, _Breaker(defect))


_install()
