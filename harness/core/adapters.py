"""Loading the adapter that a target file names for a gateway of another API."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from harness.core.errors import UsageError
from harness.core.gateway_api import FEATURES, REFERENCE, GatewayApi

_FORMS = '"package.module:Class", "file.py:Class", or "file.py" with one class of it'
_NEXT = "docs/attach.md shows an adapter; docs/examples/spaces/adapter.py is a whole one"


def resolved(spec: str, base: Path) -> str:
    """Return ``spec`` with a file's path made absolute from ``base``, the target file's place."""
    path, colon, name = spec.rpartition(":") if ".py:" in spec else (spec, "", "")
    return f"{(base / path).resolve()}{colon}{name}" if path.endswith(".py") else spec


def load_api(spec: str) -> GatewayApi:
    """Return the adapter that ``spec`` names; ``""`` is the reference gateway's own API.

    Raises:
        UsageError: it can't be found or imported, or is no whole :class:`GatewayApi`.
    """
    if not spec:
        return REFERENCE
    where, _, name = spec.rpartition(":") if ".py:" in spec or ".py" not in spec else (spec, "", "")
    module = _module(spec, where)
    api = _made(spec, _class(spec, module, name))
    unknown = sorted(set(api.lacks) - set(FEATURES))
    if unknown:
        raise _refused(spec, f"lacks holds {', '.join(unknown)}", f"of {', '.join(FEATURES)}")
    api.spec = spec
    return api


def _module(spec: str, where: str) -> ModuleType:
    if not where:
        raise _refused(spec, repr(spec))
    try:
        return _file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except UsageError:
        raise
    except Exception as error:
        raise _refused(spec, f"importing it gives {type(error).__name__}: {error}") from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise _refused(str(path), "no such file", "a path from the target file's own place")
    # Named by its place, so that two adapter.py of two targets are two modules.
    name = f"ragdrill_adapter_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _class(spec: str, module: ModuleType, name: str) -> type[GatewayApi]:
    own = [
        each
        for each in vars(module).values()
        if inspect.isclass(each)
        and issubclass(each, GatewayApi)
        and each.__module__ == module.__name__
    ]
    if not name:
        if len(own) != 1:
            names = ", ".join(each.__name__ for each in own) or "none"
            raise _refused(
                spec, f"subclasses of GatewayApi in it: {names}", "exactly one, or :Class"
            )
        return own[0]
    found = getattr(module, name, None)
    if found is None:
        names = ", ".join(each.__name__ for each in own) or "no adapter"
        raise _refused(spec, f"it has no {name}; it has {names}")
    if not (inspect.isclass(found) and issubclass(found, GatewayApi)):
        raise _refused(spec, f"{name} is no subclass of harness.core.gateway_api.GatewayApi")
    return found


def _made(spec: str, kind: type[GatewayApi]) -> GatewayApi:
    absent = sorted(getattr(kind, "__abstractmethods__", ()))
    if not isinstance(getattr(kind, "name", None), str):
        absent.append("name")
    if absent:
        raise _refused(spec, f"{kind.__name__} has no {', '.join(absent)}", "call(), said(), name")
    try:
        return kind()
    except Exception as error:
        raise _refused(
            spec, f"{kind.__name__}() gives {type(error).__name__}: {error}", "no arguments"
        ) from error


def _refused(spec: str, actual: str, expected: str = _FORMS) -> UsageError:
    return UsageError(
        f"The gateway's adapter can't be used: roles.gateway.adapter = {spec!r}.",
        expected=expected,
        actual=actual,
        next_step=_NEXT,
    )
