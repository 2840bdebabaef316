"""The gateway's parts that need no server: settings, chunks, filters, breaker, canary, answers."""

from __future__ import annotations

import random
import re
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from refstack.common.problems import Problem
from refstack.common.settings import Environment, SettingError
from refstack.gateway.breaker import Breaker
from refstack.gateway.catalogue import decode_cursor, encode_cursor
from refstack.gateway.chunking import TARGET_WORDS, chunk_text
from refstack.gateway.embedding import vectors_of
from refstack.gateway.ids import chunk_id, point_id
from refstack.gateway.models import BatchRequest, DocumentRequest, QueryRequest
from refstack.gateway.reranking import scores_of
from refstack.gateway.settings import read_settings
from refstack.gateway.spaces import draw_canary
from refstack.gateway.upstream import UpstreamError
from refstack.gateway.vectors import removal_filter, search_filter

GOOD = {
    "GATEWAY_DATABASE_URL": "postgresql://rag_gateway:secret-word@db:5432/rag",
    "GATEWAY_VECTORDB_URL": "http://vectors:6333",
    "GATEWAY_VECTORDB_API_KEY": "k",
    "GATEWAY_AUTH_URL": "http://auth:9999/",
    "GATEWAY_JWT_ISSUER": "http://auth:9999",
    "GATEWAY_EMBED_URL": "http://embed:8000",
    "GATEWAY_EMBED_API_KEY": "k",
    "GATEWAY_EMBED_MODEL": "wordllama-256",
    "GATEWAY_RERANK_URL": "http://rerank:8001",
}


def test_good_settings_are_read_with_their_defaults() -> None:
    settings = read_settings(Environment(GOOD))
    assert settings.auth_url == "http://auth:9999"
    assert settings.rerank_batch == 32
    assert settings.timeout_s == 10.0
    assert settings.canary is None
    assert settings.embed_fallback is None
    assert settings.models == ("wordllama-256",)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"GATEWAY_EMBED_MODEL": "e5"}, "one of wordllama-256, minilm-384"),
        ({"GATEWAY_RERANK_BATCH": "0"}, "GATEWAY_RERANK_BATCH holds '0'"),
        ({"GATEWAY_DATABASE_URL": "mysql://u:secret-word@db"}, "postgresql://"),
        ({"GATEWAY_COLOUR": "red"}, "one of blue, green"),
        ({"GATEWAY_EMBED_PROVIDER": "fallback"}, "GATEWAY_EMBED_FALLBACK_URL is not set"),
        ({"GATEWAY_EMBED_FALLBACK_URL": "http://f:1"}, "GATEWAY_EMBED_FALLBACK_API_KEY is not set"),
        ({"CANARY": "1"}, "GATEWAY_EMBED_STABLE_MODEL is not set"),
        ({"CANARY": "1", "GATEWAY_EMBED_STABLE_MODEL": "wordllama-256"}, "another model"),
        ({"GATEWAY_COLLECTION_ALIAS": "a/../b"}, "letters, digits"),
        ({"GATEWAY_TIMEOUT_S": "inf"}, "GATEWAY_TIMEOUT_S holds 'inf'"),
    ],
)
def test_a_bad_setting_is_named_and_no_secret_repeated(change: dict[str, str], says: str) -> None:
    with pytest.raises(SettingError) as refusal:
        read_settings(Environment({**GOOD, **change}))
    assert says in str(refusal.value)
    assert "secret-word" not in str(refusal.value)


def test_a_canary_knows_both_models_stable_first() -> None:
    canary = {"CANARY": "1", "GATEWAY_EMBED_STABLE_MODEL": "minilm-384"}
    settings = read_settings(Environment({**GOOD, **canary}))
    assert settings.models == ("minilm-384", "wordllama-256")
    assert settings.canary is not None
    assert settings.canary.share == 0.10


def test_short_paragraphs_are_packed_and_never_cut() -> None:
    paragraphs = [f"Paragraph {n} " + "word " * 58 + "end." for n in range(7)]
    chunks = chunk_text("\n\n".join(paragraphs))
    assert [len(chunk.split()) for chunk in chunks] == [122, 122, 122, 61]
    assert chunks[0] == "\n\n".join(each.strip() for each in paragraphs[:2])


def test_a_long_paragraph_is_cut_at_the_ends_of_sentences() -> None:
    sentences = [" ".join(["word"] * 69) + f" n{n}." for n in range(5)]
    chunks = chunk_text(" ".join(sentences), 150)
    assert all(chunk.rstrip().endswith(".") for chunk in chunks)


