"""A stack that runs already: addresses from the target file, control by the operator's commands."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import minio
import psycopg
from urllib3.exceptions import HTTPError

from harness.core.errors import NotAllowed, TargetError, UsageError
from harness.core.gateway_api import GatewayApi
from harness.core.run import Run
from harness.core.target import ControlSection, TargetFile
from harness.drivers import adapted, challenge
from harness.drivers.base import Component, Credentials, Endpoint, Link

COMMAND_TIMEOUT_S = 300.0
_PROBE_S = 5.0
_ON_STORES = ("auth", "gateway", "edge")
"""What can't be ready while a store is lost."""

# What is asked of a role to see that it answers, and with its credential where there is one.
_PROBES: dict[str, tuple[str, str]] = {
    "vectordb": ("/collections", "api-key"),
    "gateway": ("/readyz", ""),
    "edge": ("/readyz", ""),
    "embed": ("/v1/models", "Authorization"),
    "fallback": ("/v1/models", "Authorization"),
    "rerank": ("/readyz", ""),
    "auth": ("/admin/users", "Authorization"),
    "metrics": ("/-/ready", ""),
    "alerts": ("/-/ready", ""),
    "pager": ("/readyz", ""),
    "exporter": ("/readyz", ""),
    "faultproxy": ("/version", ""),
    "logs": ("/ready", ""),
    "logship": ("/readyz", ""),
    "gpu": ("/metrics", ""),
}

# Where a role tells its version, if not in its health.
_VERSIONS = {
    "vectordb": "/",
    "metrics": "/api/v1/status/buildinfo",
    "alerts": "/api/v2/status",
    "faultproxy": "/version",
}


