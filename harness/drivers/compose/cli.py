"""Docker Compose's command line: is it there, what does a project look like, and running it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from typing import Any

from harness.core.errors import TargetError, UsageError
from harness.core.target import ComposeSection
from harness.drivers.compose.state import ComposeState

LEAST = (2, 24, 4)
"""The first release whose files can take something away again (``!reset`` and ``!override``)."""
_ASK_S = 60.0
_INSTALL = "install Docker Compose v2 (https://docs.docker.com/compose/install/)"


class ComposeError(TargetError):
    """Compose is not there, or did not do what it was asked."""


def require_compose() -> str:
    """The version of Compose. Raises ComposeError, with what to do, where it is none that will do.

    Source of the least version: Compose's reference, "Merge Compose files".
    """
    try:
        done = subprocess.run(
            ["docker", "compose", "version", "--short"],
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise ComposeError(
            "There is no docker command here.",
            expected="Docker's command line with Compose v2",
            actual="not found on PATH",
            next_step=_INSTALL,
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ComposeError("Docker Compose does not answer.", expected="its version") from error
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", done.stdout.strip())
    if done.returncode or found is None:
        raise ComposeError(
            "There is no Docker Compose v2 here.",
            expected="`docker compose version` to tell one",
            actual=(done.stderr or done.stdout).strip().splitlines()[0:1] or "nothing",
            next_step=_INSTALL + "; the old docker-compose will not do",
        )
    if tuple(int(number) for number in found.groups()) < LEAST:
        raise ComposeError(
            "This Docker Compose is too old.",
            expected=".".join(str(number) for number in LEAST) + " or newer",
            actual=found[0],
            next_step=_INSTALL,
        )
    return found[0]


def command(
    section: ComposeSection, project: str, *, override: str = "", everything: bool = False
) -> list[str]:
    """The beginning of a command on a run's project; ``everything``: with every profile."""
    profiles = ["*"] if everything else list(section.profiles)
    return [
        *("docker", "compose", "--ansi", "never", "--progress", "plain", "-p", project),
        *(word for path in section.files for word in ("-f", path)),
        *(("-f", override) if override else ()),
        *(word for path in section.env_files for word in ("--env-file", path)),
        *(word for name in profiles for word in ("--profile", name)),
    ]


def resolved(
    section: ComposeSection, project: str, environment: Mapping[str, str]
) -> dict[str, Any]:
    """The project as Compose understands it, with the services of every profile.

    Raises:
        UsageError: Compose refuses the files; carries what it said.
    """
    done = subprocess.run(
        [*command(section, project, everything=True), "config", "--format", "json"],
        capture_output=True,
        text=True,
        timeout=_ASK_S,
        env=dict(environment),
        check=False,
    )
    if done.returncode:
        raise UsageError(
            "Compose refuses the project of the target file.",
            expected="files that `docker compose config` accepts",
            actual=said(done.stderr),
            next_step=f"docker compose -f {section.files[0]} config; a secret that is only needed "
            "to be there can be named in [compose] generate",
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def said(text: str, most: int = 12) -> str:
    """The last lines of what Compose said, without its progress."""
    noise = re.compile(r" (Creating|Created|Starting|Started|Waiting|Healthy|Running|Pulling)\s*$")
    lines = [line for line in text.strip().splitlines() if not noise.search(line)]
    return "\n".join(lines[-most:]) or "nothing"


def section_of(state: ComposeState) -> ComposeSection:
    """``[compose]`` of the target file that a run was started with."""
    return ComposeSection.model_validate(state.target["compose"])
