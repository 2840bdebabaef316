"""Writes every report of a run into a directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict
from reports import drill_pages, html, junit, markdown, review
from reports.drill import drills
from reports.judgement import Judgement, judge
from reports.model import load


@dataclass(frozen=True)
class Rendered:
    """Where the reports lie and what they say; ``judgement`` is what the terminal prints too."""

    index: Path
    junit: Path
    summary: Path
    judgement: Judgement

    @property
    def verdict(self) -> Verdict:
        return self.judgement.verdict


def render(run_dir: Path, out: Path | None = None) -> Rendered:
    """Write ``index.html``, ``junit.xml`` and ``summary.md`` of the run in ``run_dir`` into ``out``
    (default: into ``run_dir``), of each drill ``drill.html`` and ``drill.md``, and of each incident
    ``review-<id>.md``; the same history gives the same bytes.

    Raises:
        HarnessError: there is no readable history, or ``out`` cannot be written.
    """
    run_dir = Path(run_dir)
    out = run_dir if out is None else Path(out)
    judgement = judge(load(run_dir))
    try:
        out.mkdir(parents=True, exist_ok=True)
        rendered = Rendered(out / "index.html", out / "junit.xml", out / "summary.md", judgement)
        # A lone surrogate that slipped through must not cost the whole report.
        rendered.index.write_bytes(html.render(judgement, out).encode(errors="replace"))
        rendered.junit.write_bytes(junit.render(judgement))
        rendered.summary.write_bytes(markdown.render(judgement).encode(errors="replace"))
        for written in review.reviews(judgement.run):
            (out / written.name).write_bytes(written.text.encode(errors="replace"))
        for number, drill in enumerate(drills(run_dir, judgement), start=1):
            stem = "drill" if number == 1 else f"drill-{number}"
            page, pack = drill_pages.html(drill), drill_pages.markdown(drill)
            (out / f"{stem}.html").write_bytes(page.encode(errors="replace"))
            (out / f"{stem}.md").write_bytes(pack.encode(errors="replace"))
    except OSError as error:
        raise HarnessError(
            "The reports could not be written.",
            expected=f"a directory that can be written: {out}",
            actual=str(error),
            next_step="name another place: python -m reports <run directory> --out <directory>",
        ) from error
    return rendered
