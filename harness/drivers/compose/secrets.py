"""The secrets of a run's project: the operator's where they are set, else random ones."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping

from harness.core.target import TargetFile
from harness.drivers.compose.state import ENVIRONMENT
from harness.drivers.embedded.postgres import ADMIN
from harness.drivers.embedded.services import new_signing_key

# What a role's secret is called elsewhere: (role, key of the target file) to name.
_NAMES = {
    ("vectordb", "api_key"): "vectordb_api_key",
    ("vectordb", "read_only_api_key"): "vectordb_read_only_api_key",
    ("metadata", "api_key"): f"{ADMIN}_password",
    ("objectstore", "access_key"): "objectstore_access_key",
    ("objectstore", "secret_key"): "objectstore_secret_key",
    ("auth", "api_key"): "auth_service_key",
    ("auth", "jwt_keys"): "auth_jwt_keys",
    ("embed", "api_key"): "embed_api_key",
    ("fallback", "api_key"): "fallback_api_key",
    ("rerank", "api_key"): "rerank_api_key",
}
_KEYS = ("api_key", "read_only_api_key", "access_key", "secret_key", "jwt_keys")


def make(target: TargetFile, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the secrets by name, and each variable of the project under ``environment NAME``."""
    by_variable: dict[str, str] = {}

    def value(variable: str, *, signing: bool = False) -> str:
        if variable not in by_variable:
            random = json.dumps([new_signing_key()]) if signing else secrets.token_hex(20)
            by_variable[variable] = environ.get(variable) or random
        return by_variable[variable]

    found = dict.fromkeys(_NAMES.values(), "")
    for role, section in target.roles.items():
        for key in _KEYS:
            variable = getattr(section, f"{key}_env")
            if variable:
                name = _NAMES.get((role, key), f"{role}_{key}")
                found[name] = value(variable, signing=key == "jwt_keys")
    if target.compose is not None:
        for role, variable in target.compose.logins.items():
            found[f"{role}_password"] = value(variable)
        for variable in target.compose.generate:
            value(variable)
    # Who gives no read-only key lets the harness look with the other one.
    found["vectordb_read_only_api_key"] = (
        found["vectordb_read_only_api_key"] or found["vectordb_api_key"]
    )
    for role in ("rag_gateway", "rag_auth"):
        found.setdefault(f"{role}_password", "")
    return found | {ENVIRONMENT + name: each for name, each in by_variable.items()}
