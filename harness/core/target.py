"""The target file: which stack, through which driver, and what a run may do to it."""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.core.adapters import load_api, resolved
from harness.core.errors import UsageError
from harness.core.gateway_api import GatewayApi
from harness.core.registry import ROLES

Permission = Literal["read", "write", "restart", "fault", "destroy"]
ALL_PERMISSIONS: tuple[Permission, ...] = ("read", "write", "restart", "fault", "destroy")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetSection(_Strict):
    """``[target]``: name, driver, and what is allowed (``None`` leaves the driver's default).

    ``tags`` are the operator's own words for it; ``challenge_env`` names the variable with the
    token that the operator placed in an attached target that may be harmed.
    """

    name: str = "reference"
    driver: str = "embedded"
    allow: tuple[Permission, ...] | None = None
    tags: tuple[str, ...] = ()
    challenge_env: str | None = None


class RoleSection(_Strict):
    """``[roles.<role>]``: where the role answers; ``*_env`` name variables that hold secrets.

    ``api_key_env``: the vector store's key, a worker's key, auth's service key, or the password of
    the metadata store's ``postgresql://user@host:port/database``. ``adapter`` names the class that
    speaks the gateway's API, where that is not the reference gateway's (``docs/attach.md``).

    With the compose driver ``service`` and ``port`` (inside) stand in place of ``url``, and a
    variable that is not set gets a random value for the run. ``user`` and ``database`` are the
    metadata store's, ``jwt_keys_env`` auth's signing keys.

    ``health`` is the path that answers 200 when the role would serve, where that is another than
    its product's. With the containers driver there is only the gateway's ``adapter`` to give.
    """

    url: str = ""
    service: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str | None = None
    database: str | None = None
    api_key_env: str | None = None
    read_only_api_key_env: str | None = None
    jwt_keys_env: str | None = None
    access_key_env: str | None = None
    secret_key_env: str | None = None
    bucket: str | None = None
    health: Annotated[str, Field(pattern=r"^/")] | None = None
    adapter: Annotated[str, Field(min_length=1)] | None = None

    def only(self, *names: str) -> bool:
        """Whether nothing but these keys is given."""
        return self.model_fields_set <= set(names)


class ControlSection(_Strict):
    """``[control.<role>]``: shell commands that act where we hold no process or container.

    ``wipe`` ends a store and deletes its data, as a lost disk would; ``start`` starts it empty.
    ``replace`` rolls a role to other settings, which it finds in its environment; ``rollback``
    brings back those before.
    """

    restart: str | None = None
    stop: str | None = None
    start: str | None = None
    kill: str | None = None
    wipe: str | None = None
    replace: str | None = None
    rollback: str | None = None


class RolloutSection(_Strict):
    """``[compose.rollout]``: the other gateway of a rollout, and how the edge is switched.

    ``service`` and ``port`` are the green gateway's; ``switch`` is run inside the edge's container
    with ``{upstream}`` replaced by the ``host:port`` that new connections are to go to.
    """

    service: str
    port: int = Field(ge=1, le=65535)
    switch: tuple[str, ...] = Field(min_length=1)


class ComposeSection(_Strict):
    """``[compose]``: the operator's own Compose project (``docs/compose.md``).

    Paths are relative to the target file. ``generate`` names further variables that get a random
    value; ``logins`` the variables with the passwords of database roles; ``keep`` the services, or
    ``service.VARIABLE``, whose addresses are not led through the fault proxy.
    """

    files: tuple[str, ...] = Field(min_length=1)
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    generate: tuple[str, ...] = ()
    logins: dict[str, str] = Field(default_factory=dict)
    keep: tuple[str, ...] = ()
    rollout: RolloutSection | None = None


def _wrong_address(role: str, url: str) -> str:
    """What is wrong with a role's url; empty where nothing is. Never tells a password."""
    schemes = ("postgresql", "postgres") if role == "metadata" else ("http", "https")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        return f"url is no address: {str(error)[0].lower()}{str(error)[1:]}"
    if parts.password is not None:
        return "url holds a password; take it out and name its variable: api_key_env"
    if parts.scheme not in schemes or not parts.hostname:
        example = f"{schemes[0]}://{'user@' if role == 'metadata' else ''}host:port"
        return f"url has to be like {example} (it is {url!r})"
    return ""