class AttachedStack:
    """The operator's own target. Nothing of it is started, and by default it is only read."""

    def __init__(self, run_id: str, scratch: Path, target: TargetFile) -> None:
        self.run_id, self.scratch, self._target = run_id, scratch, target
        self.name = target.target.name
        self.allow = frozenset(target.target.allow or ("read",))

    @classmethod
    def for_run(
        cls, run: Run, target: TargetFile, progress: Callable[[str], None]
    ) -> AttachedStack:
        """Return the target of a run, with control where the file gives commands.

        Raises:
            UsageError: no roles are given, a secret is missing from the environment, or the file
                allows to harm a production target.
        """
        if not target.roles:
            raise UsageError(
                "Nothing to attach to.",
                expected='[roles.<role>] with a url in the target file, at least for "gateway"',
                actual="no roles",
                next_step='leave driver = "attach" away to boot the reference stack',
            )
        challenge.refuse_production(target)
        stack = attached(run.run_id, run.scratch, target)
        for role in target.roles:
            stack.credentials(role)
        state = {"run_id": run.run_id, "target": target.model_dump(mode="json")}
        run.state_file.write_text(json.dumps(state))
        return stack

    @classmethod
    def attach(cls, state_file: Path) -> AttachedStack:
        """Return the same target in another process of the run."""
        state = json.loads(state_file.read_text())
        target = TargetFile.model_validate(state["target"])
        return attached(state["run_id"], state_file.parent, target)

    def up(self) -> None:
        """Ask every role once, and for the challenge where the target may be harmed.

        A drill that is resumed after its disaster finds the stores gone, and what rests on them
        not ready: these are asked once they are restored.

        Raises:
            TargetError: names the role, its address and what came.
        """
        lost = challenge.wiped_by_the_drill(self._target)
        for role in self._target.roles:
            if lost and role in lost.union(_ON_STORES):
                continue
            problem = self.problem(role)
            if problem:
                raise TargetError(
                    f"The role {role!r} of the target {self.name!r} can't be used.",
                    expected=f"an answer from {self._target.roles[role].url}",
                    actual=problem,
                    next_step=f"check roles.{role} in the target file and the secret it names",
                )
        challenge.require_answer(self, self._target)

    def down(self) -> None:
        """Nothing was started."""

    @property
    def gateway_api(self) -> GatewayApi:
        """The API that the target file's adapter speaks, or the reference gateway's."""
        return self._target.gateway_api

    def roles(self) -> tuple[str, ...]:
        """The roles of the target file; without an edge the gateway serves as one."""
        given = tuple(self._target.roles)
        return (*given, "edge") if "gateway" in given and "edge" not in given else given

    def endpoint(self, role: str) -> Endpoint:
        """The address in the target file."""
        wanted = "gateway" if role == "edge" and "edge" not in self._target.roles else role
        section = self._target.roles.get(wanted)
        if section is None:
            raise TargetError(
                f"The target {self.name!r} has no role {role!r}.",
                expected=", ".join(self.roles()),
                actual=role,
            )
        parts = urlsplit(section.url)
        port = parts.port or {"https": 443, "postgresql": 5432}.get(parts.scheme, 80)
        return Endpoint(role, section.url.rstrip("/"), parts.hostname or "", port)

    def ready(self, role: str, timeout_s: float = 30.0) -> None:
        """Return once the role answers."""
        deadline = time.monotonic() + timeout_s
        while (problem := self.problem(role)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if problem:
            raise TargetError(
                f"The role {role!r} is not ready.",
                expected=f"an answer within {timeout_s:.0f} s",
                actual=problem,
            )

    def logs(self, role: str, tail: int | None = None) -> str:
        """Raises NotAllowed: logs of an attached target are not ours to read."""
        raise NotAllowed("The logs of an attached target can't be read.", actual=role)

    def components(self) -> tuple[Component, ...]:
        """Each role with the version it reports over HTTP, or ``unknown``.

        What says of itself that it stands in for another product is marked as a stand-in.
        """
        return tuple(Component(role, *self._version(role)) for role in self._target.roles)

    def credentials(self, role: str) -> Credentials:
        """The secrets that the target file takes from the environment."""
        section = self._target.roles.get(role)
        if section is None:
            return {}
        key = self._target.secret(role, "api_key")
        if role == "metadata":
            parts = urlsplit(section.url)
            login = f"{parts.username or 'postgres'}:{quote(key, safe='')}@" if key else ""
            host = parts.netloc.rpartition("@")[2]
            return {"admin_dsn": parts._replace(netloc=login + host).geturl()}
        found = {
            "service_key" if role == "auth" else "api_key": key,
            "access_key": self._target.secret(role, "access_key"),
            "secret_key": self._target.secret(role, "secret_key"),
            "bucket": section.bucket,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def scripts(self) -> Mapping[str, str]:
        """The operator's own commands (``[scripts]`` of the target file), by name."""
        return self._target.scripts

    @property
    def challenge_mark(self) -> str:
        """What tells this target's challenge from another's, without giving it away."""
        return challenge.mark(self._target)

    def links(self) -> tuple[Link, ...]:
        """None: there is no fault proxy of ours on the links of an attached target."""
        return ()

    def protects(self, role: str) -> bool:
        """Whether the role has a credential of ours that :meth:`problem` shows it."""
        if role == "metadata":
            return self._target.secret(role, "api_key") is not None
        if role == "objectstore":
            return self._target.secret(role, "access_key") is not None
        section = self._target.roles.get(role)
        if section is not None and section.health:
            # A path of the operator's choice may well be open to everybody.
            return False
        return bool(_PROBES.get(role, ("", ""))[1] and self._key(role))

    def problem(self, role: str, *, anonymous: bool = False) -> str:
        """Return what is wrong with a role, or an empty string; ``anonymous``: as a stranger."""
        if role == "metadata":
            dsn = self._target.roles[role].url if anonymous else self.credentials(role)["admin_dsn"]
            try:
                psycopg.connect(dsn, connect_timeout=5).close()
            except psycopg.Error as error:
                return str(error).strip()
            return ""
        if role in ("gateway", "edge") and self.gateway_api.spec:
            return adapted.problem(self.endpoint(role).url, self.gateway_api)
        path, header = _PROBES.get(role, ("/", ""))
        section = self._target.roles.get(role)
        path = (section.health if section else None) or path
        key = "" if anonymous else self._key(role)
        value = f"Bearer {key}" if header == "Authorization" else key
        try:
            response = httpx.get(
                self.endpoint(role).url + path,
                headers={header: value} if header and key else {},
                timeout=_PROBE_S,
                trust_env=False,
            )
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        if role == "objectstore":
            return self._bucket_problem(anonymous)
        if response.status_code in (401, 403):
            return f"{response.status_code} for {path}: the credential is missing or wrong"
        return "" if response.status_code < 400 else f"{response.status_code} for {path}"

    def _bucket_problem(self, anonymous: bool) -> str:
        """Why the bucket can't be had with the keys, or without; where none are given, all is well
        with whatever answers."""
        given = self.credentials("objectstore")
        bucket = given.get("bucket")
        try:
            if not bucket or "access_key" not in given:
                httpx.get(self.endpoint("objectstore").url, timeout=_PROBE_S, trust_env=False)
                return ""
            there = challenge.bucket_client(self, anonymous=anonymous).bucket_exists(bucket)
        except minio.S3Error as error:
            return f"{error.code} for the bucket {bucket}: the keys are missing or wrong"
        except (minio.error.MinioException, HTTPError, httpx.HTTPError, ValueError) as error:
            return f"{type(error).__name__}: {error}".strip()
        return "" if there else f"there is no bucket {bucket}"

    def _key(self, role: str) -> str:
        return self.credentials(role).get("service_key" if role == "auth" else "api_key", "")

    def _version(self, role: str) -> tuple[str, str, bool]:
        """Software, version, and whether it is a stand-in."""
        if role == "metadata":
            with psycopg.connect(self.credentials(role)["admin_dsn"], connect_timeout=5) as link:
                row = link.execute("show server_version").fetchone()
            return "PostgreSQL", str(row[0]) if row else "unknown", False
        if role in ("gateway", "edge") and self.gateway_api.spec:
            return adapted.software(self.endpoint(role).url, self.gateway_api)
        path = _VERSIONS.get(role, "/healthz")
        try:
            body = httpx.get(
                self.endpoint(role).url + path, timeout=_PROBE_S, trust_env=False
            ).json()
        except (httpx.HTTPError, ValueError):
            return role, "unknown", False
        if not isinstance(body, dict):
            return role, "unknown", False
        title = str(body.get("title") or body.get("service") or role)
        stands_in = bool(body.get("stand_in")) or "stand-in" in title
        # Prometheus and Alertmanager have theirs one level down.
        inner = body.get("data") or body.get("versionInfo") or {}
        version = body.get("version") or (isinstance(inner, dict) and inner.get("version"))
        return title, str(version or "unknown"), stands_in


class ControlledStack(AttachedStack):
    """An attached target whose operator gave commands to restart, stop, start or kill roles."""

    def restart(self, role: str, env: Mapping[str, str] | None = None) -> None:
        """Run the role's ``restart`` command, or its ``stop`` and ``start``."""
        if env:
            raise NotAllowed("An attached role can't be given other settings.", actual=role)
        control = self._target.control.get(role, ControlSection())
        if control.restart:
            _command(control.restart)
        else:
            self.stop(role)
            self.start(role)
        self.ready(role)

    def stop(self, role: str) -> None:
        """Run the role's ``stop`` command."""
        _command(self._given(role, "stop"))

    def start(self, role: str) -> None:
        """Run the role's ``start`` command and wait until it is ready."""
        _command(self._given(role, "start"))
        self.ready(role)

    def kill(self, role: str) -> None:
        """Run the role's ``kill`` command: it is gone at once, as after a SIGKILL."""
        _command(self._given(role, "kill"))

    def wipe(self, role: str) -> None:
        """Run the role's ``wipe`` command: its data is gone, and it is down until ``start``."""
        _command(self._given(role, "wipe"))

    def replace(self, role: str, env: Mapping[str, str]) -> None:
        """Run the role's ``replace`` command with ``env`` in its environment."""
        _command(self._given(role, "replace"), env)
        self.ready(role)

    def rollback(self, role: str) -> None:
        """Run the role's ``rollback`` command."""
        _command(self._given(role, "rollback"))
        self.ready(role)

    def _given(self, role: str, action: str) -> str:
        command: str | None = getattr(self._target.control.get(role), action, None)
        if command is None:
            raise NotAllowed(
                f"The target file gives no command to {action} {role}.",
                expected=f"[control.{role}] with {action}",
                next_step="add it, if this target may be acted on",
            )
        return command


def attached(run_id: str, scratch: Path, target: TargetFile) -> AttachedStack:
    """Return the target as the kind of stack that its file makes it; nothing is asked of it."""
    return _kind(target)(run_id, scratch, target)


def _kind(target: TargetFile) -> type[AttachedStack]:
    return ControlledStack if target.control else AttachedStack


def _command(command: str, settings: Mapping[str, str] | None = None) -> None:
    """Run an operator's command with the shell, as they would, ``settings`` in its environment."""
    try:
        done = subprocess.run(
            command,
            shell=True,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            env={**os.environ, **(settings or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            "A control command did not end.",
            expected=f"an end within {COMMAND_TIMEOUT_S:.0f} s",
            actual=command,
        ) from error
    if done.returncode:
        raise TargetError(
            "A control command failed.",
            expected=f"exit status 0 of: {command}",
            actual=f"{done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}",
        )
