"""The JUnit XML has the shape that CI systems read, and only a pass is green in it."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from synthetic_run import Maker, full, passing_run

from reports import junit
from reports.judgement import judge
from reports.model import load

# Children and attributes (those with "!" must be there) that the schema of the Jenkins xUnit
# plugin knows (junit-10.xsd); other readers take less, none takes more.
SCHEMA = {
    "testsuites": ({"testsuite"}, {"name", "time", "tests", "failures", "errors"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {"name!", "tests!", "failures!", "errors!", "skipped", "time", "timestamp", "hostname"},
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name!", "value!"}),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name!", "time", "classname"},
    ),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "skipped": (set(), {"type", "message"}),
}


def rendered(directory: Path) -> ET.Element:
    return ET.fromstring(junit.render(judge(load(directory))))


def outcome(root: ET.Element, classname: str, name: str) -> ET.Element | None:
    case = root.find(f".//testcase[@classname='{classname}'][@name='{name}']")
    assert case is not None, f"no test case {classname} {name}"
    return case[0] if len(case) else None


def assert_fits_the_schema(element: ET.Element) -> None:
    children, attributes = SCHEMA[element.tag]
    allowed = {name.rstrip("!") for name in attributes}
    assert set(element.attrib) <= allowed, element.tag
    assert {name[:-1] for name in attributes if name.endswith("!")} <= set(element.attrib)
    for number in {"tests", "failures", "errors", "skipped"} & set(element.attrib):
        assert element.attrib[number].isdigit()
    if "time" in element.attrib:
        assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
    for child in element:
        assert child.tag in children, f"{child.tag} in {element.tag}"
        assert_fits_the_schema(child)


def test_it_fits_the_schema(tmp_path: Path) -> None:
    assert_fits_the_schema(rendered(full(tmp_path)))


def test_the_totals_are_those_of_the_elements(tmp_path: Path) -> None:
    root = rendered(full(tmp_path))
    for element in [root, *root]:
        cases = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(cases)
        assert int(element.attrib["failures"]) == sum(len(c.findall("failure")) for c in cases)
        assert int(element.attrib["errors"]) == sum(len(c.findall("error")) for c in cases)
        if element is not root:
            skipped = sum(len(case.findall("skipped")) for case in cases)
            assert int(element.attrib["skipped"]) == skipped


@pytest.mark.parametrize(
    ("verdict", "tag"),
    [
        ("pass", None),
        ("fail", "failure"),
        ("inconclusive", "failure"),
        ("error", "error"),
        ("skip", "skipped"),
    ],
)
def test_each_verdict_becomes_its_element(tmp_path: Path, verdict: str, tag: str | None) -> None:
    make = Maker(tmp_path)
    make.start()
    make.guide()
    make.begin("slo/latency::p95")
    make.saw("slo/latency::p95", "p95")
    make.end("slo/latency::p95", verdict, message="" if verdict == "pass" else "the reason")
    make.finish()
    found = outcome(rendered(tmp_path), "slo.latency", "p95")
    if tag is None:
        assert found is None
    else:
        assert found is not None
        assert (found.tag, found.attrib["type"]) == (tag, verdict)
        assert found.attrib["message"] == "the reason"


def test_a_failure_says_how_to_run_it_again(tmp_path: Path) -> None:
    found = outcome(
        rendered(full(tmp_path)), "rollout.blue-green", "no_failed_request_on_fresh_connections"
    )
    assert found is not None and found.text is not None
    assert found.attrib["message"].endswith("connection refused. (expected 0, got 3)")
    for part in ("expected: 0", "actual: 3", "latency on edge-green", "seed: 20261122", "--case"):
        assert part in found.text


def test_a_run_that_was_cut_off_is_an_error_of_its_own(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.passing("slo/latency::p95", "p95")
    root = rendered(tmp_path)
    found = outcome(root, "run", "record_holds_and_shows_something")
    assert found is not None and found.tag == "error"
    assert root.attrib["errors"] == "1"


@pytest.mark.parametrize("cases", [0, 2])
def test_a_run_that_showed_nothing_is_not_green(tmp_path: Path, cases: int) -> None:
    make = Maker(tmp_path)
    make.start()
    for index in range(cases):
        make.begin(f"slo/latency::case_{index}")
        make.end(f"slo/latency::case_{index}", "skip", message="no role")
    make.finish()
    root = rendered(tmp_path)
    assert_fits_the_schema(root)
    assert root.attrib["failures"] == "1"


def test_a_run_of_passes_is_green(tmp_path: Path) -> None:
    root = rendered(passing_run(tmp_path))
    assert (root.attrib["failures"], root.attrib["errors"]) == ("0", "0")
    assert not list(root.iter("skipped"))


def test_characters_that_xml_refuses_are_replaced(tmp_path: Path) -> None:
    make = Maker(tmp_path)
    make.start()
    make.begin("slo/latency::p95")
    make.end("slo/latency::p95", "fail", message="\x1b[31mred\x1b[0m \x00 \x08 \ufffe <b> & ]]>")
    make.finish()
    found = outcome(rendered(tmp_path), "slo.latency", "p95")
    assert found is not None
    assert found.attrib["message"] == "red \ufffd \ufffd \ufffd <b> & ]]>"
