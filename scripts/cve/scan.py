"""``cve_scan.sh``: fails on HIGH and CRITICAL vulnerabilities of what is installed.

Looks at the lock files that the images and the harness are built with, and at what is installed
here; with --image also at an image. Trivy does it where it is installed; else the records of a
database (--database, OSV format) or of osv.dev decide. A severity that nobody states counts as
HIGH. What is accepted for a while stands in guide/accepted-vulnerabilities.toml, with a date.
Without trivy, what a Debian image installs by apt, and the servers inside wheels, are not checked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from scripts.cve import accepted, sources, trivy
from scripts.cve.findings import Finding, together
from scripts.cve.inputs import gather
from scripts.dayops.script import Refused, Task, main, parser

CHECKOUT = Path(__file__).resolve().parents[2]
IMAGES = CHECKOUT / "refstack" / "images"
LOCKS = (
    IMAGES / "base" / "requirements.txt",
    IMAGES / "base" / "servers.txt",
    IMAGES / "harness.txt",
)
ACCEPTED = CHECKOUT / "guide" / "accepted-vulnerabilities.toml"
SERVICE = "https://api.osv.dev"
MAX_AGE_DAYS = 14
CODES = """exit codes:
  0  checked, and nothing HIGH or CRITICAL is open
  1  a HIGH or CRITICAL finding, or one of unknown severity, that is not accepted
  2  could not be checked, in whole or in part: this is no green
  4  wrong usage: an argument or an entry of the accepted findings is wrong
  130, 143  interrupted
"""


def _arguments() -> Any:
    made = parser("cve_scan.sh", __doc__ or "", (), codes=CODES)
    made.add_argument(
        "--requirements", action="append", type=Path, default=[], metavar="FILE",
        help="look at this lock file alone (name==version lines); can be given again",
    )  # fmt: skip
    made.add_argument(
        "--image", action="append", default=[], metavar="IMAGE",
        help="look at this image too, which takes trivy; can be given again",
    )  # fmt: skip
    made.add_argument(
        "--scanner", choices=("auto", "trivy", "osv"), default="auto",
        help="who looks (default: trivy where it is installed and no --database is given)",
    )  # fmt: skip
    made.add_argument(
        "--database", type=Path, metavar="PATH",
        help="records in the OSV format: a .json, .jsonl or .zip, or a directory of .json",
    )  # fmt: skip
    made.add_argument(
        "--max-age-days", type=int, default=MAX_AGE_DAYS, metavar="N",
        help=f"refuse a database whose newest record is older (default {MAX_AGE_DAYS})",
    )  # fmt: skip
    made.add_argument(
        "--service", default=SERVICE, metavar="URL", help=f"OSV's API (default {SERVICE})"
    )
    made.add_argument(
        "--accepted", type=Path, default=ACCEPTED, metavar="FILE",
        help="accepted findings (default: guide/accepted-vulnerabilities.toml)",
    )  # fmt: skip
    made.add_argument("--report", type=Path, metavar="FILE", help="write all findings as JSON")
    return made


def _work(task: Task) -> None:
    chosen, log = task.arguments, task.log
    if chosen.max_age_days < 1:
        raise UsageError("--max-age-days is no age.", expected="1 or more")
    if chosen.scanner == "trivy" and not trivy.installed():
        raise UsageError("There is no trivy on PATH.", next_step="install it, or --scanner osv")
    entries = accepted.load(chosen.accepted)
    with log.step("gather") as told:
        packages = gather(chosen.requirements or LOCKS, environment=not chosen.requirements)
        told["packages"] = len(packages)
    by_trivy = chosen.scanner == "trivy" or (
        chosen.scanner == "auto" and chosen.database is None and trivy.installed()
    )
    with log.step("look", by="trivy" if by_trivy else "osv") as told:
        if by_trivy:
            found = trivy.scan_packages(packages, task.work)
        elif chosen.database is not None:
            found = sources.from_database(chosen.database, packages, chosen.max_age_days)
        else:
            found = sources.from_service(chosen.service.rstrip("/"), packages)
        for image in chosen.image:
            found += trivy.scan_image(image)
        findings = together(found)
        told["findings"] = len(findings)
    _judge(task, findings, entries, len(packages))


def _judge(
    task: Task, findings: Sequence[Finding], entries: Sequence[accepted.Accepted], packages: int
) -> None:
    log, today = task.log, datetime.now(UTC).date()
    open_: list[Finding] = []
    excused: list[Finding] = []
    rows = []
    for finding in findings:
        covering = [each for each in entries if each.covers(finding)]
        holding = [each for each in covering if each.until >= today]
        row = _row(finding)
        if finding.fails:
            (excused if holding else open_).append(finding)
            if holding:
                row |= {"accepted_until": holding[0].until.isoformat()}
            elif covering:
                row |= {"acceptance_ended": covering[0].until.isoformat()}
        rows.append(row)
        log.event("finding", level="error" if finding in open_ else "info", **row)
        log.say(_line(row))
    idle = [e for e in entries if not any(e.covers(finding) for finding in findings)]
    for each in idle:
        log.warn("acceptance_idle", f"{each.id} of {each.package} is accepted, and not there")
    task.told.update(
        packages=packages,
        findings=len(findings),
        open=len(open_),
        accepted=len(excused),
        unknown_severity=sum(finding.severity == "UNKNOWN" for finding in findings),
    )
    if task.arguments.report:
        document = {"checked_at": datetime.now(UTC).isoformat(), **task.told, "rows": rows}
        task.arguments.report.write_text(json.dumps(document, indent=1) + "\n")
    if open_:
        raise Refused(
            f"{len(open_)} known vulnerabilities are HIGH, CRITICAL or of unknown severity.",
            expected="none that is not accepted until a day to come",
            actual=", ".join(f"{f.id} ({f.package.name} {f.package.version})" for f in open_[:5]),
            next_step="take a version without it; or accept it for a while, with a reason and a "
            f"date, in {task.arguments.accepted.name}",
        )
    log.say(f"{packages} packages checked, nothing HIGH or CRITICAL is open")


def _row(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "aliases": sorted(finding.aliases),
        "package": finding.package.name,
        "version": finding.package.version,
        "severity": finding.severity,
        "counts_as": "HIGH" if finding.severity == "UNKNOWN" else finding.severity,
        "fixed": list(finding.fixed),
        "where": list(finding.where),
        "summary": finding.summary,
    }


def _line(row: dict[str, Any]) -> str:
    fixed = f", fixed in {', '.join(row['fixed'])}" if row["fixed"] else ", no fix"
    until = f", accepted until {row['accepted_until']}" if "accepted_until" in row else ""
    until = f", acceptance ended {row['acceptance_ended']}" if "acceptance_ended" in row else until
    severity = row["severity"] if row["severity"] != "UNKNOWN" else "UNKNOWN (counts as HIGH)"
    return f"{severity} {row['id']} {row['package']} {row['version']}{fixed}{until}"


def run(argv: Sequence[str] | None = None) -> int:
    """Scan; returns the exit code."""
    return main("cve_scan.sh", _arguments(), (), _work, argv)
