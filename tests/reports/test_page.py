"""The page says the verdict first, names what it rests on, and lets no target write into it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import Maker, full, passing_run, scenario, slo

import reports
from harness.core import events
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

VOID = {"meta", "br", "hr", "img", "link", "input", "col"}


class Page(HTMLParser):
    """Reads a page into what the tests ask of it; fails on a tag that is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] for _, attrs in self.tags if attribute in attrs]


def page_of(directory: Path) -> Page:
    return Page(reports.render(directory).index.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(full(tmp_path_factory.mktemp("run")))


def test_the_verdict_stands_before_everything_else(whole: Page) -> None:
    contents = "Not passed Requirements Scenarios Latency Components Measures Run again"
    assert contents in whole.text
    body = whole.text.replace(contents, "")
    order = [
        "1 of 18 cases could not be judged; 2 failed",
        "Of 16 MUST requirements in the guide, 9 met, 2 not met, 5 not shown",
        "stand-ins for vectordb",
        "What the verdict rests on",
        "Not passed",
        "Did not run, so not shown",
        "Requirements Monitor",
        "Scenarios Each scenario",
        "Latency The axis",
        "Components Role",
        "Measures The strip",
        "Run again, raw data, words",
    ]
    places = [body.find(part) for part in order]
    assert -1 not in places, order[places.index(-1)]
    assert places == sorted(places)


def test_it_names_target_profile_seed_commit_and_time(whole: Page) -> None:
    for part in ("reference, driver embedded", "full", "20261122", "4f2a9c1be07d55"):
        assert part in whole.text
    assert "2026-11-22 08:00:00 UTC" in whole.text


def test_each_case_that_did_not_pass_tells_all_that_is_needed(whole: Page) -> None:
    case = whole.text[whole.text.find("rollout/blue-green::no_failed") :][:1200]
    for part in (
        "A new gateway goes live with no failed request",
        "§ 6.1",
        "Requests failed while green took over",
        "Expected 0",
        "Actual 3",
        "Faults still on latency on edge-green",
        "ragdrill verify --case 'rollout/blue-green::no_failed_request_on_fresh_connections'",
    ):
        assert part in case, part


def test_waivers_are_shown_with_their_reason_and_expired_ones_as_such(whole: Page) -> None:
    assert "Waived until 2027-01-31: No GPU in staging" in whole.text
    assert "Waiver expired on 2026-10-31" in whole.text


def test_a_requirement_without_a_case_is_not_shown(whole: Page) -> None:
    place = whole.text.find("Each fix of the 5xx playbook ends the error spike")
    assert "not shown" in whole.text[place - 60 : place]
    assert "No case of this run." in whole.text[place : place + 200]


def test_stand_ins_are_marked_in_words(whole: Page) -> None:
    assert len(re.findall(r"◐ stand-in", whole.text)) == 2


def test_it_asks_nothing_of_any_network_and_runs_no_script(whole: Page) -> None:
    assert "script" not in {tag for tag, _ in whole.tags}
    assert not [attr for _, attrs in whole.tags for attr in attrs if attr.startswith("on")]
    links = whole.values("href") + whole.values("src")
    assert not [link for link in links if re.match(r"[a-z]+:|//", link)]
    assert "url(" not in whole.source.replace("url(#hatch)", "")
    assert "@import" not in whole.source
    policy = [attrs["content"] for _, attrs in whole.tags if "http-equiv" in attrs]
    assert policy and policy[0].startswith("default-src 'none'")


def test_ids_are_unique_and_what_is_referred_to_exists(whole: Page) -> None:
    ids = whole.values("id")
    assert len(ids) == len(set(ids))
    wanted = [link[1:] for link in whole.values("href") if link.startswith("#")]
    wanted += [name for names in whole.values("aria-labelledby") for name in names.split()]
    assert set(wanted) <= set(ids)


def test_every_chart_has_a_text_alternative(whole: Page) -> None:
    charts = [attrs for tag, attrs in whole.tags if tag == "svg" and attrs.get("role") == "img"]
    assert len(charts) == 4, "a timeline and a distribution, each wide and narrow"
    assert all("aria-labelledby" in attrs for attrs in charts)
    others = [attrs for tag, attrs in whole.tags if tag == "svg" and "role" not in attrs]
    assert all(attrs.get("aria-hidden") == "true" for attrs in others if "class" in attrs)


def test_raw_data_is_linked_from_the_page(tmp_path: Path) -> None:
    page = page_of(full(tmp_path))
    files = [link for link in page.values("href") if not link.startswith("#")]
    assert "run.jsonl" in files
    assert sum(link.startswith("samples/") for link in files) == 3
    assert all((tmp_path / link).exists() for link in files)


def test_raw_data_is_linked_from_another_directory_too(tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "page"
    rendered = reports.render(full(tmp_path / "run"), out)
    page = Page(rendered.index.read_text(encoding="utf-8"))
    files = [link for link in page.values("href") if not link.startswith("#")]
    assert files and all((out / link).exists() for link in files)


def test_what_a_target_says_is_text_and_never_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}\x1b[2J\u202e"
    case = f"slo/latency::{evil}"
    make = Maker(tmp_path)
    make.start(target=evil, profile=evil, argv=[evil], git={"commit": evil})
    make.write(events.RequirementKnown("slo/latency", evil, evil, evil, {"reason": evil}))
    make.write(events.ComponentSeen(evil, evil, evil, True, evil))
    make.write(events.Note(evil, evil))
    for word in ("fail", "skip", "pass"):
        make.begin(case + word, evil)
        make.saw(
            case + word, evil, "fail", expected={evil: evil}, actual=[evil], details={"a": evil}
        )
        make.measure(case + word, evil, 1.0, evil, limit=2.0, interval=[0.5, 1.5], method=evil)
        make.end(case + word, word, message=evil, active_faults=[evil], expected=evil, actual=evil)
    for t, phase in ((0, "steady"), (9, "fault")):
        arm = events.ScenarioPhase(case + "pass", evil, phase, evil)
        make.write(arm, at=make.now + t)
        make.write(events.AlertSeen(evil, evil, make.now + t, case + "pass", evil))
        make.write(events.PlaybookStep(evil, evil, evil, False, {}, case + "pass", evil))
    make.write(events.FaultInjected("f", evil, evil, {}, case + "pass", evil))
    rows = [{"t": make.now + index, "seconds": 0.1, "ok": True} for index in range(30)]
    make.samples(case + "fail", "x", rows)
    make.finish()
    page = page_of(tmp_path)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert not [attr for _, attrs in page.tags for attr in attrs if attr.startswith("on")]
    assert "<script>alert(1)</script>" in page.text, "it is shown, as text"
    assert "\x1b" not in page.source and "\u202e" not in page.source
    assert "49" not in page.text.replace("{{7*7}}", "")
    assert "{{7*7}}" in page.text


def test_a_sample_file_outside_the_run_is_neither_read_nor_linked(tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text('{"t": 1, "seconds": 9}\n')
    make = Maker(tmp_path / "run")
    make.start()
    make.begin("slo/latency::p95")
    make.write(events.Samples("slo/latency::p95", "x", "s", "../secret.jsonl", 1))
    make.end("slo/latency::p95", "fail", message="x")
    make.finish()
    page = page_of(tmp_path / "run")
    assert "../secret.jsonl" not in page.values("href")
    assert "lies outside the run directory" in page.text


def test_a_missing_or_short_sample_file_is_told(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    slo(make)
    make.write(events.Samples("slo/latency::p95_under_reference_load", "x", "s", "gone.jsonl", 5))
    make.finish()
    kept = next((tmp_path / "samples").iterdir())
    kept.write_text("".join(kept.read_text().splitlines(keepends=True)[:600]))
    page = page_of(tmp_path)
    assert "gone.jsonl could not be read" in page.text
    assert "holds 600 samples where 1200 were recorded" in page.text


@pytest.mark.parametrize("kind", ["empty", "skipped", "cut off"])
def test_a_run_that_shows_nothing_does_not_look_green(tmp_path: Path, kind: str) -> None:
    make = Maker(tmp_path)
    make.start()
    make.guide()
    if kind == "skipped":
        make.begin("slo/latency::p95")
        make.end("slo/latency::p95", "skip", message="no role gateway")
    if kind == "cut off":
        make.passing("slo/latency::p95", "p95")
    else:
        make.finish()
    page = page_of(tmp_path)
    body = next(attrs["class"] for tag, attrs in page.tags if tag == "body")
    heading = page.text[page.text.find("Ragdrill conformance run") :][:120]
    if kind == "cut off":
        assert body == "is-error"
        assert "The run was cut off before its end" in heading
    else:
        assert body == "is-skip"
        assert "Nothing was shown" in heading


def test_an_empty_history_renders_as_an_error(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text("")
    rendered = reports.render(tmp_path)
    assert rendered.verdict is Verdict.ERROR
    assert "cut off" in Page(rendered.index.read_text()).text


def test_no_history_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="There is no history to read"):
        reports.render(tmp_path)


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    run = full(tmp_path / "run")
    first, second = (reports.render(run, tmp_path / name) for name in ("a", "b"))
    for one, other in zip(
        (first.index, first.junit, first.summary),
        (second.index, second.junit, second.summary),
        strict=True,
    ):
        assert one.read_bytes() == other.read_bytes()


def test_unknown_kinds_and_fields_are_left_alone(tmp_path: Path) -> None:
    run = passing_run(tmp_path)
    lines = (run / "run.jsonl").read_text().splitlines()
    lines.insert(3, '{"v": 1, "t": 1795334400.5, "worker": "gw0", "kind": "later.kind", "a": 1}')
    lines[0] = lines[0].replace('"kind"', '"later_field": 5, "kind"')
    (run / "run.jsonl").write_text("\n".join(lines) + "\n")
    assert reports.render(run).verdict is Verdict.PASS


def test_text_that_is_no_unicode_is_made_visible(tmp_path: Path) -> None:
    run = passing_run(tmp_path)
    history = (run / "run.jsonl").read_text()
    (run / "run.jsonl").write_text(history.replace('"reference"', '"ref\\ud800erence"'))
    rendered = reports.render(run)
    assert "ref\ufffderence" in rendered.index.read_text(encoding="utf-8")
    assert "ref\ufffderence" in rendered.junit.read_text(encoding="utf-8")
    assert "ref\ufffderence" in rendered.summary.read_text(encoding="utf-8")


def test_numbers_that_are_none_are_drawn_nowhere_and_break_nothing(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.begin("slo/latency::p95")
    make.measure("slo/latency::p95", "p95", float("nan"), "s", limit=0.25, interval=[0.1, 0.2])
    make.measure("slo/latency::p95", "flat", 0.0, "s", limit=0.0, interval=[0.0, 0.0])
    make.measure("slo/latency::p95", "open", 1.0, "s", limit=0.25, interval=[0.1, float("inf")])
    make.samples("slo/latency::p95", "one", [{"t": make.now, "seconds": 0.0, "ok": True}], 0.25)
    make.saw("slo/latency::p95", "p95")
    make.end("slo/latency::p95", "pass")
    make.finish()
    page = page_of(tmp_path)
    assert "not a number" in page.text
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page.source)


def test_a_scenario_without_samples_or_objective_still_tells_its_story(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    scenario(make)
    make.finish()
    for file in (tmp_path / "samples").iterdir():
        file.unlink()
    page = page_of(tmp_path)
    assert "What happened, in order" in page.text
    assert "Step 2, latency/embed-fallback: its action ran" in page.text


def test_ten_thousand_events_are_rendered(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.guide()
    make.components()
    for number in range(400):
        case = f"isolation/query::case_{number}"
        make.begin(case)
        for seen in range(22):
            make.saw(case, f"answer {seen} holds no foreign chunk", expected=0, actual=0)
        make.measure(case, "answers", 22, "count")
        make.end(case, "pass", 0.1)
    make.finish()
    page = page_of(tmp_path)
    assert page.text.count("answer 21 holds no foreign chunk") == 400
