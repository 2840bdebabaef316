"""What an operator of a target has at hand: addresses and keys, as the day-two scripts read them.

The variables are those of ``scripts/README.md``.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import TargetError
from harness.core.run import CHECKOUT
from harness.drivers.base import Replace, Restart, Stack

SCRIPT_S = 300.0
"""How long a script may take where nobody says otherwise."""

STATE_NAME = "stack.json"
"""The file of the stack's scratch directory by which another process of the run finds it."""

STABLE_MODEL = "wordllama-256"
"""The embedding model that the reference stack is deployed with."""

_LINKS = {
    "vectordb": "operator-vectordb",
    "objectstore": "operator-objectstore",
    "metadata": "operator-metadata",
}

TARGET_VARIABLES = (
    *("QDRANT_URL", "QDRANT_API_KEY", "S3_ENDPOINT_URL", "BACKUP_BUCKET", "DATABASE_URL"),
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_SESSION_TOKEN"),
    *("GATEWAY_URL", "AUTH_URL", "AUTH_SERVICE_KEY", "PROMETHEUS_URL", "ALERTMANAGER_URL"),
    *("CHAT_WEBHOOK_URL", "PAGER_WEBHOOK_URL", "STOP_WRITERS_CMD", "START_WRITERS_CMD"),
    *("REINDEX_CMD", "ROLL_GATEWAY_CMD"),
    *("GATEWAY_URLS", "JWT_KEYS_FILE", "JWT_KEYS_APPLY_CMD", "JWT_ISSUER", "JWT_AUDIENCE"),
    *("KEY_REGISTER", "PROVIDER_URL", "PROVIDER_MODEL", "PROVIDER_KEY_FILE", "NEW_PROVIDER_KEY"),
    *("PROVIDER_KEY_NAME", "PROVIDER_KEY_APPLY_CMD", "PROVIDER_KEY_DROP_CMD"),
)
"""What names a target: never taken over from whoever runs the harness."""


def from_here(stack: Stack, url: str) -> str:
    """An address as a part of the target knows it, as this machine reaches it.

    They differ where the parts have a network of their own.
    """
    translate: Callable[[str], str] | None = getattr(stack, "from_here", None)
    return url if translate is None else translate(url)


def target_environment(stack: Stack) -> dict[str, str]:
    """Return the scripts' variables for this target; what it has no role for is left out.

    Stores are named by the operator's links where the target has them, so that a fault on such a
    link meets the script.
    """
    links = {link.name: link.url for link in stack.links()}
    roles = stack.roles()

    def url(role: str) -> str:
        return links.get(_LINKS.get(role, ""), stack.endpoint(role).url)

    found: dict[str, str] = {"TMPDIR": str(stack.scratch), "PYTHON": sys.executable}
    if "vectordb" in roles:
        found["QDRANT_URL"] = url("vectordb")
        found["QDRANT_API_KEY"] = stack.credentials("vectordb").get("api_key", "")
    if "objectstore" in roles:
        keys = stack.credentials("objectstore")
        found["S3_ENDPOINT_URL"] = url("objectstore")
        found["AWS_ACCESS_KEY_ID"] = keys.get("access_key", "")
        found["AWS_SECRET_ACCESS_KEY"] = keys.get("secret_key", "")
        found["BACKUP_BUCKET"] = keys.get("bucket", "rag-backups")
    if "metadata" in roles:
        dsns = stack.credentials("metadata")
        found["DATABASE_URL"] = dsns.get("operator_dsn") or dsns["admin_dsn"]
    if "edge" in roles or "gateway" in roles:
        found["GATEWAY_URL"] = stack.endpoint("edge" if "edge" in roles else "gateway").url
    if "auth" in roles:
        found["AUTH_URL"] = stack.endpoint("auth").url
        found["AUTH_SERVICE_KEY"] = stack.credentials("auth").get("service_key", "")
    if "metrics" in roles:
        found["PROMETHEUS_URL"] = stack.endpoint("metrics").url
    if "alerts" in roles:
        found["ALERTMANAGER_URL"] = stack.endpoint("alerts").url
    found |= _writers(stack) | _reindex(stack) | _roll(stack)
    if "pager" in roles:
        found["CHAT_WEBHOOK_URL"] = stack.endpoint("pager").url + "/chat"
        found["PAGER_WEBHOOK_URL"] = stack.endpoint("pager").url + "/solo-ops"
    return found