@given(st.text(alphabet="ab .\n\t!é", max_size=400), st.integers(min_value=1, max_value=12))
def test_chunks_hold_every_word_once_in_order_and_none_is_too_long(text: str, most: int) -> None:
    chunks = chunk_text(text, most)
    assert " ".join(chunks).split() == text.split()
    assert all(0 < len(chunk.split()) <= most for chunk in chunks)
    assert all(chunk == chunk.strip() for chunk in chunks)


def test_a_default_chunk_is_about_180_words() -> None:
    assert TARGET_WORDS == 180
    assert max(len(chunk.split()) for chunk in chunk_text("Ten words " * 500)) == 180


def test_point_ids_differ_by_tenant_and_by_version() -> None:
    one, two = uuid.uuid4(), uuid.uuid4()
    ids = {
        point_id(tenant, chunk_id("doc", version, position))
        for tenant in ("a", "b")
        for version in (one, two)
        for position in (0, 1)
    }
    assert len(ids) == 8
    assert point_id("a", "doc#1.0000") == point_id("a", "doc#1.0000")


def test_a_search_always_demands_tenant_and_persona_whatever_is_asked() -> None:
    asked = {"tenant_id": "other", "persona": "boss", "must_not": "x", "year": 7}
    found = search_filter("mine", "work", asked)
    assert list(found) == ["must"]
    assert found["must"][:2] == [
        {"key": "tenant_id", "match": {"value": "mine"}},
        {"key": "persona", "match": {"value": "work"}},
    ]
    assert [condition["key"] for condition in found["must"][2:]] == [
        "meta.tenant_id", "meta.persona", "meta.must_not", "meta.year"
    ]  # fmt: skip


def test_a_removal_is_bound_to_the_tenant() -> None:
    point = uuid.uuid4()
    must = removal_filter("mine", [point])["must"]
    assert {"key": "tenant_id", "match": {"value": "mine"}} in must
    assert {"has_id": [str(point)]} in must


QUERY: dict[str, Any] = {"query": "q", "persona": "work"}


@pytest.mark.parametrize(
    "change",
    [
        {"tenant_id": "other"},
        {"query": "  "},
        {"query": "a\x00b"},
        {"top_k": 0},
        {"top_k": 51},
        {"top_k": "5"},
        {"top_k": True},
        {"rerank": "yes"},
        {"persona": ["work", "home"]},
        {"persona": "a b"},
        {"persona": "work\n"},
        {"filter": {"year": {"gte": 3}}},
        {"filter": {"year": [1, 2]}},
        {"filter": {"year": None}},
        {"filter": {"year": 1.5}},
        {"filter": {"year": 2**63}},
        {"filter": {"a.b": 1}},
        {"filter": {"a[]": 1}},
        {"filter": {"": 1}},
        {"filter": [{"key": "year"}]},
        {"filter": {f"k{n}": n for n in range(33)}},
    ],
)
def test_a_query_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    QueryRequest.model_validate(QUERY)
    with pytest.raises(ValidationError):
        QueryRequest.model_validate({**QUERY, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"version": "x"},
        {"text": ""},
        {"text": "a\x00b"},
        {"document_id": "a/b"},
        {"document_id": "../x"},
        {"document_id": "a#b"},
        {"document_id": "x" * 129},
        {"tier": "frozen"},
        {"metadata": {"a": {"b": 1}}},
        {"metadata": {"a": float("nan")}},
        {"metadata": {"a b": 1}},
    ],
)
def test_a_document_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    good = {"text": "t", "persona": "work"}
    DocumentRequest.model_validate(good)
    with pytest.raises(ValidationError):
        DocumentRequest.model_validate({**good, **change})


def test_a_batch_may_not_name_a_document_twice() -> None:
    one = {"text": "t", "persona": "work", "document_id": "same"}
    with pytest.raises(ValidationError, match="same document_id twice"):
        BatchRequest.model_validate({"documents": [one, one]})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_breaker_opens_after_a_row_of_failures_and_closes_after_one_good_trial() -> None:
    clock, changes = Clock(), list[bool]()
    breaker = Breaker(changes.append, failures=3, open_s=2.0, clock=clock)
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now = 1.9
    assert not breaker.allows()
    clock.now = 2.0
    assert breaker.allows(), "one trial"
    assert not breaker.allows(), "and no second beside it"
    breaker.failed()
    clock.now = 3.9
    assert not breaker.allows(), "a failed trial opens it for the whole time again"
    clock.now = 4.0
    assert breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
    assert not breaker.is_open
    assert changes == [True, False]


