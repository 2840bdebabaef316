"""A leak in a report says what was asked by whom, what came back, whose it was and how to repeat
it, and what came back can write nothing into the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import Maker
from test_page import Page

import reports
from harness.core import events
from reports.leaks import leaks_of

CASE = "isolation/query::a_request_cannot_widen_itself[header]"
LEAK = {
    "probe": "tenant in a header",
    "asker": "hunter-1/work",
    "request": 'curl -H "Authorization: Bearer $TOKEN" "$EDGE/v1/query"',
    "where": "200, body",
    "found": '···,"text":"··· ··· markf00dfacecafe0123.","score":<script>',
    "whose": "quarry-1/personal, text of doc-1",
    "marker": "markf00dfacecafe0123",
}


def leaky_run(directory: Path, *found: object) -> reports.Rendered:
    make = Maker(directory)
    make.start()
    make.guide()
    make.begin(CASE)
    what = "header: nothing foreign in 60 answers"
    make.write(events.Observation(CASE, what, "fail", "none", "some", {"leaks": list(found)}))
    make.end(CASE, "fail", 1.0, what)
    make.finish()
    make.history.close()
    return reports.render(directory)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> reports.Rendered:
    return leaky_run(tmp_path_factory.mktemp("leaky"), LEAK)


@pytest.mark.parametrize("part", ["probe", "asker", "request", "where", "whose", "marker"])
def test_the_page_says_all_there_is_to_know_of_a_leak(rendered, part) -> None:
    assert LEAK[part] in Page(rendered.index.read_text()).text


def test_the_marker_alone_is_marked_and_what_came_back_is_only_text(rendered) -> None:
    page = rendered.index.read_text()
    assert "<mark>markf00dfacecafe0123</mark>" in page
    assert "<script>" not in page


def test_the_summary_tells_the_leak_and_the_request(rendered) -> None:
    told = rendered.summary.read_text()
    assert LEAK["request"] in told and LEAK["whose"] in told and LEAK["marker"] in told


def test_a_leak_that_is_none_or_lacks_parts_breaks_no_page(tmp_path) -> None:
    page = Page(leaky_run(tmp_path, "nonsense", 7, {"found": "x", "marker": "y"}).index.read_text())
    assert "Came back" in page.text


def test_no_more_leaks_are_shown_than_anybody_reads() -> None:
    seen = events.Observation(CASE, "x", "fail", details={"leaks": [LEAK] * 40})
    assert len(leaks_of([seen])) == 12
