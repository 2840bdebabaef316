"""The reranker speaks the shapes of TEI and Cohere, errors included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from refstack.rerank.api import MOST_TEXTS

QUERY = "How do I copy a file?"
TEXTS = ["The sky is blue.", "Use File::Copy to copy files.", "an unlikely word"]


def test_texts_are_answered_as_tei_does_best_first(reranker: httpx.Client) -> None:
    results = reranker.post("/rerank", json={"query": QUERY, "texts": TEXTS}).json()
    assert [set(one) for one in results] == [{"index", "score"}] * 3
    assert results[0]["index"] == 1
    assert sorted(one["index"] for one in results) == [0, 1, 2]
    scores = [one["score"] for one in results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_raw_scores_and_texts_are_given_on_demand(reranker: httpx.Client) -> None:
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
    results = reranker.post("/rerank", json=body).json()
    assert [one["text"] for one in results] == [TEXTS[one["index"]] for one in results]
    assert min(one["score"] for one in results) < 0


def test_documents_are_answered_as_cohere_does(reranker: httpx.Client) -> None:
    body = {"query": QUERY, "documents": [*TEXTS, {"text": "copy a file"}], "top_n": 2}
    answer = reranker.post("/rerank", json=body).json()
    assert [set(one) for one in answer["results"]] == [{"index", "relevance_score"}] * 2
    assert {one["index"] for one in answer["results"]} == {1, 3}


def test_equal_texts_keep_their_order(reranker: httpx.Client) -> None:
    results = reranker.post("/rerank", json={"query": QUERY, "texts": ["same"] * 20}).json()
    assert [one["index"] for one in results] == list(range(20))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 422),
        ({"texts": TEXTS}, 422),
        ({"query": "", "texts": TEXTS}, 422),
        ({"query": QUERY}, 422),
        ({"query": QUERY, "texts": []}, 422),
        ({"query": QUERY, "texts": ["x", ""]}, 422),
        ({"query": QUERY, "texts": ["x", 1]}, 422),
        ({"query": QUERY, "texts": ["x"] * (MOST_TEXTS + 1)}, 413),
        ({"query": QUERY, "texts": ["x"], "top_k": 1}, 422),
        ({"query": QUERY, "texts": ["x"], "raw_scores": 1}, 422),
        ({"query": QUERY, "documents": ["x"], "top_n": 0}, 422),
        ({"query": QUERY, "documents": ["x"], "texts": ["x"]}, 422),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_in_both_shapes(
    reranker: httpx.Client, body: object, status: int
) -> None:
    refused = reranker.post("/rerank", json=body)
    assert refused.status_code == status
    assert refused.json()["error_type"] == "Validation"
    assert refused.json()["message"] == refused.json()["error"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic a-key-for-the-tests"])
def test_without_a_good_key_nothing_is_scored(reranker: httpx.Client, header: str) -> None:
    body = {"query": QUERY, "texts": TEXTS}
    refused = reranker.post("/rerank", json=body, headers={"Authorization": header})
    assert refused.status_code == 401


def test_requests_texts_and_batches_are_counted(reranker: httpx.Client) -> None:
    def value(name: str) -> float:
        lines = reranker.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    before = value("rag_rerank_texts_total"), value("rag_rerank_batch_texts_count")
    hits = value("rag_rerank_cache_hits")
    for _ in range(2):
        reranker.post("/rerank", json={"query": QUERY, "texts": TEXTS})
    assert value("rag_rerank_texts_total") == before[0] + 6
    assert value("rag_rerank_batch_texts_count") == before[1] + 2
    assert value("rag_rerank_cache_hits") >= hits + 3
    assert value('rag_rerank_requests_total{status="200"}') >= 2


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"RERANK_API_KEYS": ""}, "RERANK_API_KEYS"),
        ({"RERANK_API_KEYS": "short"}, "RERANK_API_KEYS"),
        ({"RERANK_MODEL": "cross-encoder"}, "RERANK_MODEL"),
        ({"RERANK_DEVICE": "cuda"}, "RERANK_DEVICE"),
        (
            {"RERANK_DEVICE": "cuda", "RERANK_MODEL": "minilm-maxsim", "CUDA_VISIBLE_DEVICES": ""},
            "RERANK_DEVICE holds 'cuda'",
        ),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(changed: dict[str, str], named: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "refstack.rerank", "--port", "0"],
        cwd=Path(__file__).resolve().parents[3],
        env={**os.environ, "RERANK_API_KEYS": "a-key-for-the-tests", **changed},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"refstack.rerank: {named}")
    assert len(done.stderr.splitlines()) == 1


def test_health_and_metrics_tell_where_the_model_runs(reranker: httpx.Client) -> None:
    assert reranker.get("/healthz").json()["device"] == "cpu"
    line = 'rag_rerank_device_info{device="cpu",model="hybrid-256"} 1.0'
    assert line in reranker.get("/metrics").text
