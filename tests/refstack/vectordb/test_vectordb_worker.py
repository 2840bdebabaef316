"""A collection by itself: full disks, engine failures, and what a request may hold."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from refstack.vectordb.checks import load_body
from refstack.vectordb.config import new_config
from refstack.vectordb.errors import ApiError
from refstack.vectordb.worker import collection as collection_module
from refstack.vectordb.worker import reads, storage, writes
from refstack.vectordb.worker.answers import shortest
from refstack.vectordb.worker.collection import Collection

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def collection(tmp_path: Path) -> Iterator[Collection]:
    record = {
        "name": "c",
        "state": "creating",
        "generation": "g-1",
        "config": new_config({"vectors": {"size": 2, "distance": "Dot"}}),
    }
    storage.write_record(tmp_path, record)
    made = Collection(tmp_path)
    yield made
    made.close()


def _upsert(collection: Collection, point: int) -> Any:
    body = {"points": [{"id": point, "vector": [1, 2]}]}
    return writes.update(collection, orjson.dumps(body), {"kind": "upsert", "wait": True})


def _count(collection: Collection) -> int:
    return int(reads.count(collection, b"{}", {})["count"])


def test_a_full_disk_refuses_writes_and_goes_on_reading(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _upsert(collection, 1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 1 << 40, 1 << 20))
        with pytest.raises(ApiError, match="No space left on device") as caught:
            _upsert(collection, 2)
        assert caught.value.status == 500
        assert _count(collection) == 1
        writes.update(collection, b'{"points": [1]}', {"kind": "delete"})
    assert _count(collection) == 0
    _upsert(collection, 2)
    assert _count(collection) == 1


def test_after_a_failure_of_the_engine_the_data_is_opened_anew(collection: Collection) -> None:
    _upsert(collection, 1)
    sound = collection.shard

    class Failing:
        def __getattr__(self, name: str) -> Any:
            return getattr(sound, name)

        def update(self, _operation: Any) -> None:
            raise Exception("Service runtime error: out of luck")

    collection.shard = Failing()
    with pytest.raises(Exception, match="out of luck"):
        _upsert(collection, 2)
    _upsert(collection, 3)
    assert not isinstance(collection.shard, Failing)
    assert _count(collection) == 2


def test_failing_background_work_is_shown_and_tried_again(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection_module, "RETRY_S", 0.0)
    monkeypatch.setattr(collection_module, "FLUSH_IDLE_S", 0.0)
    _upsert(collection, 1)
    with monkeypatch.context() as patch:
        patch.setattr(collection, "flush", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError) as caught:
            collection.tick()
        collection.tick_failed(caught.value)
    assert reads.info(collection, b"", {})["optimizer_status"] == {"error": "division by zero"}
    assert reads.info(collection, b"", {})["status"] == "red"
    collection.tick()
    assert reads.info(collection, b"", {})["status"] == "green"


@pytest.mark.parametrize("depth", [127, 128, 500])
def test_json_nests_as_deep_as_the_engine_can_read_back(collection: Collection, depth: int) -> None:
    # The body, its list, the point and the payload are four levels.
    inner = depth - 4
    payload = b'{"a":' + b"[" * inner + b"]" * inner + b"}"
    body = b'{"points":[{"id":1,"vector":[1,2],"payload":' + payload + b"}]}"
    if depth <= 127:
        writes.update(collection, body, {"kind": "upsert"})
        point = reads.one_point(collection, b"", {"id": "1"})
        assert orjson.dumps(point["payload"]) == payload
    else:
        with pytest.raises(ApiError, match="recursion limit exceeded"):
            writes.update(collection, body, {"kind": "upsert"})
        assert _count(collection) == 0


def test_brackets_in_texts_do_not_count_as_depth() -> None:
    text = orjson.dumps({"text": "[" * 1000, "list": [{"a": "{" * 200}]})
    assert load_body(text)["text"] == "[" * 1000


def test_a_formula_without_a_value_is_the_callers_mistake(collection: Collection) -> None:
    _upsert(collection, 1)
    body = {"prefetch": {"query": [1, 2]}, "query": {"formula": "absent"}}
    with pytest.raises(ApiError, match="the formula has no value for some point") as caught:
        reads.query(collection, orjson.dumps(body), {})
    assert caught.value.status == 400


@pytest.mark.parametrize("value", [0.1, 1 / 3, 16777216.0, 1e-45, 3.4028235e38, 0.99999994, -2.5])
def test_a_single_precision_number_is_written_shortest(value: float) -> None:
    import numpy as np

    single = float(np.float32(value))
    assert np.float32(shortest(single)) == np.float32(value)
    assert len(repr(shortest(single))) <= len(repr(single))
    assert repr(shortest(float(np.float32(0.1)))) == "0.1"
