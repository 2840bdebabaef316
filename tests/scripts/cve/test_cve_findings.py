"""Whom an advisory concerns, how severe it is, and what is one finding under several names."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import TargetError, UsageError
from scripts.cve import accepted, inputs, osv, sources, trivy
from scripts.cve.findings import Finding, Package, together, worse

KETTLE = Package("blue-kettle", "1.2.0")
CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
LOW = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"
HIGH_2 = "AV:N/AC:L/Au:N/C:P/I:P/A:P"
HIGH_4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N"


def record(name: str = "OSV-1", **more: Any) -> dict[str, Any]:
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Blue_Kettle"},
        "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "1.0"}, {"fixed": "1.3"}]},
        ],
    }
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return {"id": name, "modified": stamp, "affected": [affected]} | more


def ranged(*events: dict[str, str]) -> dict[str, Any]:
    made = record()
    made["affected"][0]["ranges"] = [{"type": "ECOSYSTEM", "events": list(events)}]
    return made


@pytest.mark.parametrize(
    ("version", "concerned"),
    [
        *(("0.9", False), ("1.0", True), ("1.2.0", True), ("1.3rc1", True), ("1.3", False)),
        *(("1.3.0", False), ("2.0", False), ("1.10", False), ("1.0.post1", True)),
    ],
)
def test_versions_are_compared_as_versions(version: str, concerned: bool) -> None:
    found = osv.finding(record(), Package("blue-kettle", version), ["lock"])
    assert (found is not None) is concerned


@pytest.mark.parametrize(
    ("events", "version", "concerned"),
    [
        ([{"introduced": "0"}], "0.0.1.dev1", True),
        ([{"introduced": "0"}, {"last_affected": "1.2"}], "1.2", True),
        ([{"introduced": "0"}, {"last_affected": "1.2"}], "1.2.1", False),
        ([{"fixed": "1.1"}, {"introduced": "0"}, {"introduced": "1.2"}], "1.2", True),
        ([{"fixed": "1.1"}, {"introduced": "0"}, {"introduced": "1.2"}], "1.1.5", False),
        ([{"introduced": "not a version"}], "1.0", True),
    ],
)
def test_the_last_event_decides(
    events: list[dict[str, str]], version: str, concerned: bool
) -> None:
    found = osv.finding(ranged(*events), Package("blue-kettle", version), [])
    assert (found is not None) is concerned


def test_listed_versions_count_beside_ranges() -> None:
    listed = ranged({"introduced": "5"})
    listed["affected"][0]["versions"] = ["1.2"]
    assert osv.finding(listed, KETTLE, []) is not None
    listed["affected"][0]["versions"] = ["1.20"]
    assert osv.finding(listed, KETTLE, []) is None


def test_what_names_commits_alone_is_taken_for_affected() -> None:
    commits = record()
    commits["affected"][0]["ranges"] = [{"type": "GIT", "events": [{"introduced": "abc"}]}]
    assert osv.finding(commits, KETTLE, []) is not None


def test_what_was_withdrawn_or_is_of_another_ecosystem_concerns_nobody() -> None:
    assert osv.finding(record(withdrawn="2026-01-01T00:00:00Z"), KETTLE, []) is None
    other = record()
    other["affected"][0]["package"]["ecosystem"] = "npm"
    assert osv.finding(other, KETTLE, []) is None
    assert osv.concerns(other) == set()


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"severity": [{"type": "CVSS_V3", "score": CRITICAL}]}, "CRITICAL"),
        ({"severity": [{"type": "CVSS_V3", "score": LOW}]}, "LOW"),
        ({"severity": [{"type": "CVSS_V2", "score": HIGH_2}]}, "HIGH"),
        ({"severity": [{"type": "CVSS_V4", "score": HIGH_4}]}, "HIGH"),
        ({"database_specific": {"severity": "MODERATE"}}, "MEDIUM"),
        ({"database_specific": {"severity": "unheard of"}}, "UNKNOWN"),
        ({"severity": [{"type": "CVSS_V3", "score": "none of it"}]}, "UNKNOWN"),
        ({"severity": [{"type": "Ubuntu", "score": "low"}]}, "UNKNOWN"),
        ({}, "UNKNOWN"),
        (
            {
                "severity": [{"type": "CVSS_V3", "score": LOW}],
                "database_specific": {"severity": "HIGH"},
            },
            "HIGH",
        ),
    ],
)
def test_the_worst_severity_that_is_stated_counts(more: dict[str, Any], word: str) -> None:
    found = osv.finding(record(**more), KETTLE, [])
    assert found is not None and found.severity == word


def test_an_unknown_severity_fails_and_gives_way_to_a_stated_one() -> None:
    assert Finding(KETTLE, "X", "UNKNOWN").fails
    assert worse("UNKNOWN", "LOW") == worse("LOW", "UNKNOWN") == "LOW"
    assert worse("LOW", "HIGH") == "HIGH"


def test_one_vulnerability_under_several_names_is_one_finding() -> None:
    found = together(
        [
            Finding(KETTLE, "PYSEC-1", "UNKNOWN", frozenset({"CVE-2026-1"}), where=("a",)),
            Finding(KETTLE, "OTHER", "LOW"),
            Finding(KETTLE, "GHSA-1", "MEDIUM", frozenset({"CVE-2026-1"}), ("1.3",), "x", ("b",)),
        ]
    )
    assert [(each.id, each.severity) for each in found] == [
        ("CVE-2026-1", "MEDIUM"),
        ("OTHER", "LOW"),
    ]
    assert found[0].ids == {"CVE-2026-1", "PYSEC-1", "GHSA-1"} and found[0].where == ("a", "b")


def test_a_lock_file_is_read_with_comments_and_hashes(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "# comment\n-r other.txt\nBlue.Kettle[x]==1.2.0 ; python_version > '3' \\\n"
        "    --hash=sha256:abc\n\nplain===2  # why\n"
    )
    assert inputs.read_lock(lock) == [KETTLE, Package("plain", "2")]


@pytest.mark.parametrize(
    "line", ["kettle", "kettle>=1", "kettle==1.*", "kettle @ https://x/y.whl", "kettle==1,<2", ""]
)
def test_a_lock_file_that_leaves_something_open_cannot_be_checked(
    line: str, tmp_path: Path
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"{line}\n")
    with pytest.raises(TargetError):
        inputs.read_lock(lock)


PACKAGES: inputs.Packages = {KETTLE: {"lock"}, Package("other", "1"): {"lock"}}


@pytest.mark.parametrize("kind", ["json", "jsonl", "zip", "directory", "one"])
def test_a_database_is_read_in_every_shape(kind: str, tmp_path: Path) -> None:
    records = [record("OSV-1"), record("OSV-2", withdrawn="2026-01-01T00:00:00Z")]
    path = tmp_path / f"database.{kind}"
    if kind == "json":
        path.write_text(json.dumps(records))
    elif kind == "one":
        path = path.with_suffix(".json")
        path.write_text(json.dumps(records[0]))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(each) for each in records))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for each in records:
                archive.writestr(f"{each['id']}.json", json.dumps(each))
    else:
        (path / "PyPI").mkdir(parents=True)
        for each in records:
            (path / "PyPI" / f"{each['id']}.json").write_text(json.dumps(each))
    found = sources.from_database(path, PACKAGES, 14)
    assert [each.id for each in found] == ["OSV-1"] and found[0].fixed == ("1.3",)


@pytest.mark.parametrize("text", ["", "[", "[1]", "[]", '[{"id": "X"}]', '{"affected": 3}'])
def test_a_database_that_is_broken_anywhere_is_not_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(TargetError, match="nothing was checked"):
        sources.from_database(tmp_path / "d.json", PACKAGES, 14)


def test_one_broken_record_among_good_ones_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps([record(), {"id": "X", "affected": []}]))
    with pytest.raises(TargetError, match="nothing was checked"):
        sources.from_database(tmp_path / "d.json", PACKAGES, 14)


def test_an_old_database_is_refused_at_its_day(tmp_path: Path) -> None:
    path = tmp_path / "d.json"
    for days, good in ((13, True), (15, False)):
        made = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        path.write_text(json.dumps(record(modified=made)))
        if good:
            assert sources.from_database(path, PACKAGES, 14)
        else:
            with pytest.raises(TargetError, match="too old"):
                sources.from_database(path, PACKAGES, 14)


class _Service(BaseHTTPRequestHandler):
    """OSV's API as its documentation shows it, two pages to a question."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        results: list[dict[str, Any]] = []
        for query in asked:
            if query["package"]["name"] != KETTLE.name:
                results.append({})
            elif "page_token" in query:
                results.append({"vulns": [{"id": "OSV-2"}]})
            else:
                results.append({"vulns": [{"id": "OSV-1"}], "next_page_token": "more"})
        self._answer({"results": results})

    def do_GET(self) -> None:
        self._answer(record(self.path.rpartition("/")[2]))

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_about: object) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_service_is_asked_to_its_last_page(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    found = sources.from_service(service, PACKAGES)
    assert sorted(each.id for each in found) == ["OSV-1", "OSV-2"]


def test_a_service_that_is_not_osv_is_no_green(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_Service, "do_POST", lambda self: self._answer({"results": []}))
    with pytest.raises(TargetError, match="nothing was"):
        sources.from_service(service, PACKAGES)


def _trivy(place: Path, document: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name that prints a report, as `trivy fs --format json` does."""
    (place / "report.json").write_text(json.dumps(document))
    program = place / "trivy"
    program.write_text(f"#!/bin/sh\ncat {place}/report.json\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")


def _report(*names: str) -> dict[str, Any]:
    vulnerability = {
        "VulnerabilityID": "CVE-2026-1",
        "PkgName": "Blue_Kettle",
        "InstalledVersion": "1.2.0",
        "FixedVersion": "1.3, 2.0",
        "Severity": "HIGH",
    }
    packages = [{"Name": name, "Version": "1.2.0"} for name in names]
    return {"Results": [{"Packages": packages, "Vulnerabilities": [vulnerability]}]}


def test_trivys_report_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _trivy(tmp_path, _report("Blue_Kettle"), monkeypatch)
    found = trivy.scan_packages({KETTLE: {"lock"}}, tmp_path)
    assert found == [
        Finding(KETTLE, "CVE-2026-1", "HIGH", fixed=("1.3", "2.0"), where=("lock",)),
    ]


def test_what_trivy_passed_over_was_not_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _trivy(tmp_path, _report("something-else"), monkeypatch)
    with pytest.raises(TargetError, match="passed over 1"):
        trivy.scan_packages({KETTLE: {"lock"}}, tmp_path)
    _trivy(tmp_path, {"Results": []}, monkeypatch)
    with pytest.raises(TargetError, match="found no package"):
        trivy.scan_image("ragdrill/gateway")


def test_an_image_without_trivy_was_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trivy, "installed", lambda: False)
    with pytest.raises(TargetError, match="was not checked"):
        trivy.scan_image("ragdrill/gateway")


TODAY = date(2026, 5, 9)
ENTRY = (
    '[[accepted]]\nid = "CVE-2026-1"\npackage = "Blue_Kettle"\nreason = "r"\n'
    'until = 2026-06-01\nowner = "o"\n'
)


def test_an_accepted_finding_is_of_its_package(tmp_path: Path) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(ENTRY)
    (entry,) = accepted.load(path, TODAY)
    assert entry.covers(Finding(KETTLE, "GHSA-1", "HIGH", frozenset({"CVE-2026-1"})))
    assert not entry.covers(Finding(Package("other", "1"), "CVE-2026-1", "HIGH"))
    assert accepted.load(tmp_path / "none.toml") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("owner", "owners"),
        ("2026-06-01", "2099-01-01"),
        ("2026-06-01", '"soon"'),
        ('"r"', '" "'),
        ("[[accepted]]", "[[accepted"),
    ],
)
def test_an_entry_that_says_too_little_or_holds_too_long_is_refused(
    old: str, new: str, tmp_path: Path
) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text(ENTRY.replace(old, new))
    with pytest.raises(UsageError):
        accepted.load(path, TODAY)


def test_the_shipped_file_of_accepted_findings_can_be_read() -> None:
    from scripts.cve.scan import ACCEPTED, LOCKS

    assert ACCEPTED.exists()
    accepted.load(ACCEPTED)
    assert len(inputs.gather(LOCKS, environment=True)) > 50