def test_a_trial_that_never_reports_back_does_not_block_for_ever() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, open_s=2.0, clock=clock)
    breaker.failed()
    clock.now = 2.0
    assert breaker.allows()
    clock.now = 4.0
    assert breaker.allows()


def test_stragglers_do_not_hold_a_breaker_open() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, open_s=2.0, clock=clock)
    breaker.failed()
    clock.now = 1.0
    breaker.failed()
    clock.now = 2.0
    assert breaker.allows()


def test_the_canary_gets_its_share_and_whoever_asks() -> None:
    chance = random.Random(7).random
    drawn = sum(draw_canary(0.10, False, chance) for _ in range(10_000))
    assert 880 < drawn < 1_120  # four standard deviations of a fair draw
    assert draw_canary(0.0, True, chance)
    assert not any(draw_canary(0.0, False, chance) for _ in range(1_000))
    assert all(draw_canary(1.0, False, chance) for _ in range(1_000))


def embedding(model: str, *vectors: list[float]) -> dict[str, Any]:
    data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {"model": model, "data": list(reversed(data))}


def test_vectors_are_taken_in_the_order_of_their_index() -> None:
    one, two = [1.0] * 256, [2.0] * 256
    assert vectors_of(embedding("wordllama-256", one, two), "embed", "wordllama-256", 2) == [
        one,
        two,
    ]


def test_vectors_of_another_model_are_refused_even_with_the_right_dimension() -> None:
    with pytest.raises(Problem) as refusal:
        vectors_of(embedding("other-256", [1.0] * 256), "embed", "wordllama-256", 1)
    assert refusal.value.status == 503
    assert refusal.value.kind == "embedding-space-mismatch"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"model": "wordllama-256"},
        embedding("wordllama-256"),
        embedding("wordllama-256", [1.0] * 255),
        embedding("wordllama-256", [1.0] * 256, [1.0] * 256),
        {"model": "wordllama-256", "data": [{"index": 0, "embedding": "AAAA"}]},
        {"model": "wordllama-256", "data": ["x"]},
    ],
)
def test_a_malformed_embedding_is_an_upstream_error(answer: Any) -> None:
    with pytest.raises(UpstreamError):
        vectors_of(answer, "embed", "wordllama-256", 1)


@pytest.mark.parametrize(
    "answer",
    [
        {"results": []},
        [],
        ["x", "y"],
        [{"index": 0, "score": 1}],
        [{"index": 0, "score": 1}, {"index": 0, "score": 2}],
        [{"index": 0, "score": 1}, {"index": 2, "score": 2}],
        [{"index": 0, "score": 1}, {"index": 1, "score": float("nan")}],
        [{"index": 0, "score": 1}, {"index": 1, "score": 2}, {"index": 1, "score": 3}],
    ],
)
def test_a_rerank_answer_must_score_every_text_once(answer: Any) -> None:
    good = [{"index": 1, "score": 0.5}, {"index": 0, "score": 0.25}]
    assert scores_of(good, "rerank", 2) == [0.25, 0.5]
    with pytest.raises(UpstreamError):
        scores_of(answer, "rerank", 2)


def test_cursors_come_back_and_strange_ones_are_refused() -> None:
    assert decode_cursor(encode_cursor("a.b:c@d")) == "a.b:c@d"
    for strange in ("%", "ä", "AA", "=", "AAAA\n"):
        with pytest.raises(Problem) as refusal:
            decode_cursor(strange)
        assert refusal.value.status == 422


def test_the_published_schemas_are_those_of_the_models_and_every_reference_resolves() -> None:
    from refstack.gateway.openapi import document

    described = document()
    schemas = described["components"]["schemas"]
    assert described["openapi"].startswith("3.1")
    assert all(name.startswith("v1.") for name in schemas)
    assert schemas["v1.QueryRequest"]["additionalProperties"] is False
    references = set(re.findall(r"#/components/schemas/([^'\"]+)", str(described)))
    assert references == set(schemas)
    for path in described["paths"].values():
        for method, operation in path.items():
            if method != "parameters":
                assert {"401", "403", "500", "503"} <= set(operation["responses"])


def test_a_deprecation_is_told_a_month_ahead() -> None:
    from datetime import date

    from refstack.gateway.deprecations import Deprecation

    with pytest.raises(ValueError, match="30 days after"):
        Deprecation("GET", "/v1/a", date(2026, 1, 1), date(2026, 1, 30), "/v1/b")
    Deprecation("GET", "/v1/a", date(2026, 1, 1), date(2026, 1, 31), "/v1/b")
