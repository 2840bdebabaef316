"""Filters answer as a plain Python model of them does, with and without payload indexes."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEYWORDS = ("red", "green", "blue")
COUNT = 60


def _payload(source: random.Random) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "word": source.choice(KEYWORDS),
        "words": source.sample(KEYWORDS, source.randint(0, 3)),
        "number": source.randint(-3, 3),
        "share": source.choice([0.0, 0.5, 1.5]),
        "flag": source.choice([True, False, 1, 0]),
        "day": f"2024-01-0{source.randint(1, 5)}T00:00:00Z",
        "deep": {"list": [{"a": source.randint(0, 2), "b": source.randint(0, 2)} for _ in "xy"]},
        "maybe": source.choice([None, [], "there", 7]),
    }
    for key in source.sample(sorted(payload), source.randint(0, 3)):
        del payload[key]
    return payload


POINTS = {at: _payload(random.Random(at)) for at in range(COUNT)}


@pytest.fixture(scope="module")
def collections(vectordb: Any) -> list[str]:
    names = ["filters-plain", "filters-indexed"]
    for name in names:
        vectordb.create(name)
        vectordb.upsert(
            name,
            *(
                {"id": at, "vector": [1.0, 0.0, 0.0, float(at)], "payload": payload}
                for at, payload in POINTS.items()
            ),
        )
    for key, schema in {
        "word": {"type": "keyword", "is_tenant": True},
        "words": "keyword",
        "number": "integer",
        "share": "float",
        "flag": "bool",
        "day": "datetime",
        "deep.list[].a": "integer",
        "maybe": "keyword",
    }.items():
        path = f"/collections/{names[1]}/index?wait=true"
        vectordb.ok("PUT", path, {"field_name": key, "field_schema": schema})
    return names


def _values(payload: dict[str, Any], key: str) -> list[Any]:
    value = payload.get(key)
    return value if isinstance(value, list) else [] if value is None else [value]


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and left == right


def _matches(condition: dict[str, Any], at: int, payload: dict[str, Any]) -> bool:
    if "must" in condition or "should" in condition or "must_not" in condition:
        return model(condition, at, payload)
    if "min_should" in condition:
        return model(condition, at, payload)
    if "has_id" in condition:
        return at in condition["has_id"]
    if "is_empty" in condition:
        return not _values(payload, condition["is_empty"]["key"])
    if "is_null" in condition:
        key = condition["is_null"]["key"]
        return key in payload and payload[key] is None
    if "nested" in condition:
        inner = condition["nested"]["filter"]
        return any(model(inner, at, item) for item in payload.get("deep", {}).get("list", []))
    values = _values(payload, condition["key"])
    if "match" in condition:
        ((kind, wanted),) = condition["match"].items()
        if kind == "value":
            return any(_same(value, wanted) for value in values)
        if kind == "any":
            return any(_same(value, one) for value in values for one in wanted)
        return any(not any(_same(value, one) for one in wanted) for value in values)
    if "values_count" in condition:
        if condition["key"] not in payload:
            return False
        count = len(values)
        return all(
            {"gte": count >= limit, "lt": count < limit}[test]
            for test, limit in condition["values_count"].items()
        )
    return any(
        all(
            {
                "gte": value >= limit,
                "gt": value > limit,
                "lt": value < limit,
                "lte": value <= limit,
            }[test]
            for test, limit in condition["range"].items()
        )
        for value in values
        if type(value) in ((str,) if condition["key"] == "day" else (int, float))
    )


def model(condition: dict[str, Any], at: int, payload: dict[str, Any]) -> bool:
    """Whether a point matches a filter, by the API's documentation."""

    def clause(name: str) -> list[bool]:
        return [_matches(item, at, payload) for item in condition.get(name, [])]

    minimum = condition.get("min_should")
    enough = minimum is None or (
        sum(_matches(item, at, payload) for item in minimum["conditions"]) >= minimum["min_count"]
    )
    return (
        all(clause("must"))
        and (not condition.get("should") or any(clause("should")))
        and not any(clause("must_not"))
        and enough
    )


_days = st.integers(1, 5).map(lambda day: f"2024-01-0{day}T00:00:00Z")
_numbers = st.integers(-3, 3)


def _range(key: str, bound: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    tests = st.dictionaries(st.sampled_from(["gte", "gt", "lt", "lte"]), bound, min_size=1)
    return tests.map(lambda limits: {"key": key, "range": limits})


def _match(key: str, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return value.map(lambda wanted: {"key": key, "match": wanted})


_words = st.sampled_from(KEYWORDS)
_simple = st.one_of(
    _match("word", _words.map(lambda word: {"value": word})),
    _match("words", _words.map(lambda word: {"value": word})),
    _match("words", st.lists(_words, max_size=2).map(lambda words: {"any": words})),
    _match("words", st.lists(_words, min_size=1, max_size=2).map(lambda words: {"except": words})),
    _match("word", st.lists(_words, min_size=1, max_size=2).map(lambda words: {"except": words})),
    _match("number", _numbers.map(lambda number: {"value": number})),
    _match("number", st.lists(_numbers, max_size=3).map(lambda numbers: {"any": numbers})),
    _match("flag", st.booleans().map(lambda flag: {"value": flag})),
    _range("number", _numbers),
    _range("share", st.sampled_from([-1.0, 0.0, 0.5, 0.75, 1.5])),
    _range("day", _days),
    st.sampled_from(["word", "words", "maybe"]).map(lambda key: {"is_empty": {"key": key}}),
    st.just({"is_null": {"key": "maybe"}}),
    st.lists(st.integers(0, COUNT + 5), max_size=5).map(lambda ids: {"has_id": ids}),
    st.dictionaries(st.sampled_from(["gte", "lt"]), st.integers(0, 3), min_size=1).map(
        lambda limits: {"key": "words", "values_count": limits}
    ),
    st.tuples(st.integers(0, 2), st.integers(0, 2)).map(
        lambda pair: {
            "nested": {
                "key": "deep.list",
                "filter": {
                    "must": [
                        {"key": "a", "match": {"value": pair[0]}},
                        {"key": "b", "match": {"value": pair[1]}},
                    ]
                },
            }
        }
    ),
)


def _filters(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    conditions = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.dictionaries(st.sampled_from(["must", "should", "must_not"]), conditions, min_size=1),
        st.tuples(conditions, st.integers(0, 3)).map(
            lambda pair: {"min_should": {"conditions": pair[0], "min_count": pair[1]}}
        ),
    )


filters = _filters(st.recursive(_simple, _filters, max_leaves=5))


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(condition=filters)
def test_a_filter_selects_what_the_model_selects(
    vectordb: Any, collections: list[str], condition: dict[str, Any]
) -> None:
    expected = [at for at, payload in POINTS.items() if model(condition, at, payload)]
    for name in collections:
        assert vectordb.ids(name, condition) == expected, (name, condition)
