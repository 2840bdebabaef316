"""The guide's registries load, and anything wrong in them is refused with what would be right."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from harness.core import guide
from harness.core.errors import UsageError

REQUIREMENT = """
schema = 1
[[requirement]]
slug = "recovery/rto"
level = "MUST"
section = "4, 5"
permission = "destroy"
sentence = "A restore takes at most an hour."
"""
WAIVER = """
schema = 1
[[waiver]]
slug = "recovery/rto"
kind = "not-yet"
reason = "no case yet"
until = 2027-01-31
owner = "maintainers"
"""
ERRATUM = """
schema = 1
[[erratum]]
section = "5.1"
says = "a"
why = "b"
instead = "c"
case = ""
"""


def _file(tmp_path: Path, text: str, name: str = "file.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_shipped_requirements_load_and_span_the_guide() -> None:
    loaded = guide.load_requirements()
    assert len(loaded) >= 60
    assert {"recovery", "isolation", "playbook", "slo"} <= {r.area for r in loaded}
    assert {r.level for r in loaded} == {"MUST", "SHOULD"}
    chapters = {section.split(".")[0] for r in loaded for section in r.section.split(", ")}
    assert chapters == {str(chapter) for chapter in range(1, 13)}


def test_a_requirement_carries_what_the_file_says(tmp_path: Path) -> None:
    (loaded,) = guide.load_requirements(_file(tmp_path, REQUIREMENT))
    assert loaded == guide.Requirement(
        slug="recovery/rto",
        level="MUST",
        section="4, 5",
        sentence="A restore takes at most an hour.",
        permission="destroy",
    )
    assert loaded.area == "recovery"


def test_an_unknown_slug_names_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"did you mean recovery/round-trip"):
        guide.requirement_of("recovery/roundtrip")
    assert guide.requirement_of("recovery/round-trip").section == "5.1"


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("sentence =", "sentense =", "did you mean sentence"),
        ('"MUST"', '"MAY"', "level"),
        ('"destroy"', '"delete"', "permission"),
        ('"4, 5"', '"four"', "section numbers"),
        ('"recovery/rto"', '"Recovery RTO"', "area/requirement"),
        ('sentence = "A restore takes at most an hour."', "", "sentence"),
        ('"A restore takes at most an hour."', '"  "', "must not be empty"),
        ('"A restore takes at most an hour."', "7", "sentence"),
        ("schema = 1", "schema = 2", "schema = 1"),
        ("schema = 1", "", "schema = 1"),
        ("schema = 1", "schema = 1\nscheme = 1", "did you mean schema"),
        ("[[requirement]]", "[requirement]", r"\[\[requirement\]\]"),
        ("[[requirement]]", "[[requirement]", "no valid TOML"),
        ("schema = 1\n", "schema = 1\n" + REQUIREMENT.split("schema = 1\n")[1], "named twice"),
    ],
)
def test_a_wrong_requirements_file_is_refused(
    tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    assert before in REQUIREMENT
    path = _file(tmp_path, REQUIREMENT.replace(before, after))
    with pytest.raises(UsageError, match=complaint) as caught:
        guide.load_requirements(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml can't be read"):
        guide.load_requirements(tmp_path / "gone.toml")


def test_a_waiver_holds_to_its_last_day_and_not_a_day_longer(tmp_path: Path) -> None:
    path = _file(tmp_path, WAIVER)
    assert [w.slug for w in guide.load_waivers(date(2027, 1, 31), path)] == ["recovery/rto"]
    assert guide.load_waivers(date(2027, 2, 1), path) == ()
    assert [w.slug for w in guide.load_all_waivers(path)] == ["recovery/rto"]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("recovery/rto", "recovery/rtoo", "did you mean recovery/rto"),
        ("2027-01-31", '"soon"', "until"),
        ("2027-01-31", "2027-01-31T10:00:00", "until"),
        ('"not-yet"', '"passed"', "kind"),
        ('"no case yet"', '""', "must not be empty"),
        ("owner =", "who =", "there is no key 'who'"),
        ("schema = 1\n", "schema = 1\n" + WAIVER.split("schema = 1\n")[1], "named twice"),
    ],
)
def test_a_wrong_waiver_is_refused(tmp_path: Path, before: str, after: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        guide.load_all_waivers(_file(tmp_path, WAIVER.replace(before, after)))


def test_the_shipped_waivers_and_errata_load() -> None:
    guide.load_all_waivers()
    errata = guide.load_errata()
    assert {"5.1", "6.2", "7", "9.3", "11"} <= {erratum.section for erratum in errata}


def test_an_erratum_without_its_cure_is_refused(tmp_path: Path) -> None:
    assert len(guide.load_errata(_file(tmp_path, ERRATUM))) == 1
    with pytest.raises(UsageError, match="instead"):
        guide.load_errata(_file(tmp_path, ERRATUM.replace('instead = "c"', "")))


def test_the_shipped_objectives_are_those_of_the_guide() -> None:
    objectives = guide.load_objectives()
    latency, availability = objectives["query-latency"], objectives["availability"]
    assert (latency.threshold_s, latency.target) == (0.25, 0.95)
    assert (availability.threshold_s, availability.requirement) == (None, "slo/availability")
    assert 0.99 <= availability.target < 1


def test_the_latency_objective_counts_the_bucket_of_its_own_threshold() -> None:
    text = (guide.GUIDE / "slo.yaml").read_text()
    edges = re.findall(r'query_latency_seconds_bucket\{le="([\d.]+)"\}', text)
    assert [float(edge) for edge in edges] == [guide.load_objectives()["query-latency"].threshold_s]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("openslo/v1", "openslo/v2", "apiVersion is 'openslo/v2'"),
        ("target: 0.995", "target: 99.5", "target is 99.5"),
        ("target: 0.995", "target: often", "could not convert"),
        ("slo/availability", "slo/availabilty", "did you mean slo/availability"),
        ("  objectives:", "  objectivs:", "KeyError"),
        ("kind: SLO", "kind: [", "ParserError"),
        ("name: availability", "name: query-latency", "named twice"),
    ],
)
def test_a_wrong_objectives_file_is_refused(
    tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    text = (guide.GUIDE / "slo.yaml").read_text()
    assert before in text
    with pytest.raises(UsageError, match=complaint):
        guide.load_objectives(_file(tmp_path, text.replace(before, after), "slo.yaml"))


def test_the_shipped_recovery_objectives_hold_the_durations_of_the_guide() -> None:
    objectives = guide.load_recovery_objectives()
    assert set(objectives) == set(guide.RECOVERY_OBJECTIVES)
    assert objectives["backup"].seconds == 120
    assert objectives["recovery-time"].seconds == 3600


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ('name = "backup"', 'name = "bakup"', "must be one of"),
        ("seconds = 120", "seconds = 0", "greater than 0"),
        ("seconds = 120", "minutes = 2\nseconds = 120", "minutes"),
        ('name = "recovery-time"', 'name = "backup"', "twice"),
    ],
)
def test_wrong_recovery_objectives_are_refused(
    tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    text = (guide.GUIDE / "recovery.toml").read_text()
    assert before in text
    with pytest.raises(UsageError, match=complaint):
        guide.load_recovery_objectives(_file(tmp_path, text.replace(before, after)))


def test_a_recovery_objective_that_is_left_out_is_missed(tmp_path: Path) -> None:
    text = (guide.GUIDE / "recovery.toml").read_text()
    cut = text[: text.rindex("[[objective]]")]
    with pytest.raises(UsageError, match="recovery-point-vectors"):
        guide.load_recovery_objectives(_file(tmp_path, cut))
