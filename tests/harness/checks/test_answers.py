"""Answers, settings and agreement between stores: equal ones pass, and each difference is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from harness.checks.agreement import agreement_verdict, compare_stores
from harness.checks.answers import (
    answers_differ,
    answers_verdict,
    configuration,
    configuration_verdict,
    top_k_answers,
)
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict

MakeStore = Callable[..., Any]
QUERIES = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0]]


def test_the_same_content_in_another_layout_gives_the_same_answers(make_store: MakeStore) -> None:
    before = top_k_answers(make_store(80, seed=1).collection(), QUERIES, 5)
    after = top_k_answers(make_store(80, seed=2).collection(), QUERIES, 5)
    assert [len(answer) for answer in before] == [5, 5]
    assert answers_verdict(before, after).verdict is Verdict.PASS


def test_a_lost_best_answer_is_a_failure_that_names_its_query(make_store: MakeStore) -> None:
    store = make_store(80)
    before = top_k_answers(store.collection(), QUERIES, 5)
    del store.points[str(before[1][0][0])]
    result = answers_verdict(before, top_k_answers(store.collection(), QUERIES, 5))
    assert result.verdict is Verdict.FAIL
    assert "1" in result.details["examples"]


def test_the_search_is_exact_unless_asked_otherwise(make_store: MakeStore) -> None:
    store = make_store(5)
    top_k_answers(store.collection(), QUERIES[:1], 2, using="v", where={"must": []})
    top_k_answers(store.collection(), QUERIES[:1], 2, exact=False, ef=64)
    (_, first), (_, second) = store.calls
    assert first["params"] == {"exact": True}
    assert first["using"] == "v" and first["filter"] == {"must": []}
    assert second["params"] == {"exact": False, "hnsw_ef": 64}


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ([(1, 0.9), (2, 0.5)], [(1, 0.9), (2, 0.5)], False),
        ([(1, 0.9), (2, 0.9)], [(2, 0.9), (1, 0.9)], False),  # a tie may swap
        ([(1, 0.9), (2, 0.5)], [(1, 0.9), (3, 0.5)], False),  # another of the last score
        ([(1, 0.9), (2, 0.9), (3, 0.5)], [(1, 0.9), (4, 0.9), (3, 0.5)], True),
        ([(1, 0.9), (2, 0.5)], [(2, 0.9), (1, 0.5)], True),
        ([(1, 0.9)], [(1, 0.8)], True),
        ([(1, 0.9)], [], True),
        ([], [], False),
    ],
)
def test_ties_are_the_only_freedom(before: Any, after: Any, differs: bool) -> None:
    assert (answers_differ(before, after) is not None) is differs


def test_no_queries_and_no_answers_show_nothing() -> None:
    assert answers_verdict([], []).verdict is Verdict.INCONCLUSIVE
    assert answers_verdict([[], []], [[], []]).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(HarnessError):
        answers_verdict([[]], [])


def test_settings_are_compared_by_path_and_counts_do_not_matter(make_store: MakeStore) -> None:
    one, two = make_store(3), make_store(9)
    two.schema = copy.deepcopy(two.schema)
    two.schema["tenant_id"]["points"] = 9
    two.config["quantization_config"] = None
    assert configuration_verdict(
        configuration(one.collection()), configuration(two.collection())
    ).passed
    two.schema["tenant_id"]["params"]["is_tenant"] = False
    two.aliases = []
    result = configuration_verdict(configuration(one.collection()), configuration(two.collection()))
    assert result.verdict is Verdict.FAIL
    assert [d["path"] for d in result.details["differences"]] == [
        "aliases",
        "payload_schema.tenant_id.params.is_tenant",
    ]


def _rows(store: Any) -> list[tuple[str, str, Any]]:
    return [
        (p["payload"]["tenant_id"], p["payload"]["chunk_id"], p["id"])
        for p in store.points.values()
    ]


def test_stores_that_hold_the_same_chunks_agree(make_store: MakeStore) -> None:
    store = make_store(30)
    rows = [(t, c, p.upper().replace("-", "")) for t, c, p in _rows(store)]
    assert agreement_verdict(compare_stores(rows, store.collection())).passed


def test_orphans_on_either_side_are_named(make_store: MakeStore) -> None:
    store = make_store(30)
    rows = _rows(store)
    gone = store.points.pop(str(rows[0][2]))
    foreign = ("t9", rows[2][1], rows[2][2])
    agreement = compare_stores(
        [rows[0], foreign, *rows[3:], rows[5]],
        store.collection(),
    )
    assert [c.point for c in agreement.without_point] == [gone["id"]]
    assert [c.point for c in agreement.without_row] == [rows[1][2]]
    assert [(row.tenant, own.tenant) for row, own in agreement.mislabelled] == [("t9", rows[2][0])]
    assert [c.point for c in agreement.duplicate_rows] == [rows[5][2]]
    result = agreement_verdict(agreement)
    assert result.verdict is Verdict.FAIL
    assert result.details["examples"]["without_row"][0]["chunk"] == rows[1][1]


def test_two_empty_stores_show_nothing(make_store: MakeStore) -> None:
    result = agreement_verdict(compare_stores([], make_store(0).collection()))
    assert result.verdict is Verdict.INCONCLUSIVE
