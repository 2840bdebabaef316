"""Snapshots brought back beside what is there, and compared with what the manifest says."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.checks.answers import configuration, configuration_differences
from harness.checks.content import content_verdict
from harness.checks.digest import Digest, digest
from harness.core.errors import TargetError
from harness.core.verdicts import Verdict
from scripts.dayops import manifest
from scripts.dayops.script import Log, Refused
from scripts.dayops.vectorstore import Server, VectorStore

_CHECK, _RESTORE = "ragdrill-check-", "ragdrill-restore-"


def is_scratch(name: str) -> bool:
    """Whether a collection is a scratch copy of these scripts, and no content of anybody."""
    return name.startswith((_CHECK, _RESTORE))


def check_name(name: str) -> str:
    """Return a name for a copy that is read and removed, this process's own."""
    return f"{_own()}{name}"


def restore_name(name: str) -> str:
    """Return the name of the copy that a restore verifies before it switches."""
    return f"{_RESTORE}{name}"


def remove_left_checks(store: VectorStore) -> list[str]:
    """Remove the copies of processes of this machine that are gone; returns their names."""
    removed = []
    for name in store.collections():
        found = re.match(rf"{_CHECK}{_machine()}-(\d+)-", name)
        if found and not Path(f"/proc/{found[1]}").exists():
            store.delete(name)
            removed.append(name)
    return removed


def _own() -> str:
    return f"{_CHECK}{_machine()}-{os.getpid()}-"


def _machine() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def minor(version: str) -> tuple[int, int]:
    """Return major and minor of a version. Raises Refused for one that has none."""
    try:
        first, second = version.split(".")[:2]
        return int(first), int(second)
    except ValueError:
        raise Refused(
            "The version of a vector store is not known, so nobody can say whether this fits.",
            expected="major.minor.patch",
            actual=version,
        ) from None


def refuse_versions(made_by: Mapping[str, Any], server: Server, log: Log) -> None:
    """Raise Refused unless the server may read the backup: made by its own or the last minor.

    The rule is upstream's: a snapshot restores into the same minor version or the next.
    """
    _refuse_minors(str(made_by["version"]), server.version)
    if made_by.get("engine") and server.engine:
        _refuse_minors(str(made_by["engine"]), server.engine)
    if made_by["software"] != server.software:
        log.warn(
            "other_software",
            f"the backup is from {made_by['software']}, this is {server.software}",
        )


def _refuse_minors(made_by: str, version: str) -> None:
    then, now = minor(made_by), minor(version)
    if then > now:
        raise Refused(
            "The backup is newer than the server.",
            expected=f"a server of version {made_by} or the next minor",
            actual=version,
            next_step="upgrade the server first",
        )
    if then[0] != now[0] or now[1] - then[1] > 1:
        raise Refused(
            "The server is too new for the backup: versions in between can't be skipped.",
            expected=f"a server of version {then[0]}.{then[1]} or {then[0]}.{then[1] + 1}",
            actual=version,
            next_step="restore into the old version and upgrade one minor at a time",
        )


def holds(store: VectorStore, place: str, entry: Mapping[str, Any], log: Log) -> str:
    """Return how collection ``place`` differs from what the manifest says; empty if it doesn't."""
    name = entry["name"]
    with store.reader(place, lambda n: log.progress(f"{name}: {n} points compared")) as reader:
        found = digest(reader)
        settings = configuration(reader)
    wanted = Digest.from_json(entry["digest"])
    verdict = content_verdict(wanted, found)
    if verdict.verdict is Verdict.FAIL:
        tenants = ", ".join(verdict.details["differing_tenants"][:3])
        return (
            f"content: {wanted.count} points {wanted.total[:16]} were backed up, {found.count} "
            f"points {found.total[:16]} are there (tenants that differ: {tenants or 'none'})"
        )
    # Aliases are set last and compared there.
    differing = configuration_differences(_settings(entry["configuration"]), _settings(settings))
    return "" if not differing else f"settings: {', '.join(d['path'] for d in differing[:5])}"


def bring(
    store: VectorStore, place: str, entry: Mapping[str, Any], snapshot: Path, log: Log
) -> None:
    """Restore a snapshot as collection ``place``, which was not there, and compare it.

    Raises:
        Refused: the server does not take it, or it holds something else; ``place`` is gone again.
    """
    try:
        store.upload(place, snapshot, manifest.stored(entry["object"]).sha256)
        problem = holds(store, place, entry, log)
        if problem:
            raise Refused(
                f"The snapshot of {entry['name']} restores to something else.",
                expected="what the manifest says",
                actual=problem,
                next_step="take another backup",
            )
    except BaseException:
        store.delete(place)
        raise


def replace(store: VectorStore, entry: Mapping[str, Any], snapshot: Path, log: Log) -> None:
    """Put a snapshot that was tried before in the place of a collection, in one step.

    Raises:
        TargetError: what is there then is not what was backed up.
    """
    store.upload(entry["name"], snapshot, manifest.stored(entry["object"]).sha256)
    problem = holds(store, entry["name"], entry, log)
    if problem:
        raise TargetError(
            f"{entry['name']} was replaced and is not what was backed up.",
            expected="the content that was verified beside it a moment ago",
            actual=problem,
            next_step="are writers really stopped? Run the restore again",
        )


def _settings(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in configuration.items() if key != "aliases"}
