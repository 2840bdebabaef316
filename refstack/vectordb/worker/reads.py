"""Read operations on a collection."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import (
    JsonObject,
    as_bool,
    as_int,
    as_list,
    as_object,
    as_text,
    given,
    load_body,
    required,
)
from refstack.vectordb.errors import not_found, not_offered, validation_error
from refstack.vectordb.worker.answers import (
    point_id,
    read_with_payload,
    read_with_vector,
    record,
    scored,
)
from refstack.vectordb.worker.collection import Collection
from refstack.vectordb.worker.filters import read_filter, read_point_id, read_point_ids
from refstack.vectordb.worker.groups import grouped
from refstack.vectordb.worker.indexes import schema_of
from refstack.vectordb.worker.queries import (
    DEFAULT_LIMIT,
    from_search,
    read_order_by,
    read_query,
    run,
)

Answer = Any


def _known(source: object, *names: str) -> JsonObject:
    fields = as_object(source, "the body", (*names, "shard_key"))
    if fields.get("shard_key") is not None:
        raise not_offered("shard_key")
    return fields


def query(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`points/query`."""
    found = run(collection, read_query(load_body(body), collection))
    return {"points": [scored(point) for point in found]}


def query_batch(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`points/query/batch`."""
    searches = as_list(required(_known(load_body(body), "searches"), "searches"), "searches")
    requests = [read_query(item, collection) for item in searches]
    return [
        {"points": [scored(point) for point in run(collection, request)]} for request in requests
    ]


def search(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """The older `points/search`."""
    found = run(collection, read_query(from_search(load_body(body)), collection))
    return [scored(point) for point in found]


def search_batch(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """The older `points/search/batch`."""
    searches = as_list(required(_known(load_body(body), "searches"), "searches"), "searches")
    requests = [read_query(from_search(item), collection) for item in searches]
    return [[scored(p) for p in run(collection, request)] for request in requests]


def query_groups(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`points/query/groups`: the best hits of each value of a payload key."""
    return {"groups": grouped(collection, load_body(body))}


def scroll(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`points/scroll`: by id with an offset, or by a payload key without one."""
    fields = _known(
        load_body(body),
        "offset",
        "limit",
        "filter",
        "with_payload",
        "with_vector",
        "with_vectors",
        "order_by",
    )
    limit = given(fields, "limit")
    limit = DEFAULT_LIMIT if limit is None else as_int(limit, "limit", 1)
    offset = given(fields, "offset")
    order_by = given(fields, "order_by")
    if order_by is not None and offset is not None:
        raise validation_error(
            "offset", "cannot be used with order_by; use order_by.start_from and a filter instead"
        )
    found, following = collection.shard.scroll(
        edge.ScrollRequest(
            offset=None if offset is None else read_point_id(offset),
            limit=limit,
            filter=read_filter(given(fields, "filter")),
            with_payload=read_with_payload(given(fields, "with_payload"), default=True),
            with_vector=read_with_vector(fields, collection.specs),
            order_by=None if order_by is None else read_order_by(order_by),
        )
    )
    return {
        "points": [record(point) for point in found],
        "next_page_offset": None
        if following is None or order_by is not None
        else point_id(following),
    }


def count(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`points/count`, exact unless asked otherwise."""
    fields = _known(load_body(body or b"{}"), "filter", "exact")
    exact = given(fields, "exact")
    request = edge.CountRequest(
        True if exact is None else as_bool(exact, "exact"), read_filter(given(fields, "filter"))
    )
    return {"count": collection.shard.count(request)}


def facet(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`facet`: how many points hold each value of a key."""
    fields = _known(load_body(body), "key", "limit", "filter", "exact")
    limit = given(fields, "limit")
    request = edge.FacetRequest(
        as_text(required(fields, "key"), "key"),
        DEFAULT_LIMIT if limit is None else as_int(limit, "limit", 1),
        as_bool(fields.get("exact") or False, "exact"),
        read_filter(given(fields, "filter")),
    )
    hits = collection.shard.facet(request).hits
    return {
        "hits": [
            {
                "value": hit.value if isinstance(hit.value, str | int) else str(hit.value),
                "count": hit.count,
            }
            for hit in hits
        ]
    }


def retrieve(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`POST points`: by ids, in the order asked for; ids that are not there are left out."""
    fields = _known(load_body(body), "ids", "with_payload", "with_vector", "with_vectors")
    found = collection.shard.retrieve(
        read_point_ids(required(fields, "ids"), "ids"),
        read_with_payload(given(fields, "with_payload"), default=True),
        read_with_vector(fields, collection.specs),
    )
    return [record(point) for point in found]


def one_point(collection: Collection, _body: bytes, parameters: JsonObject) -> Answer:
    """`GET points/{id}`, with payload and vectors."""
    text = parameters["id"]
    wanted = read_point_id(int(text) if text.isascii() and text.isdigit() else text)
    found = collection.shard.retrieve([wanted], True, True)
    if not found:
        raise not_found(f"Point with id {point_id(wanted)} does not exists!")
    return record(found[0])


def info(collection: Collection, _body: bytes, _parameters: JsonObject) -> Answer:
    """`GET collections/{name}`."""
    found = collection.shard.info()
    config = {key: value for key, value in collection.config.items() if key != "uuid"}
    busy = collection.optimizing or collection.wants_optimization()
    status = "red" if collection.optimizer_error else "yellow" if busy else "green"
    return {
        "status": status,
        "optimizer_status": {"error": collection.optimizer_error}
        if collection.optimizer_error
        else "ok",
        "indexed_vectors_count": found.indexed_vectors_count,
        "points_count": found.points_count,
        "segments_count": found.segments_count,
        "config": config,
        "payload_schema": {name: schema_of(i) for name, i in found.payload_schema.items()},
        "update_queue": {"length": 0},
    }