class TargetFile(_Strict):
    """A whole target file (design: "Target file")."""

    target: TargetSection = Field(default_factory=TargetSection)
    compose: ComposeSection | None = None
    roles: dict[str, RoleSection] = Field(default_factory=dict)
    control: dict[str, ControlSection] = Field(default_factory=dict)
    scripts: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _roles_fit_the_driver(self) -> Self:
        wanted = ("service", "port") if self.target.driver == "compose" else ("url",)
        refused = "url" if "service" in wanted else "service"
        for role, section in self.roles.items():
            if self.target.driver == "containers" and section.only("adapter"):
                continue
            for name in wanted:
                if not getattr(section, name):
                    raise ValueError(
                        f"roles.{role}: the driver {self.target.driver!r} needs its {name}"
                    )
            if section.url and (wrong := _wrong_address(role, section.url)):
                raise ValueError(f"roles.{role}: {wrong}")
            if getattr(section, refused):
                raise ValueError(
                    f"roles.{role}: {refused} is nothing to the driver {self.target.driver!r}; "
                    f"it needs {' and '.join(wanted)}"
                )
        if (self.compose is None) == (self.target.driver == "compose"):
            raise ValueError('driver = "compose" and the section [compose] belong together')
        return self

    @property
    def gateway_api(self) -> GatewayApi:
        """The API that the gateway and the edge speak.

        Raises:
            UsageError: the adapter that the file names can't be used.
        """
        section = self.roles.get("gateway")
        return load_api((section.adapter if section else None) or "")

    def secret(self, role: str, field: str) -> str | None:
        """Return the secret that ``roles.<role>.<field>_env`` names.

        Raises:
            UsageError: the variable is named in the file but not set.
        """
        section = self.roles.get(role)
        variable = getattr(section, f"{field}_env", None)
        if variable is None:
            return None
        return self.variable(variable, f"{field.replace('_', ' ')} of {role}")

    def variable(self, variable: str, what: str) -> str:
        """Return what an environment variable holds that the file names for ``what``.

        Raises:
            UsageError: it is not set.
        """
        value = os.environ.get(variable)
        if not value:
            raise UsageError(
                f"The target file takes the {what} from the environment, and it is not there.",
                expected=f"a value in {variable}",
                actual="not set" if value is None else "empty",
                next_step=f"export {variable}=... and run again",
            )
        return value


def load_target(path: Path) -> TargetFile:
    """Read and check a target file.

    Raises:
        UsageError: it can't be read, is no TOML, or holds an unknown key or a wrong type; each
            problem is named with the nearest known key.
    """
    try:
        raw = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(
            "The target file can't be read.",
            expected="a TOML file",
            actual=f"{path}: {error.strerror}",
            next_step="name one with --target FILE, or leave --target away for the reference stack",
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError("The target file is no valid TOML.", actual=f"{path}: {error}") from error
    for role in (*_keys(raw, "roles"), *_keys(raw, "control")):
        if role not in ROLES:
            raise UsageError(
                f"{path}: there is no role {role!r}.",
                expected=", ".join(ROLES),
                actual=role,
                next_step=_did_you_mean(role, ROLES),
            )
    for role, section in dict(raw.get("roles") or {}).items():
        adapter = section.get("adapter") if isinstance(section, dict) else None
        if adapter and isinstance(adapter, str):
            _only_the_gateway(path, role)
            section["adapter"] = resolved(adapter, path.parent)
    _resolve_paths(raw, path.absolute().parent)
    try:
        target = TargetFile.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{path} is no valid target file.\n{_explain(error)}") from error
    # An adapter that can't be used is the file's mistake, so it is told before anything starts.
    _ = target.gateway_api
    return target


def _only_the_gateway(path: Path, role: str) -> None:
    if role != "gateway":
        raise UsageError(
            f"{path}: only the gateway has an adapter.",
            expected="adapter in [roles.gateway]; what it says holds for the edge too",
            actual=f"adapter in [roles.{role}]",
            next_step=f"move it, or leave it away: {role} speaks its product's own API",
        )


def _resolve_paths(raw: dict[str, Any], directory: Path) -> None:
    """Make the paths of ``[compose]`` absolute; what is no list of paths is left to the checks."""
    compose = raw.get("compose")
    if not isinstance(compose, dict):
        return
    for name in ("files", "env_files"):
        given = compose.get(name)
        if isinstance(given, list) and all(isinstance(each, str) for each in given):
            compose[name] = [str(directory / each) for each in given]


def _keys(raw: dict[str, Any], section: str) -> list[str]:
    found = raw.get(section)
    return list(found) if isinstance(found, dict) else []


_KNOWN: dict[int, tuple[type[_Strict], ...]] = {
    0: (TargetFile,),
    1: (TargetSection, ComposeSection),
    2: (RoleSection, ControlSection, RolloutSection),
}


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if not where:
            # Of the file as a whole; what it held need not be told again.
            lines.append("  " + problem["msg"].removeprefix("Value error, "))
            continue
        line = f"  {where}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
        # What is a tuple here is a list there.
        line = line.replace("a valid tuple", 'a list, like ["..."]')
        if problem["type"] == "extra_forbidden":
            models = _KNOWN.get(len(problem["loc"]) - 1, ())
            known = sorted({name for model in models for name in model.model_fields})
            line = f"  {where}: unknown key; {_did_you_mean(str(problem['loc'][-1]), known)}"
        elif "input" in problem:
            line += f" (it is {problem['input']!r})"
        lines.append(line)
    return "\n".join(lines)


def _did_you_mean(given: str, known: list[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
