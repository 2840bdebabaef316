"""A leak is told from an echo, and every probe can be sent again from what a report shows."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex

import pytest

from harness.checks.markers import Finder, Marker
from harness.checks.probes import (
    Aim,
    Probe,
    Request,
    Seen,
    absent_like,
    at_nothing,
    by_name,
    judge,
    odd,
    shape,
    whole_text,
)
from harness.checks.probes_paths import READ_PROBES, WRITE_PROBES
from harness.checks.probes_query import QUERY_PROBES

WORD, KEEPER = "mark0123456789abcdef", "markfedcba9876543210"
AIM = Aim(
    tenant="hunter-1",
    persona="work",
    own_id="doc-own",
    barred="personal",
    other_tenant="quarry-1",
    other_persona="work",
    document_id="doc-foreign",
    chunk_id="doc-foreign#00.0000",
    point_id="0b7a2f3c-1111-5222-8333-444455556666",
    text="The budget.",
    word=WORD,
    keeper=KEEPER,
    trace_id="0123456789abcdef0123456789abcdef",
    other_cursor="ZG9jLWZvcmVpZ24",  # doc-foreign
)
FOREIGN = Finder(
    [
        Marker(WORD, "quarry-1", "work", "doc-foreign", "text"),
        Marker(KEEPER, "quarry-1", "work", "doc-foreign", "metadata"),
        Marker("doc-foreign", "quarry-1", "work", "doc-foreign", "id"),
    ]
)
PLAIN = QUERY_PROBES["the plain query"]
EVERY = {**QUERY_PROBES, **READ_PROBES, **WRITE_PROBES}


def judged(request: Request, seen: Seen) -> list[str]:
    return [leak.whose for leak in judge(PLAIN, AIM, request, seen, FOREIGN)]


@pytest.mark.parametrize("part", [WORD, KEEPER, "doc-foreign"])
def test_text_metadata_and_ids_of_others_in_an_answer_are_leaks(part) -> None:
    assert len(judged(AIM.query(), Seen(200, text=f'{{"a":"{part}"}}'))) == 1


def test_a_leak_in_a_header_or_an_error_counts_as_one_in_a_body() -> None:
    assert judged(AIM.query(), Seen(200, (("X-Trace", KEEPER),)))
    assert judged(AIM.query(), Seen(500, text=f"no row {KEEPER}"))


def test_a_refusal_may_repeat_what_it_was_sent_and_a_success_may_not() -> None:
    asked = AIM.query(filter={"keeper": KEEPER})
    assert judged(asked, Seen(422, text=KEEPER)) == []
    assert judged(asked, Seen(200, text=KEEPER))


@pytest.mark.parametrize("path", ["doc-foreign", "doc%2dforeign", "doc%252dforeign"])
def test_an_id_that_was_asked_for_is_no_leak_however_it_was_written(path) -> None:
    request = Request("GET", f"/v1/documents/{path}")
    assert judged(request, Seen(404, text='{"instance":"/v1/documents/doc-foreign"}')) == []


def test_a_leak_says_which_request_gave_whose_content_and_hides_the_rest() -> None:
    seen = Seen(200, text=f'{{"results":[{{"text":"The payroll {WORD}"}}]}}')
    (leak,) = judge(PLAIN, AIM, AIM.query(), seen, FOREIGN)
    told = leak.as_json()
    assert told["asker"] == "hunter-1/work" and told["probe"] == "the plain query"
    assert told["whose"] == "quarry-1/work, text of doc-foreign"
    assert WORD in told["found"] and "payroll" not in told["found"]
    assert "$EDGE/v1/query" in told["request"] and "$TOKEN" in told["request"]


def test_a_server_error_no_answer_and_a_success_that_had_to_be_refused_are_odd() -> None:
    refused = Probe("x", "y", lambda aim: aim.query(), refused=True)
    assert odd(PLAIN, AIM.query(), Seen(200)) == odd(refused, AIM.query(), Seen(404)) == ""
    for probe, status in ((PLAIN, 0), (PLAIN, 500), (refused, 200)):
        assert odd(probe, AIM.query(), Seen(status))


@pytest.mark.parametrize("probe", EVERY.values(), ids=lambda probe: probe.name)
def test_each_probe_makes_a_request_that_a_shell_can_send_again(probe) -> None:
    request = probe.make(AIM)
    words = shlex.split(request.curl())
    assert words[0] == "curl" and words[words.index("-X") + 1] == request.method
    assert words[-1] == "$EDGE" + request.target.replace("$", "\\$")
    if request.json is not None:
        assert json.loads(words[words.index("--data-binary") + 1]) == request.json


def test_no_probe_of_one_table_has_the_name_of_another() -> None:
    assert len(EVERY) == len(QUERY_PROBES) + len(READ_PROBES) + len(WRITE_PROBES)
    with pytest.raises(ValueError, match="two probes"):
        by_name([PLAIN, PLAIN])


def test_an_absent_id_has_the_length_and_look_of_the_foreign_one() -> None:
    absent = absent_like("doc-0123456789ab")
    assert absent != "doc-0123456789ab" and len(absent) == 16 and absent.startswith("doc-")


def test_an_aim_at_nothing_shares_no_name_with_the_aim_at_somebody() -> None:
    nothing = at_nothing(AIM)
    for name in ("other_tenant", "document_id", "chunk_id", "point_id", "word", "keeper",
                 "trace_id", "other_cursor", "exact"):  # fmt: skip
        assert getattr(nothing, name) != getattr(AIM, name), name
    assert (nothing.tenant, nothing.text) == (AIM.tenant, AIM.text)


def test_a_cursor_of_nobody_stands_where_the_victims_does() -> None:
    cursor = at_nothing(AIM).other_cursor
    assert base64.urlsafe_b64decode(cursor + "==").decode() == absent_like("doc-foreign")


@pytest.mark.parametrize(
    ("foreign", "absent"),
    [
        (Seen(404, (("ETag", '"1"'),)), Seen(404)),
        (Seen(304), Seen(404)),
        (Seen(404, (("Content-Length", "10"),)), Seen(404, (("Content-Length", "11"),))),
        (Seen(200, (("X-Cache", "HIT"),), "{}"), Seen(200, (("X-Cache", "MISS"),), "{}")),
    ],
)
def test_whatever_differs_but_names_dates_and_traces_tells_foreign_from_absent(
    foreign, absent
) -> None:
    request, nothing = Request("GET", "/v1/documents/doc-foreign"), at_nothing(AIM)
    assert shape(request, foreign, AIM) != shape(request, absent, nothing)
    for seen in (foreign, absent):
        other = Seen(
            seen.status, (*seen.headers, ("Date", "later"), ("X-Request-Id", "b")), seen.text
        )
        assert shape(request, seen, AIM) == shape(request, other, AIM)


def test_what_is_asked_about_the_text_of_a_document_is_about_the_text_that_was_written() -> None:
    assert AIM.exact == whole_text(AIM.text, WORD)
    tag = dict(QUERY_PROBES["the SHA-256 of the victim's text"].make(AIM).headers)["If-None-Match"]
    assert tag == f'"{hashlib.sha256(AIM.exact.encode()).hexdigest()}"'