def _writers(stack: Stack) -> dict[str, str]:
    """How everything that writes to the stores is ended and begun again."""
    writers = [role for role in ("gateway", "auth") if role in stack.roles()]
    if not isinstance(stack, Restart) or not writers:
        return {}
    control = [sys.executable, "-m", "harness.drivers.control"]
    control.append(f"--state={stack.scratch / STATE_NAME}")
    return {
        "STOP_WRITERS_CMD": shlex.join([*control, "stop", *writers]),
        "START_WRITERS_CMD": shlex.join([*control, "start", *reversed(writers)]),
    }


def _reindex(stack: Stack) -> dict[str, str]:
    """How the reference gateway's vector store is made to follow the metadata store.

    Only for a target of ours: an attached one has a command of its own, if any.
    """
    if not {"vectordb", "metadata", "embed"} <= set(stack.roles()) or not stack.links():
        return {}
    return {
        "REINDEX_CMD": shlex.join([sys.executable, "-m", "refstack.gateway.reindex"]),
        "REINDEX_DATABASE_URL": stack.credentials("metadata")["admin_dsn"],
        "REINDEX_VECTORDB_URL": stack.endpoint("vectordb").url,
        "REINDEX_VECTORDB_API_KEY": stack.credentials("vectordb")["api_key"],
        "REINDEX_EMBED_URL": stack.endpoint("embed").url,
        "REINDEX_EMBED_API_KEY": stack.credentials("embed")["api_key"],
        "REINDEX_EMBED_MODEL": STABLE_MODEL,
    }


def _roll(stack: Stack) -> dict[str, str]:
    """How the gateway is rolled to other settings."""
    if not isinstance(stack, Replace) or "gateway" not in stack.roles():
        return {}
    roll = [sys.executable, "-m", "harness.drivers.roll"]
    return {"ROLL_GATEWAY_CMD": shlex.join([*roll, f"--state={stack.scratch / STATE_NAME}"])}


def process_environment(target: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with the target's laid over it, proxies taken out.

    What the caller has for another target must not reach the script; all else must.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in TARGET_VARIABLES and not name.lower().endswith("_proxy")
    }
    return {**own, **target}


def script_command(name: str, *arguments: str) -> list[str]:
    """Return how ``scripts/<name>`` is started: Python files by this interpreter.

    Raises:
        TargetError: there is no such script.
    """
    path = CHECKOUT / "scripts" / name
    if not path.is_file():
        raise TargetError(f"There is no script scripts/{name}.", expected="a file of scripts/")
    return [*([sys.executable] if path.suffix == ".py" else []), str(path), *arguments]


@dataclass(frozen=True)
class ScriptEnd:
    """How a script ended: ``last`` is stdout's last JSON object, ``told`` the end of stderr."""

    name: str
    exit_code: int
    last: dict[str, Any]
    told: str


def run_script(
    stack: Stack, name: str, *arguments: str, timeout_s: float = SCRIPT_S, **more: str
) -> ScriptEnd:
    """Run ``scripts/<name>`` against a target to its end; ``more`` are further variables.

    Raises:
        TargetError: there is no such script, or it did not end in time and was killed.
    """
    command = script_command(name, *arguments)
    process = subprocess.Popen(
        command,
        cwd=CHECKOUT,
        env=process_environment(target_environment(stack) | more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        raise TargetError(
            f"The script {Path(name).name} did not end.",
            expected=f"an end within {timeout_s:.0f} s",
            next_step="run it by hand and watch what it waits for",
        ) from None
    return ScriptEnd(name, process.returncode, _last_object(stdout), stderr.strip()[-800:])


def _last_object(stdout: str) -> dict[str, Any]:
    for line in reversed(stdout.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            return entry
    return {}
