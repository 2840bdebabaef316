"""Durability: lost, phantom, duplicate and resurrected, told apart on small histories."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.checks.acknowledged import Operation, acknowledged_verdict, compare
from harness.core.errors import HarnessError
from harness.core.verdicts import Verdict


def log(*steps: str) -> list[Operation]:
    """``put:a:ok`` ``delete::ok`` ``put:b:timeout`` ``put:c:refused``, one after the other."""
    states: dict[str, Any] = {"ok": "acknowledged", "timeout": "indefinite", "refused": "rejected"}
    operations = []
    for at, step in enumerate(steps):
        kind, digest, outcome = step.split(":")
        operations.append(
            Operation(
                f"op{at}",
                kind,  # type: ignore[arg-type]
                "k",
                states[outcome],
                invoked=2 * at,
                completed=2 * at + 1 if outcome != "timeout" else None,
                digest=digest or None,
            )
        )
    return operations


NOTHING = {"lost": 0, "phantom": 0, "duplicate": 0, "resurrected": 0}


@pytest.mark.parametrize(
    ("steps", "found", "findings"),
    [
        (["put:a:ok"], ["a"], {}),
        (["put:a:ok"], [], {"lost": 1}),
        (["put:a:ok"], ["x"], {"lost": 1, "phantom": 1}),
        (["put:a:ok"], ["a", "a"], {"duplicate": 1}),
        (["put:a:ok", "put:b:ok"], ["b"], {}),
        (["put:a:ok", "put:b:ok"], ["a"], {"lost": 1}),
        (["put:a:ok", "put:b:ok"], ["a", "b"], {"duplicate": 1}),
        (["put:a:ok", "delete::ok"], [], {}),
        (["put:a:ok", "delete::ok"], ["a"], {"resurrected": 1}),
        (["put:a:ok", "delete::ok", "put:b:ok"], [], {"lost": 1}),
        (["put:a:ok", "delete::ok", "put:b:ok"], ["a"], {"lost": 1}),
        (["put:a:refused"], [], {}),
        (["put:a:refused"], ["a"], {"phantom": 1}),
        (["put:a:ok", "put:b:refused"], ["b"], {"lost": 1, "phantom": 1}),
        (["put:a:ok", "delete::refused"], [], {"lost": 1}),
        ([], ["x"], {"phantom": 1}),
        # Indefinite operations are counted neither way.
        (["put:a:timeout"], [], {}),
        (["put:a:timeout"], ["a"], {}),
        (["put:a:ok", "put:b:timeout"], ["a"], {}),
        (["put:a:ok", "put:b:timeout"], ["b"], {}),
        (["put:a:ok", "put:b:timeout"], [], {"lost": 1}),
        (["put:a:ok", "delete::timeout"], ["a"], {}),
        (["put:a:ok", "delete::timeout"], [], {}),
        (["put:a:timeout", "delete::ok"], ["a"], {}),  # it may have landed late
        (["put:a:timeout", "put:b:ok"], ["c"], {"lost": 1, "phantom": 1}),
    ],
)
def test_each_history_has_its_findings(
    steps: list[str], found: list[str], findings: dict[str, int]
) -> None:
    result = compare(log(*steps), [("k", digest) for digest in found])
    assert result.counts() == {**NOTHING, **findings}


@pytest.mark.parametrize(
    ("steps", "found", "excused"),
    [
        (["put:a:ok", "put:b:timeout"], ["a"], 0),
        (["put:a:ok", "put:b:timeout"], ["b"], 1),
        (["put:a:ok", "delete::timeout"], [], 1),
        (["put:a:ok", "delete::ok"], [], 0),
        (["put:a:timeout"], [], 0),
        (["put:a:timeout"], ["a"], 1),
    ],
)
def test_keys_that_only_an_indefinite_operation_explains_are_counted(
    steps: list[str], found: list[str], excused: int
) -> None:
    assert compare(log(*steps), [("k", digest) for digest in found]).excused == excused


def test_writes_that_overlap_may_have_taken_effect_in_either_order() -> None:
    overlapping = [
        Operation("1", "put", "k", "acknowledged", 0, 10, "a"),
        Operation("2", "put", "k", "acknowledged", 5, 6, "b"),
    ]
    assert compare(overlapping, [("k", "a")]).counts() == NOTHING
    assert compare(overlapping, [("k", "b")]).counts() == NOTHING
    in_turn = [overlapping[0], Operation("2", "put", "k", "acknowledged", 11, 12, "b")]
    assert compare(in_turn, [("k", "a")]).counts() == {**NOTHING, "lost": 1}


def test_what_was_there_before_counts_as_acknowledged() -> None:
    assert compare([], [], {"k": "a"}).counts() == {**NOTHING, "lost": 1}
    assert compare([], [("k", "a")], {"k": "a"}).counts() == NOTHING
    assert compare(log("delete::ok"), [("k", "a")], {"k": "a"}).resurrected


def test_no_acknowledged_write_shows_nothing() -> None:
    assert acknowledged_verdict([], []).verdict is Verdict.INCONCLUSIVE
    assert acknowledged_verdict(log("put:a:timeout"), []).verdict is Verdict.INCONCLUSIVE
    assert acknowledged_verdict(log("put:a:ok"), [("k", "a")]).verdict is Verdict.PASS


def test_a_failure_names_the_key_and_the_operations() -> None:
    result = acknowledged_verdict(log("put:a:ok"), [])
    assert result.verdict is Verdict.FAIL
    (example,) = result.details["examples"]["lost"]
    assert example["key"] == "k" and example["ops"] == ["op0"]
    assert "1 lost" in result.actual


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "patch"},
        {"state": "maybe"},
        {"digest": None},
        {"completed": None},
        {"completed": -1.0},
    ],
)
def test_a_log_that_cannot_be_true_is_refused(bad: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "op": "1",
        "kind": "put",
        "key": "k",
        "state": "acknowledged",
        "invoked": 0.0,
        "completed": 1.0,
        "digest": "a",
    }
    Operation(**good)
    with pytest.raises(HarnessError):
        Operation(**{**good, **bad})


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_store_that_keeps_its_word_is_never_accused(data: st.DataObject) -> None:
    """Indefinite operations take effect or not, at once or late; nothing else goes wrong."""
    clock = count()
    contents: dict[str, str] = {}
    late: list[Operation] = []
    operations = []
    for number in range(data.draw(st.integers(1, 12))):
        key = data.draw(st.sampled_from("pq"))
        kind = data.draw(st.sampled_from(["put", "delete"]))
        state = data.draw(st.sampled_from(["acknowledged", "rejected", "indefinite"]))
        operation = Operation(
            str(number),
            kind,
            key,
            state,
            next(clock),
            next(clock),
            f"v{number}" if kind == "put" else None,
        )
        operations.append(operation)
        if state == "rejected":
            continue
        if state == "indefinite" and not data.draw(st.booleans()):
            late.append(operation)
            continue
        _apply(contents, operation)
    for operation in late:
        if data.draw(st.booleans()):
            _apply(contents, operation)
    assert compare(operations, contents.items()).counts() == NOTHING


def _apply(contents: dict[str, str], operation: Operation) -> None:
    if operation.kind == "put":
        assert operation.digest is not None
        contents[operation.key] = operation.digest
    else:
        contents.pop(operation.key, None)
