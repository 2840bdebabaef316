"""What the audit saw as files: a page that a chat alert can link to, and the figures as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

from scripts.dayops.environment import Environment
from scripts.leakage.auditing import SHOWN, Report
from scripts.leakage.findings import FINDINGS_FILE, KINDS, REPORT_FILE

PAGE_FILE = "index.html"


def write_page(report: Report, directory: Path) -> Path:
    """Write :data:`PAGE_FILE`, then :data:`REPORT_FILE`; returns the page's path.

    The page holds ids and namespaces, never text of documents.
    """
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    when = datetime.fromtimestamp(report.began, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    page = templates.get_template("page.html.j2").render(
        report=report,
        when=when,
        kinds=KINDS,
        leaked_points=sum(report.kinds.values()),
        most_shown=SHOWN,
        findings_file=FINDINGS_FILE,
        directory=directory,
    )
    path = directory / PAGE_FILE
    path.write_text(page, encoding="utf-8")
    figures = json.dumps(as_json(report), indent=1, ensure_ascii=False) + "\n"
    (directory / REPORT_FILE).write_text(figures, encoding="utf-8")
    return path


def as_json(report: Report) -> dict[str, Any]:
    """Return the report's figures, without the single findings."""
    return {
        "began": report.began,
        "seconds": round(report.seconds, 3),
        "points": report.points,
        "chunks": report.chunks,
        "leaks": report.leaks,
        "kinds": report.kinds,
        "rows": [asdict(row) for row in report.rows],
        "deleted": report.deleted,
        "collections": [
            {**asdict(each), "kinds": dict(each.kinds), "leaks": each.leaks}
            for each in report.collections
        ],
    }


def link_to(path: Path, environment: Environment) -> str:
    """Return the address of a page: below ``REPORT_BASE_URL`` if that is set, else of the file."""
    base = environment["REPORT_BASE_URL"]
    if base:
        return f"{base}/{path.parent.name}/{path.name}"
    return path.resolve().as_uri()
