"""Write operations on a collection, as endpoints."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import JsonObject, as_object, load_body
from refstack.vectordb.config import check_vector_name, new_config, patched_config
from refstack.vectordb.errors import bad_request, format_error, not_offered, wrong_input
from refstack.vectordb.worker.collection import Collection
from refstack.vectordb.worker.engine_config import DATATYPE, DISTANCE, multivector
from refstack.vectordb.worker.indexes import read_index
from refstack.vectordb.worker.updates import READERS, Update, read_batch

Answer = Any


def _done(operation_id: int, parameters: JsonObject) -> JsonObject:
    # Both are durable: the engine's log has the operation before this is said.
    status = "completed" if parameters.get("wait") else "acknowledged"
    return {"operation_id": operation_id, "status": status}


def update(collection: Collection, body: bytes, parameters: JsonObject) -> Answer:
    """Any single write to points; `parameters["kind"]` says which."""
    read = READERS[parameters["kind"]]
    operation_id = collection.apply(read(load_body(body), collection))
    return _done(operation_id, parameters)


def update_batch(collection: Collection, body: bytes, parameters: JsonObject) -> Answer:
    """`points/batch`: all are checked before the first is applied."""
    updates = read_batch(load_body(body), collection)
    return [_done(collection.apply(item), parameters) for item in updates]


def create_index(collection: Collection, body: bytes, parameters: JsonObject) -> Answer:
    """`PUT index`."""
    name, schema = read_index(load_body(body))
    operation = edge.UpdateOperation.create_field_index(name, schema)
    return _done(collection.apply(Update(operation)), parameters)


def delete_index(collection: Collection, _body: bytes, parameters: JsonObject) -> Answer:
    """`DELETE index/{field_name}`; an index that is not there is fine."""
    operation = edge.UpdateOperation.delete_field_index(parameters["field_name"])
    return _done(collection.apply(Update(operation)), parameters)


def create_vector(collection: Collection, body: bytes, parameters: JsonObject) -> Answer:
    """`PUT vectors/{vector_name}`: a further named vector, dense or sparse."""
    name = parameters["vector_name"]
    check_vector_name(name)
    fields = as_object(load_body(body), "the body", ("dense", "sparse"))
    if len(fields) != 1:
        raise format_error("the body must hold exactly one of `dense`, `sparse`")
    config = copy.deepcopy(collection.config)
    if "size" in config["params"]["vectors"]:
        raise bad_request("a collection with an unnamed vector takes no named one")
    if name in collection.specs:
        raise wrong_input(f"vector `{name}` already exists")
    if "dense" in fields:
        allowed = ("size", "distance", "multivector_config", "datatype")
        as_object(fields["dense"], "dense", allowed)
        made = new_config({"vectors": {name: fields["dense"]}})["params"]["vectors"][name]
        operation = edge.UpdateOperation.create_dense_vector(
            name,
            made["size"],
            DISTANCE[made["distance"]],
            multivector(made.get("multivector_config")),
            DATATYPE.get(made.get("datatype", "")),
        )
        config["params"]["vectors"][name] = made
    else:
        inner = as_object(fields["sparse"], "sparse", ("modifier",))
        made = new_config({"sparse_vectors": {name: inner}})["params"]["sparse_vectors"][name]
        modifier = edge.Modifier.Idf if made.get("modifier") == "idf" else None
        operation = edge.UpdateOperation.create_sparse_vector(name, modifier)
        config["params"].setdefault("sparse_vectors", {})[name] = made
    operation_id = collection.apply(Update(operation))
    collection.rewrite_config(config)
    return _done(operation_id, parameters)


def delete_vector(collection: Collection, _body: bytes, parameters: JsonObject) -> Answer:
    """`DELETE vectors/{vector_name}`: the vector and all its values."""
    name = parameters["vector_name"]
    config = copy.deepcopy(collection.config)
    params = config["params"]
    if name and name in params["vectors"] and name in collection.specs:
        del params["vectors"][name]
    elif name in params.get("sparse_vectors", {}):
        del params["sparse_vectors"][name]
    else:
        raise wrong_input(f"Not existing vector name error: {name}")
    if len(collection.specs) == 1:
        raise not_offered("a collection without any vector")
    operation_id = collection.apply(Update(edge.UpdateOperation.delete_vector_name(name)))
    collection.rewrite_config(config)
    return _done(operation_id, parameters)


def patch(collection: Collection, body: bytes, _parameters: JsonObject) -> Answer:
    """`PATCH collections/{name}`."""
    changed = patched_config(collection.config, load_body(body))
    if {**changed, "metadata": None} != {**collection.config, "metadata": None}:
        collection.reconfigure(changed)
    elif changed != collection.config:
        collection.rewrite_config(changed)
    return True


def export(collection: Collection, _body: bytes, parameters: JsonObject) -> Answer:
    """For a snapshot: a copy of the data in `parameters["target"]`, and what goes with it."""
    return collection.export(Path(parameters["target"]))


def adopt(collection: Collection, body: bytes, parameters: JsonObject) -> Answer:
    """For a restore: go over to `parameters["generation"]`; the body is its configuration."""
    collection.adopt(parameters["generation"], load_body(body))
    return True
