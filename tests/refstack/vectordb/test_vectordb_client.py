"""The official client works unchanged, and every endpoint does what its name says."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import QdrantClient, models

UUID = "550e8400-e29b-41d4-a716-446655440000"


@pytest.fixture
def client(vectordb: Any) -> Iterator[QdrantClient]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = QdrantClient(url=vectordb.url, timeout=30)
    yield made
    made.close()


@pytest.fixture
def filled(client: QdrantClient, name: str) -> str:
    client.create_collection(
        name, vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE)
    )
    client.upsert(
        name,
        [
            models.PointStruct(
                id=at, vector=[at, 1, 2, 3], payload={"n": at, "k": f"v{at % 3}", "deep": {"x": at}}
            )
            for at in range(10)
        ],
    )
    client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)
    client.create_payload_index(
        name, "k", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)
    )
    return name


def _ids(answer: Any) -> list[Any]:
    return [point.id for point in answer.points]


def test_the_life_of_a_collection(client: QdrantClient, name: str) -> None:
    assert not client.collection_exists(name)
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=4, distance=models.Distance.EUCLID, on_disk=True),
        hnsw_config=models.HnswConfigDiff(m=8),
        on_disk_payload=False,
        metadata={"owner": "tests"},
    )
    assert client.collection_exists(name)
    assert name in [found.name for found in client.get_collections().collections]
    config = client.get_collection(name).config
    assert config.params.vectors.size == 4 and config.params.vectors.on_disk
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (8, 100)
    assert config.params.on_disk_payload is False and config.metadata == {"owner": "tests"}

    client.update_collection(
        name,
        collection_params=models.CollectionParamsDiff(on_disk_payload=True),
        hnsw_config=models.HnswConfigDiff(ef_construct=50),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=500),
    )
    config = client.get_collection(name).config
    assert config.params.on_disk_payload is True
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (8, 50)
    assert config.optimizer_config.indexing_threshold == 500

    assert client.delete_collection(name)
    assert not client.delete_collection(name)


def test_points_are_written_read_and_deleted(client: QdrantClient, name: str, filled: str) -> None:
    batch = models.Batch(ids=[UUID.upper(), 77], vectors=[[1, 2, 3, 4], [4, 3, 2, 1]])
    client.upsert(filled, batch)
    (found,) = client.retrieve(filled, [UUID.replace("-", "")], with_vectors=True)
    assert found.id == UUID and found.vector == pytest.approx(
        [0.1826, 0.3651, 0.5477, 0.7303], 1e-3
    )
    client.delete(filled, points_selector=[77])
    condition = models.FieldCondition(key="n", range=models.Range(gte=8))
    client.delete(filled, points_selector=models.Filter(must=condition))
    assert client.count(filled).count == 9
    client.delete(
        filled, points_selector=models.Filter(must=[models.HasIdCondition(has_id=[UUID])])
    )
    assert client.count(filled, exact=False).count == 8
    condition = models.FieldCondition(key="k", match=models.MatchValue(value="v1"))
    assert client.count(filled, count_filter=models.Filter(must=[condition])).count == 3


def test_payloads_are_set_overwritten_and_removed(client: QdrantClient, filled: str) -> None:
    def payload(point: int) -> Any:
        return client.retrieve(filled, [point])[0].payload

    client.set_payload(filled, {"a": 1}, points=[1])
    client.set_payload(filled, {"y": 2}, points=models.Filter(must=[_n(1)]), key="deep")
    assert payload(1) == {"n": 1, "k": "v1", "deep": {"x": 1, "y": 2}, "a": 1}
    client.delete_payload(filled, ["deep.x", "a"], points=[1])
    assert payload(1) == {"n": 1, "k": "v1", "deep": {"y": 2}}
    client.overwrite_payload(filled, {"only": True}, points=[2])
    assert payload(2) == {"only": True}
    client.clear_payload(filled, points_selector=[2])
    assert payload(2) == {}


def _n(value: int) -> models.FieldCondition:
    return models.FieldCondition(key="n", match=models.MatchValue(value=value))


def test_vectors_are_replaced_and_removed(client: QdrantClient, filled: str) -> None:
    client.update_vectors(filled, [models.PointVectors(id=1, vector=[0, 0, 0, 5])])
    assert client.retrieve(filled, [1], with_vectors=True)[0].vector == [0, 0, 0, 1]
    client.delete_vectors(filled, vectors=[""], points=[1])
    assert client.retrieve(filled, [1], with_vectors=True)[0].vector == {}
    assert 1 not in _ids(client.query_points(filled, query=[0, 0, 0, 1], limit=20))


def test_a_batch_of_updates_is_applied_in_order(client: QdrantClient, filled: str) -> None:
    point = models.PointStruct(id=50, vector=[1, 2, 3, 4])
    done = client.batch_update_points(
        filled,
        [
            models.UpsertOperation(upsert=models.PointsList(points=[point])),
            models.SetPayloadOperation(
                set_payload=models.SetPayload(payload={"q": 1}, points=[50])
            ),
            models.DeleteOperation(delete=models.PointIdsList(points=[0])),
        ],
    )
    assert [update.status for update in done] == [models.UpdateStatus.COMPLETED] * 3
    assert client.retrieve(filled, [50, 0])[0].payload == {"q": 1}


def test_a_conditional_upsert_changes_matching_points_only(vectordb: Any, filled: str) -> None:
    path = f"/collections/{filled}/points?wait=true"
    points = [{"id": at, "vector": [1, 1, 1, 1], "payload": {"new": True}} for at in (1, 2, 60)]
    condition = {"must": [{"key": "n", "match": {"value": 1}}]}
    vectordb.ok("PUT", path, {"points": points[:2], "update_filter": condition})
    vectordb.ok("PUT", path, {"points": [points[1]], "update_mode": "insert_only"})
    vectordb.ok("PUT", path, {"points": [points[2]], "update_mode": "update_only"})
    assert vectordb.ids(filled, {"must": [{"key": "new", "match": {"value": True}}]}) == [1]


def test_nearest_points_come_best_first(client: QdrantClient, filled: str) -> None:
    near = client.query_points(filled, query=[3.0, 1, 2, 3], limit=3, with_payload=["n"])
    assert near.points[0].id == 3 and near.points[0].score == pytest.approx(1.0, abs=1e-5)
    assert near.points[0].payload == {"n": 3}
    scores = [point.score for point in near.points]
    assert scores == sorted(scores, reverse=True)
    assert (
        _ids(client.query_points(filled, query=[3.0, 1, 2, 3], limit=2, offset=1)) == _ids(near)[1:]
    )
    above = client.query_points(filled, query=[3.0, 1, 2, 3], score_threshold=0.9999)
    assert _ids(above) == [3]
    exact = models.SearchParams(exact=True, hnsw_ef=16)
    assert _ids(
        client.query_points(filled, query=[3.0, 1, 2, 3], limit=3, search_params=exact)
    ) == (_ids(near))


def test_a_point_is_no_answer_to_itself(client: QdrantClient, filled: str) -> None:
    found = client.query_points(filled, query=3, limit=10)
    assert 3 not in _ids(found) and len(found.points) == 9
    only = models.Filter(must=[_n(4)])
    assert _ids(client.query_points(filled, query=3, query_filter=only)) == [4]


def test_the_other_kinds_of_query(client: QdrantClient, filled: str) -> None:
    pair = models.ContextPair(positive=2, negative=3)
    kinds: dict[str, Any] = {
        "recommend": models.RecommendQuery(
            recommend=models.RecommendInput(positive=[1], negative=[9])
        ),
        "best score": models.RecommendQuery(
            recommend=models.RecommendInput(
                positive=[1], negative=[9], strategy=models.RecommendStrategy.BEST_SCORE
            )
        ),
        "discover": models.DiscoverQuery(discover=models.DiscoverInput(target=1, context=[pair])),
        "context": models.ContextQuery(context=[pair]),
        "sample": models.SampleQuery(sample=models.Sample.RANDOM),
        "mmr": models.NearestQuery(nearest=[1.0, 2, 3, 4], mmr=models.Mmr(diversity=0.5)),
    }
    for kind, query in kinds.items():
        found = _ids(client.query_points(filled, query=query, limit=4))
        assert len(set(found)) == 4, kind
    ordered = models.OrderByQuery(order_by=models.OrderBy(key="n", direction=models.Direction.DESC))
    assert _ids(client.query_points(filled, query=ordered, limit=3)) == [9, 8, 7]


def test_prefetches_are_fused_and_rescored(client: QdrantClient, filled: str) -> None:
    prefetch = [
        models.Prefetch(query=[0.0, 1, 2, 3], limit=2),
        models.Prefetch(query=[9.0, 1, 2, 3], limit=2),
    ]
    for fusion in (models.Fusion.RRF, models.Fusion.DBSF):
        query = models.FusionQuery(fusion=fusion)
        found = client.query_points(filled, prefetch=prefetch, query=query)
        assert sorted(_ids(found)) == [0, 1, 8, 9]
    formula = models.FormulaQuery(
        formula=models.SumExpression(sum=["$score", models.MultExpression(mult=[10.0, "n"])]),
        defaults={"n": 0},
    )
    found = client.query_points(filled, prefetch=prefetch, query=formula)
    assert _ids(found) == [9, 8, 1, 0] and found.points[0].score >= 90


def test_batches_groups_and_the_older_search(
    vectordb: Any, client: QdrantClient, filled: str
) -> None:
    both = client.query_batch_points(
        filled, [models.QueryRequest(query=[float(at), 1, 2, 3], limit=1) for at in (2, 5)]
    )
    assert [_ids(one) for one in both] == [[2], [5]]
    groups = client.query_points_groups(
        filled, group_by="k", query=[9.0, 1, 2, 3], limit=2, group_size=2, with_payload=["n"]
    ).groups
    assert [group.id for group in groups] == ["v0", "v2"]
    assert [[hit.payload for hit in group.hits] for group in groups] == [
        [{"n": 9}, {"n": 6}],
        [{"n": 8}, {"n": 5}],
    ]
    path = f"/collections/{filled}/points/search"
    (hit,) = vectordb.ok("POST", path, {"vector": [2, 1, 2, 3], "limit": 1})
    assert hit["id"] == 2 and "payload" not in hit
    search = {"vector": {"name": "", "vector": [2, 1, 2, 3]}, "limit": 1, "with_payload": True}
    (answer,) = vectordb.ok("POST", f"{path}/batch", {"searches": [search]})
    assert answer[0]["payload"]["n"] == 2


def test_scrolling_by_page_and_by_order(client: QdrantClient, filled: str) -> None:
    client.upsert(filled, [models.PointStruct(id=UUID, vector=[1, 1, 1, 1], payload={"n": 100})])
    seen: list[Any] = []
    offset: Any = None
    for _ in range(10):
        page, offset = client.scroll(filled, limit=4, offset=offset, with_payload=False)
        seen += [point.id for point in page]
        if offset is None:
            break
    assert seen == [*range(10), UUID]
    descending = models.OrderBy(key="n", direction=models.Direction.DESC, start_from=8)
    page, offset = client.scroll(filled, limit=3, order_by=descending)
    assert [point.id for point in page] == [8, 7, 6] and offset is None
    include = models.PayloadSelectorExclude(exclude=["deep", "k"])
    page, _ = client.scroll(filled, limit=1, with_payload=include)
    assert page[0].payload == {"n": 0}


def test_facets_count_values(client: QdrantClient, filled: str) -> None:
    hits = client.facet(filled, "k", exact=True).hits
    assert [(hit.value, hit.count) for hit in hits] == [("v0", 4), ("v1", 3), ("v2", 3)]
    only = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=2))])
    hits = client.facet(filled, "k", facet_filter=only, limit=1).hits
    assert [(hit.value, hit.count) for hit in hits] == [("v0", 1)]


def test_indexes_of_every_type_are_made_shown_and_removed(client: QdrantClient, name: str) -> None:
    client.create_collection(
        name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT)
    )
    schemas: dict[str, Any] = {
        "keyword": models.KeywordIndexParams(type="keyword", is_tenant=True, on_disk=True),
        "integer": models.IntegerIndexParams(type="integer", lookup=True, range=False),
        "float": "float",
        "bool": "bool",
        "geo": "geo",
        "datetime": "datetime",
        "uuid": "uuid",
        "text": models.TextIndexParams(
            type="text", tokenizer="word", lowercase=True, stopwords="english", min_token_len=2
        ),
    }
    for key, schema in schemas.items():
        client.create_payload_index(name, key, schema)
    shown = client.get_collection(name).payload_schema
    assert {key: index.data_type.value for key, index in shown.items()} == {k: k for k in schemas}
    assert shown["keyword"].params.is_tenant and shown["keyword"].params.on_disk
    assert (shown["integer"].params.lookup, shown["integer"].params.range) == (True, False)
    assert shown["text"].params.tokenizer == "word" and shown["float"].params is None
    for key in schemas:
        client.delete_payload_index(name, key)
    assert client.get_collection(name).payload_schema == {}


def test_aliases_switch_in_one_step(client: QdrantClient, filled: str, name: str) -> None:
    other, alias = f"{name}-other", f"{name}-alias"
    client.create_collection(other, vectors_config=models.VectorParams(size=4, distance="Dot"))

    def create(collection: str, called: str = alias) -> models.CreateAliasOperation:
        made = models.CreateAlias(collection_name=collection, alias_name=called)
        return models.CreateAliasOperation(create_alias=made)

    client.update_collection_aliases([create(filled)])
    assert client.count(alias).count == 10
    drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    client.update_collection_aliases([drop, create(other)])
    assert client.count(alias).count == 0
    rename = models.RenameAlias(old_alias_name=alias, new_alias_name=f"{alias}2")
    client.update_collection_aliases([models.RenameAliasOperation(rename_alias=rename)])
    assert [a.alias_name for a in client.get_collection_aliases(other).aliases] == [f"{alias}2"]
    client.delete_collection(other)
    assert f"{alias}2" not in [found.alias_name for found in client.get_aliases().aliases]


def test_a_failing_alias_action_keeps_those_before_it(vectordb: Any, filled: str) -> None:
    actions = [
        {"create_alias": {"collection_name": filled, "alias_name": f"{filled}-1"}},
        {"create_alias": {"collection_name": "absent", "alias_name": f"{filled}-2"}},
        {"create_alias": {"collection_name": filled, "alias_name": f"{filled}-3"}},
    ]
    status, message = vectordb.error("POST", "/collections/aliases", {"actions": actions})
    assert (status, message) == (404, "Not found: Collection `absent` doesn't exist!")
    found = vectordb.ok("GET", f"/collections/{filled}/aliases")["aliases"]
    assert [alias["alias_name"] for alias in found] == [f"{filled}-1"]
    clash = {"create_alias": {"collection_name": filled, "alias_name": filled}}
    assert vectordb.error("POST", "/collections/aliases", {"actions": [clash]})[0] == 409
    absent = {"rename_alias": {"old_alias_name": "absent", "new_alias_name": "x"}}
    assert vectordb.error("POST", "/collections/aliases", {"actions": [absent]})[0] == 404
    assert vectordb.error("PUT", f"/collections/{filled}-1", {})[0] == 400


def test_snapshots_through_the_client(vectordb: Any, client: QdrantClient, filled: str) -> None:
    made = client.create_snapshot(filled)
    assert made is not None
    assert client.list_snapshots(filled) == [made]
    client.delete(filled, points_selector=[0, 1, 2])
    location = (vectordb.snapshots / filled / made.name).as_uri()
    assert client.recover_snapshot(
        filled, location, checksum=made.checksum, priority=models.SnapshotPriority.SNAPSHOT
    )
    assert client.count(filled).count == 10
    assert client.delete_snapshot(filled, made.name)


def test_large_uploads_arrive_whole(client: QdrantClient, name: str) -> None:
    client.create_collection(name, vectors_config=models.VectorParams(size=32, distance="Dot"))
    vectors = [[float(at)] * 32 for at in range(1500)]
    client.upload_collection(
        name, vectors, payload=({"at": at} for at in range(1500)), ids=range(1500)
    )
    found, _ = client.scroll(name, limit=2000, with_vectors=True)
    assert [(p.id, p.payload, p.vector) for p in found] == [
        (at, {"at": at}, [float(at)] * 32) for at in range(1500)
    ]
