"""Settings of the server, by the real server's environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refstack.common.settings import Environment, SettingError

_KNOWN = (
    "QDRANT__SERVICE__API_KEY",
    "QDRANT__SERVICE__ALT_API_KEY",
    "QDRANT__SERVICE__READ_ONLY_API_KEY",
    "QDRANT__SERVICE__JWT_RBAC",
    "QDRANT__SERVICE__MAX_REQUEST_SIZE_MB",
    "QDRANT__STORAGE__STORAGE_PATH",
    "QDRANT__STORAGE__SNAPSHOTS_PATH",
    "QDRANT__TELEMETRY_DISABLED",
)


@dataclass(frozen=True)
class Settings:
    """Keys are None when not set; paths are absolute and exist."""

    storage: Path
    snapshots: Path
    api_key: str | None = field(default=None, repr=False)
    alt_api_key: str | None = field(default=None, repr=False)
    read_only_api_key: str | None = field(default=None, repr=False)
    jwt_rbac: bool = False
    max_request_bytes: int = 32 << 20

    @property
    def protected(self) -> bool:
        """Whether requests need a key."""
        return any((self.api_key, self.alt_api_key, self.read_only_api_key))


def read_settings(environment: Environment, variables: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process. Raises `SettingError`.

    An unknown `QDRANT__` variable is refused: a misspelt key would leave the server open.
    """
    for name in sorted(variables):
        if name.startswith("QDRANT__") and name not in _KNOWN:
            raise SettingError(name, "a value", "nothing: known are " + ", ".join(_KNOWN))
    keys: dict[str, str | None] = {}
    for name in ("API_KEY", "ALT_API_KEY", "READ_ONLY_API_KEY"):
        full = f"QDRANT__SERVICE__{name}"
        keys[name.lower()] = (
            environment.secret(full, shortest=1) if environment.optional(full) else None
        )
    jwt_rbac = environment.flag("QDRANT__SERVICE__JWT_RBAC")
    if jwt_rbac and keys["api_key"] is None:
        raise SettingError(
            "QDRANT__SERVICE__JWT_RBAC", "true", "false unless QDRANT__SERVICE__API_KEY is set"
        )
    paths = {
        name: _directory(environment, f"QDRANT__STORAGE__{name}", default)
        for name, default in (("STORAGE_PATH", "./storage"), ("SNAPSHOTS_PATH", "./snapshots"))
    }
    return Settings(
        storage=paths["STORAGE_PATH"],
        snapshots=paths["SNAPSHOTS_PATH"],
        jwt_rbac=jwt_rbac,
        max_request_bytes=environment.integer(
            "QDRANT__SERVICE__MAX_REQUEST_SIZE_MB", 32, low=1, high=1024
        )
        << 20,
        **keys,
    )


def _directory(environment: Environment, name: str, default: str) -> Path:
    path = Path(environment.text(name, default)).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingError(name, str(path), f"a directory ({error.strerror})") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise SettingError(name, str(path), "a directory that this process may write to")
    return path
