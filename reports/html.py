"""Renders a run as one self-contained HTML page: no script, no request to anywhere."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from harness.core.events import Measure
from harness.core.history import HISTORY_FILE
from harness.core.verdicts import Verdict
from reports import distribution, preview, review, scenario, timeline
from reports.judgement import GLOSSARY, Judgement, waiver_holds, waiver_text
from reports.leaks import leaks_of
from reports.model import Case, Requirement, Run
from reports.sampling import SampleFile, read_samples
from reports.wording import (
    duration,
    many,
    number,
    offset,
    plain,
    quantity,
    quantity_beside,
    shorten,
    utc,
    value_text,
)

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Figure:
    """A chart in both sizes with what it shows; ``subject`` is a scenario or a distribution."""

    key: str
    subject: scenario.Scenario | distribution.Distribution
    wide: Markup
    narrow: Markup
    description: str


@dataclass(frozen=True)
class RawFile:
    """A file of the run with the address that the page links it by, if it is there."""

    name: str
    href: str
    what: str


def render(judgement: Judgement, out: Path) -> str:
    """Return the page of a run that is to be written into the directory ``out``."""
    run = judgement.run
    files = {
        case.id: [read_samples(run.directory, said) for said in case.samples]
        for case in run.cases.values()
    }
    page = environment().get_template("page.html.j2")
    return page.render(
        judgement=judgement,
        run=run,
        start=run.start,
        bad=run.by_verdict(Verdict.ERROR, Verdict.FAIL, Verdict.INCONCLUSIVE),
        skipped=run.by_verdict(Verdict.SKIP),
        areas=_areas(run),
        timelines=_timelines(run, files),
        distributions=_distributions(run, files),
        dashboards=_dashboards(run),
        troubles=[f.trouble for found in files.values() for f in found if f.trouble],
        measures=[m for case in _by_id(run) for m in case.measures],
        raw_files=_raw_files(run, out, files),
        glossary=GLOSSARY,
    )


def environment() -> jinja2.Environment:
    """Return the templates with autoescape on, the filters and the words that they use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters.update(
        utc=utc,
        duration=duration,
        offset=offset,
        value=value_text,
        quantity=quantity,
        number=number,
        anchor=_anchor,
        shorten=shorten,
    )
    environment.globals.update(
        many=many,
        beside=quantity_beside,
        standing=distribution.standing,
        glyph=distribution.interval_glyph,
        percentile_name=distribution.percentile_name,
        range_text=distribution.range_text,
        review_name=review.file_name,
        waiver_text=waiver_text,
        waiver_holds=waiver_holds,
        measure_range=_measure_range,
        leaks_of=leaks_of,
        Verdict=Verdict,
    )
    return environment


def _printable(value: object) -> object:
    """Make unprintable characters visible in all that a template writes, markup left alone."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else plain(value)


def _anchor(text: str) -> str:
    """Return an id for use in the page: distinct for distinct cases, safe in an address."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in text)


def _measure_range(measure: Measure) -> str:
    """Return a measure's interval in words, or an empty string."""
    if not measure.interval or len(measure.interval) != 2:
        return ""
    low, high = (quantity_beside(end, measure.limit, measure.unit) for end in measure.interval)
    return f"{low} to {high}"


def _by_id(run: Run) -> list[Case]:
    return sorted(run.cases.values(), key=lambda case: case.id)


def _areas(run: Run) -> list[tuple[str, list[Requirement]]]:
    """Group requirements by area, both in the order of the guide."""
    areas: dict[str, list[Requirement]] = {}
    for requirement in run.requirements.values():
        areas.setdefault(requirement.area, []).append(requirement)
    return list(areas.items())


def _timelines(run: Run, files: dict[str, list[SampleFile]]) -> list[Figure]:
    found: list[Figure] = []
    for case in _by_id(run):
        built = scenario.build(run, case, files[case.id])
        if built is not None:
            key = f"timeline-{len(found) + 1}"
            found.append(
                Figure(
                    key,
                    built,
                    timeline.draw(built, key, "wide"),
                    timeline.draw(built, key, "narrow"),
                    timeline.describe(built),
                )
            )
    return found


def _distributions(run: Run, files: dict[str, list[SampleFile]]) -> list[Figure]:
    """Draw the samples of every case that is not a scenario: there the phases differ by intent."""
    found: list[Figure] = []
    for case in _by_id(run):
        for file in [] if case.phases else files[case.id]:
            said = file.said
            shown = distribution.gather(case.id, said.name, file.samples, said.limit, said.file)
            if shown is not None and said.unit == "s":
                key = f"latency-{len(found) + 1}"
                found.append(
                    Figure(
                        key,
                        shown,
                        distribution.draw(shown, key, "wide"),
                        distribution.draw(shown, key, "narrow"),
                        distribution.describe(shown),
                    )
                )
    return found


def _dashboards(run: Run) -> list[preview.DashboardView]:
    """The last preview of each dashboard, in the order in which they were first taken."""
    said = {each.uid: each for case in _by_id(run) for each in case.dashboards}
    return [preview.read(run.directory, each) for each in said.values()]


def _raw_files(run: Run, out: Path, files: dict[str, list[SampleFile]]) -> list[RawFile]:
    root = run.directory.resolve()

    def link(name: str, what: str) -> RawFile:
        path = (root / name).resolve()
        inside = path.is_relative_to(root) and path.exists()
        href = quote(os.path.relpath(path, out.resolve())) if inside else ""
        return RawFile(name, href, what)

    found = [link(HISTORY_FILE, "the history: every event, one JSON object a line")]
    found += [
        link(file.said.file, f"{many(file.said.n, 'sample')}: {file.said.name} of {file.said.case}")
        for each in files.values()
        for file in each
    ]
    if (root / "logs").is_dir():
        found.append(link("logs", "what the processes of the target logged"))
    return _without_repeats(found)


def _without_repeats(found: Iterable[RawFile]) -> list[RawFile]:
    return list({file.name: file for file in found}.values())
