"""Where the records come from: a database on disk, or the service at osv.dev."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from harness.core.errors import TargetError
from scripts.cve import osv
from scripts.cve.findings import Finding, Package
from scripts.cve.inputs import Packages

AT_ONCE = 200
TIMEOUT_S = 30.0
NEXT = "get a database with --database: gs://osv-vulnerabilities/PyPI/all.zip holds PyPI's records"


def _unreadable(what: str, why: object) -> TargetError:
    return TargetError(
        "The database of vulnerabilities can't be used, so nothing was checked.",
        expected="records in the OSV format: .json, .jsonl, .zip, or a directory of .json",
        actual=f"{what}: {why}",
        next_step=NEXT,
    )


def from_database(path: Path, packages: Packages, most_days: int) -> list[Finding]:
    """Return the findings by a database on disk; one record is in memory at a time.

    Raises:
        TargetError: it is not there, broken in any part, holds nothing about PyPI, or its newest
            record is older than ``most_days`` days: a green of it would mean nothing.
    """
    wanted: dict[str, list[Package]] = {}
    for package in packages:
        wanted.setdefault(package.name, []).append(package)
    found, newest, about = [], None, 0
    for name, record in _records(path):
        try:
            concerned = osv.concerns(record)
            changed = osv.modified(record)
            for package in (p for each in concerned for p in wanted.get(each, ())):
                seen = osv.finding(record, package, packages[package])
                found += [seen] if seen else []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _unreadable(name, f"{type(error).__name__}: {error}") from error
        about += bool(concerned)
        newest = changed if newest is None else max(newest, changed)
    if not about or newest is None:
        raise _unreadable(str(path), "it holds no record about a package of PyPI")
    age = datetime.now(UTC) - newest
    if age > timedelta(days=most_days):
        raise TargetError(
            "The database of vulnerabilities is too old, so nothing was checked.",
            expected=f"a newest record of at most {most_days} days",
            actual=f"{age.days} days ({newest.isoformat()})",
            next_step=f"{NEXT}; --max-age-days allows an older one",
        )
    return found


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, text in _texts(path):
        try:
            document = json.loads(text)
        except ValueError as error:
            raise _unreadable(name, error) from error
        for record in document if isinstance(document, list) else [document]:
            if not isinstance(record, dict):
                raise _unreadable(name, "not a record")
            yield name, record


def _texts(path: Path) -> Iterator[tuple[str, str | bytes]]:
    try:
        if path.is_dir():
            for each in sorted(path.rglob("*.json")):
                yield each.name, each.read_bytes()
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(".json"):
                        yield name, archive.read(name)
        elif path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield f"line {number}", line
        else:
            yield path.name, path.read_bytes()
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise _unreadable(str(path), f"{type(error).__name__}: {error}") from error


def from_service(url: str, packages: Packages) -> list[Finding]:
    """Return the findings by a service with OSV's API (``/v1/querybatch``, ``/v1/vulns/<id>``).

    Raises:
        TargetError: it cannot be reached, or does not answer as that API does.
    """
    with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
        try:
            known: dict[str, dict[str, Any]] = {}
            found = []
            for package, ids in _ids(client, sorted(packages)):
                for each in ids:
                    if each not in known:
                        known[each] = _answer(client.get(f"/v1/vulns/{each}"))
                    seen = osv.finding(known[each], package, packages[package])
                    found += [seen] if seen else []
            return found
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TargetError(
                "The service that knows the vulnerabilities gives no answer, so nothing was "
                "checked.",
                expected=f"OSV's API at {url}",
                actual=f"{type(error).__name__}: {error}".splitlines()[0],
                next_step=NEXT,
            ) from error


def _ids(client: httpx.Client, packages: list[Package]) -> Iterator[tuple[Package, list[str]]]:
    for start in range(0, len(packages), AT_ONCE):
        asked = [(package, "") for package in packages[start : start + AT_ONCE]]
        while asked:
            queries = [_query(package, token) for package, token in asked]
            answer = _answer(client.post("/v1/querybatch", json={"queries": queries}))
            results = answer["results"]
            if len(results) != len(asked):
                raise ValueError(f"{len(results)} answers to {len(asked)} questions")
            more = []
            for (package, _), result in zip(asked, results, strict=True):
                yield package, [str(each["id"]) for each in result.get("vulns") or ()]
                if result.get("next_page_token"):
                    more.append((package, str(result["next_page_token"])))
            asked = more


def _query(package: Package, token: str) -> dict[str, Any]:
    about = {"name": package.name, "ecosystem": osv.ECOSYSTEM}
    return {"package": about, "version": package.version} | ({"page_token": token} if token else {})


def _answer(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    document = response.json()
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document
