"""The embedding worker speaks OpenAI's embeddings API, errors included."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from embed_lab import KEY, OTHER_KEY, REPOSITORY, Worker, environment

from refstack.embed.api import MOST_CHARACTERS, MOST_TEXTS

DIMENSIONS = {"wordllama-256": 256, "minilm-384": 384}


def _vectors(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.array([one["embedding"] for one in answer.json()["data"]], dtype=np.float32)


@pytest.mark.parametrize("model", list(DIMENSIONS))
def test_the_answer_has_openais_shape(worker: Worker, model: str) -> None:
    body = worker.embed(["one text", "another"], model).json()
    assert set(body) == {"object", "data", "model", "usage"}
    assert (body["object"], body["model"]) == ("list", model)
    assert [(one["object"], one["index"]) for one in body["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    assert {len(one["embedding"]) for one in body["data"]} == {DIMENSIONS[model]}
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("model", list(DIMENSIONS))
def test_vectors_have_length_one(worker: Worker, model: str) -> None:
    vectors = _vectors(worker.embed(["a", "How do I copy a file?", "\x00"], model))
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("model", list(DIMENSIONS))
def test_a_vector_does_not_depend_on_the_rest_of_the_batch(worker: Worker, model: str) -> None:
    texts = [f"{'word ' * (number % 7)}text {number}" for number in range(10)]
    together = _vectors(worker.embed(texts, model))
    alone = np.concatenate([_vectors(worker.embed(text, model)) for text in texts])
    assert np.array_equal(together, alone)


def test_base64_holds_the_same_numbers(worker: Worker) -> None:
    packed = worker.embed("text", encoding_format="base64").json()["data"][0]["embedding"]
    unpacked = np.frombuffer(base64.b64decode(packed), dtype="<f4")
    assert np.array_equal(unpacked, _vectors(worker.embed("text"))[0])


def test_any_of_the_keys_serves(worker: Worker) -> None:
    assert worker.send({"input": "x", "model": "wordllama-256"}, OTHER_KEY).status_code == 200


@pytest.mark.parametrize("key", [None, "wrong", KEY[:-1], KEY + "x"])
def test_without_a_good_key_nothing_is_embedded(worker: Worker, key: str | None) -> None:
    for answer in (
        worker.send({"input": "x", "model": "wordllama-256"}, key),
        worker.get("/v1/models", key),
    ):
        assert answer.status_code == 401
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ([], 400, None),
        ({"input": "x"}, 400, "model"),
        ({"input": "x", "model": 7}, 400, "model"),
        ({"input": "x", "model": "text-embedding-3-small"}, 404, "model"),
        ({"model": "wordllama-256"}, 400, "input"),
        ({"input": "", "model": "wordllama-256"}, 400, "input"),
        ({"input": [], "model": "wordllama-256"}, 400, "input"),
        ({"input": ["x", ""], "model": "wordllama-256"}, 400, "input"),
        ({"input": [1, 2], "model": "wordllama-256"}, 400, "input"),
        ({"input": ["x"] * (MOST_TEXTS + 1), "model": "wordllama-256"}, 400, "input"),
        ({"input": "x" * (MOST_CHARACTERS + 1), "model": "wordllama-256"}, 400, "input"),
        (
            {"input": "x", "model": "wordllama-256", "encoding_format": "hex"},
            400,
            "encoding_format",
        ),
        ({"input": "x", "model": "wordllama-256", "dimensions": 64}, 400, "dimensions"),
        ({"input": "x", "model": "wordllama-256", "modle": "x"}, 400, "modle"),
    ],
)
def test_a_request_that_cannot_be_served_names_the_argument(
    worker: Worker, body: object, status: int, param: str | None
) -> None:
    refused = worker.send(body)
    assert refused.status_code == status
    assert refused.json()["error"]["type"] == "invalid_request_error"
    assert refused.json()["error"]["param"] == param


def test_a_body_that_is_too_large_is_refused_unread(worker: Worker) -> None:
    refused = worker.send({"input": ["x" * 60_000] * 150, "model": "wordllama-256"})
    assert refused.status_code == 413
    assert "bytes" in refused.json()["error"]["message"]


def test_other_paths_and_methods_answer_in_the_same_shape(worker: Worker) -> None:
    assert worker.get("/v1/nothing").json()["error"]["code"] == "unknown_url"
    assert worker.get("/v1/embeddings").status_code == 405


def test_models_are_listed(worker: Worker) -> None:
    listed = worker.get("/v1/models", KEY).json()
    assert [one["id"] for one in listed["data"]] == list(DIMENSIONS)
    assert worker.get("/v1/models/minilm-384", KEY).json()["object"] == "model"
    assert worker.get("/v1/models/other", KEY).status_code == 404


def test_requests_and_texts_are_counted(worker: Worker) -> None:
    def value(name: str) -> float:
        lines = worker.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

    texts, good = value("rag_embed_texts_total"), value('rag_embed_requests_total{status="200"}')
    worker.embed(["a", "b", "c"])
    assert value("rag_embed_texts_total") == texts + 3
    assert value('rag_embed_requests_total{status="200"}') == good + 1
    assert value("rag_embed_latency_seconds_count") > 0


def test_a_query_is_answered_while_a_batch_is_under_way(worker: Worker) -> None:
    done: list[str] = []

    def batch() -> None:
        assert worker.embed(["a few words of text " * 8] * 64, "minilm-384").status_code == 200
        done.append("batch")

    thread = threading.Thread(target=batch)
    thread.start()
    for _ in range(3):
        assert worker.embed("a query", "minilm-384").status_code == 200
        assert worker.get("/healthz").status_code == 200
        done.append("query")
    thread.join(60)
    assert done.index("batch") > 0


def test_health_and_metrics_tell_where_each_model_runs(worker: Worker) -> None:
    told = worker.get("/healthz").json()
    assert told["device"] == "cpu"
    assert told["devices"] == {"wordllama-256": "cpu", "minilm-384": "cpu"}
    metrics = worker.get("/metrics").text
    assert 'rag_embed_device_info{device="cpu",model="minilm-384"} 1.0' in metrics


def test_the_log_holds_no_text_and_no_key(worker: Worker) -> None:
    worker.embed("a text that nobody else may read")
    worker.send({"input": "x", "model": "wordllama-256"}, "a-key-that-is-wrong")
    log = Path(worker.log).read_text()
    assert '"status":200' in log
    for secret in ("nobody else", KEY, "a-key-that-is-wrong"):
        assert secret not in log


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"EMBED_API_KEYS": ""}, "EMBED_API_KEYS"),
        ({"EMBED_API_KEYS": "long-enough-key,short"}, "EMBED_API_KEYS"),
        ({"EMBED_MODELS": "word2vec"}, "EMBED_MODELS"),
        ({"EMBED_THREADS": "0"}, "EMBED_THREADS"),
        ({"EMBED_DEVICE": "gpu"}, "EMBED_DEVICE"),
        ({"EMBED_DEVICE": "cuda", "EMBED_MODELS": "wordllama-256"}, "EMBED_DEVICE"),
        # No device is visible, so this ends so on a machine with a GPU as well.
        ({"EMBED_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": ""}, "EMBED_DEVICE holds 'cuda'"),
    ],
)
def test_a_bad_setting_is_one_line_and_status_2(changed: dict[str, str], named: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "refstack.embed", "--port", "0"],
        cwd=REPOSITORY,
        env=environment(**changed),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"refstack.embed: {named}")
    assert len(done.stderr.splitlines()) == 1
    assert "long-enough-key" not in done.stderr
