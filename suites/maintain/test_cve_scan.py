"""maintain/cve-scan: the build fails on HIGH and CRITICAL findings, and on what was not checked."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fixtures.scripts import Ran, Running
from harness import conformance
from harness.core.evidence import Evidence
from harness.core.run import CHECKOUT
from harness.drivers.operator import process_environment, script_command

SCRIPT = "cve_scan.sh"
CLEAN, FOUND, UNCHECKED = 0, 1, 2
NAME = "planted-kettle"
"""No package of PyPI: what is said of it is made up, and concerns nobody."""

VECTORS = {
    "CRITICAL": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "HIGH": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
    "MEDIUM": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N",
    "LOW": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N",
}
"""Base scores 9.8, 7.5, 5.3 and 1.8 by the formula of CVSS 3.1."""


def record(number: int, severity: str | None, *, name: str = NAME, **more: Any) -> dict[str, Any]:
    """A record in the OSV format: versions from 1.0 on are affected, and 1.4 is mended."""
    events = [{"introduced": "1.0"}, {"fixed": "1.4"}]
    made = {
        "schema_version": "1.6.0",
        "id": f"PYSEC-2026-{number}",
        "modified": datetime.now(UTC).isoformat(),
        "summary": "a made-up finding",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
    }
    if severity is not None:
        made["severity"] = [{"type": "CVSS_V3", "score": VECTORS[severity]}]
    return made | more


class Scans:
    """Scans of a lock file of the case's own, one database each, all at once; of no target."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.running: list[Running] = []

    def scan(
        self,
        version: str,
        records: Sequence[Mapping[str, Any]] | None,
        *options: str,
        accepted: str = "",
    ) -> Running:
        """Begin a scan of one package in this version; ``records`` None: no database is given."""
        place = self._place / str(len(self.running))
        place.mkdir()
        lock = place / "requirements.txt"
        lock.write_text(f"# a lock file\n{NAME}=={version}\n")
        (place / "accepted.toml").write_text(accepted)
        given = ["--scanner", "osv", "--requirements", str(lock)]
        given += ["--accepted", str(place / "accepted.toml")]
        if records is not None:
            (place / "database.json").write_text(json.dumps(list(records)))
            given += ["--database", str(place / "database.json")]
        command = script_command(SCRIPT, *given, *options)
        environment = process_environment({"PYTHON": sys.executable, "TMPDIR": str(self._place)})
        self.running.append(Running(command, environment, CHECKOUT))
        return self.running[-1]


@pytest.fixture
def scans(tmp_path: Path) -> Iterator[Scans]:
    """Scans that end with the case."""
    made = Scans(tmp_path)
    yield made
    for each in made.running:
        each.kill()


def _ids(ran: Ran) -> list[str]:
    return sorted(str(each["id"]) for each in ran.log if each.get("event") == "finding")


@conformance("maintain/cve-scan", since="0.2")
def test_high_and_critical_fail_and_less_does_not(scans: Scans, evidence: Evidence) -> None:
    """The scan MUST fail on a HIGH or CRITICAL finding of what is installed, and on one whose
    severity nobody states, and MUST pass on less, and on what does not concern this version."""
    other = record(9, "CRITICAL", name="another-package")
    asked = {
        "a CRITICAL one": (scans.scan("1.2", [record(1, "CRITICAL"), other]), FOUND, ["1"]),
        "a HIGH one": (scans.scan("1.2", [record(2, "HIGH"), other]), FOUND, ["2"]),
        "one of unknown severity": (scans.scan("1.2", [record(3, None), other]), FOUND, ["3"]),
        "a MEDIUM and a LOW one": (
            scans.scan("1.2", [record(4, "MEDIUM"), record(5, "LOW"), other]), CLEAN, ["4", "5"],
        ),
        "one that is mended in this version": (
            scans.scan("1.4", [record(6, "CRITICAL"), other]), CLEAN, [],
        ),
        "none": (scans.scan("1.2", [other]), CLEAN, []),
    }  # fmt: skip
    for what, (running, code, numbers) in asked.items():
        ran = running.finish()
        evidence.require(
            f"{what}: the scan ends with {code} and names what it found",
            ran.exit_code == code and _ids(ran) == [f"PYSEC-2026-{n}" for n in numbers],
            expected=f"exit code {code}, findings {numbers}",
            actual=f"{_ids(ran)}; {ran.told}",
        )


@conformance("maintain/cve-scan", since="0.2")
def test_what_could_not_be_checked_is_no_green(
    scans: Scans, tmp_path: Path, evidence: Evidence
) -> None:
    """The scan MUST NOT pass where nothing could be checked: a service that does not answer, a
    database that is absent, broken, empty or old, a version that the lock file leaves open."""
    with socket.socket() as nobody:
        # Bound and not listening: whoever connects is refused, and nobody else can take the port.
        nobody.bind(("127.0.0.1", 0))
        service = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        (tmp_path / "open.txt").write_text(f"{NAME}>=1.2\n")
        (tmp_path / "broken.json").write_text('[{"id": "PYSEC-2026-1", "affec')
        old = (datetime.now(UTC) - timedelta(days=60)).isoformat()
        asked = {
            "a service that does not answer": scans.scan("1.2", None, "--service", service),
            "no such database": scans.scan("1.2", None, "--database", str(tmp_path / "none.zip")),
            "a broken database": scans.scan(
                "1.2", None, "--database", str(tmp_path / "broken.json")
            ),
            "an empty database": scans.scan("1.2", []),
            "a database of two months ago": scans.scan("1.2", [record(1, "LOW", modified=old)]),
            "a version that is left open": scans.scan(
                "1.2", [record(1, "LOW")], "--requirements", str(tmp_path / "open.txt")
            ),
        }
        for what, running in asked.items():
            ran = running.finish()
            evidence.require(
                f"{what} is said to be unchecked, and is no green",
                ran.exit_code == UNCHECKED and "expected:" in ran.stderr,
                expected=f"exit code {UNCHECKED}",
                actual=ran.told,
            )


@conformance("maintain/cve-scan", since="0.2")
def test_what_is_accepted_is_accepted_until_its_day(scans: Scans, evidence: Evidence) -> None:
    """A finding that is accepted MUST NOT fail the scan until its day, MUST do so afterwards, and
    no other finding may pass with it."""

    def entry(until: date) -> str:
        return (
            f'[[accepted]]\nid = "PYSEC-2026-1"\npackage = "{NAME}"\nreason = "not reachable"\n'
            f'until = {until.isoformat()}\nowner = "maintainers"\n'
        )

    today = datetime.now(UTC).date()
    later, before = entry(today + timedelta(days=30)), entry(today - timedelta(days=2))
    one, both = [record(1, "HIGH")], [record(1, "HIGH"), record(2, "HIGH")]
    asked = {
        "accepted until a day to come": (scans.scan("1.2", one, accepted=later), CLEAN),
        "accepted until the day before yesterday": (scans.scan("1.2", one, accepted=before), FOUND),
        "another one beside it": (scans.scan("1.2", both, accepted=later), FOUND),
    }
    for what, (running, code) in asked.items():
        ran = running.finish()
        evidence.require(
            f"{what}: the scan ends with {code}",
            ran.exit_code == code,
            expected=code,
            actual=ran.told,
        )
