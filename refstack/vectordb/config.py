"""Collection settings: what a request may say, what the server fills in, and how they change.

A configuration is held in the shape that the real server writes to a collection's `config.json`,
so that a snapshot can be read by either. Default values are those of Qdrant 1.19's own
`config/config.yaml`.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable
from typing import Any

from refstack.vectordb.checks import (
    JsonObject,
    as_bool,
    as_choice,
    as_int,
    as_number,
    as_object,
    kind,
    required,
)
from refstack.vectordb.errors import (
    bad_request,
    format_error,
    not_offered,
    only_known,
    validation_error,
    wrong_input,
)

DISTANCES = ("Cosine", "Euclid", "Dot", "Manhattan")
DATATYPES = ("float32", "float16", "uint8")
QUANTIZERS = ("scalar", "product", "binary", "turbo")
COMPRESSIONS = ("x4", "x8", "x16", "x32", "x64")

_HNSW_DEFAULTS: JsonObject = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10000,
    "max_indexing_threads": 0,
    "on_disk": False,
}
_OPTIMIZER_DEFAULTS: JsonObject = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "max_segment_size": None,
    "memmap_threshold": None,
    "indexing_threshold": 10000,
    "flush_interval_sec": 5,
    "max_optimization_threads": None,
}
_WAL_DEFAULTS: JsonObject = {"wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1}

Reader = Callable[[object, str], Any]


def _whole(low: int, high: int = 2**63 - 1) -> Reader:
    return lambda value, where: as_int(value, where, low, high)


def _read(source: object, where: str, readers: dict[str, Reader]) -> JsonObject:
    """The given (not null) keys of `source`, each read by its reader; other keys are refused."""
    fields = as_object(source, where, tuple(readers))
    return {
        key: readers[key](value, f"{where}.{key}")
        for key, value in fields.items()
        if value is not None
    }


_HNSW: dict[str, Reader] = {
    "m": _whole(0, 2**16),
    "ef_construct": _whole(4, 2**20),
    "full_scan_threshold": _whole(0),
    "max_indexing_threads": _whole(0, 1024),
    "on_disk": as_bool,
    "payload_m": _whole(0, 2**16),
}


def _share(value: object, where: str) -> float:
    number = as_number(value, where)
    if not 0 <= number <= 1:
        raise validation_error(where, f"value {value} invalid, must be from 0.0 to 1.0")
    return number


_OPTIMIZER: dict[str, Reader] = {
    "deleted_threshold": _share,
    "vacuum_min_vector_number": _whole(100),
    "default_segment_number": _whole(0, 1024),
    "max_segment_size": _whole(1),
    "indexing_threshold": _whole(0),
    "flush_interval_sec": _whole(1),
}


def _quantizer_settings(name: str) -> dict[str, Reader]:
    ram: dict[str, Reader] = {"always_ram": as_bool}
    if name == "scalar":
        return {"type": lambda v, w: as_choice(v, ("int8",), w), "quantile": _quantile, **ram}
    if name == "product":
        return {"compression": lambda v, w: as_choice(v, COMPRESSIONS, w), **ram}
    if name == "turbo":
        bits = ("bits1", "bits1_5", "bits2", "bits4")
        return {"bits": lambda v, w: as_choice(v, bits, w), **ram}
    encodings = ("one_bit", "two_bits", "one_and_half_bits")
    queries = ("default", "binary", "scalar4bits", "scalar8bits")
    return {
        "encoding": lambda v, w: as_choice(v, encodings, w),
        "query_encoding": lambda v, w: as_choice(v, queries, w),
        **ram,
    }


def _quantile(value: object, where: str) -> float:
    number = as_number(value, where)
    if not 0.5 <= number <= 1.0:
        raise validation_error(where, f"value {value} invalid, must be from 0.5 to 1.0")
    return number


def read_quantization(source: object, where: str = "quantization_config") -> JsonObject:
    """`{"scalar": {...}}` and its kind. Raises `ApiError`."""
    fields = as_object(source, where, QUANTIZERS)
    if len(fields) != 1:
        names = ", ".join(f"`{name}`" for name in QUANTIZERS)
        raise format_error(f"{where} must hold exactly one of {names}")
    ((name, settings),) = fields.items()
    read = _read(settings, f"{where}.{name}", _quantizer_settings(name))
    for key in {"scalar": ("type",), "product": ("compression",)}.get(name, ()):
        required(read, key)
    return {name: read}


def _read_vector(source: object, where: str) -> JsonObject:
    known: dict[str, Reader] = {
        "size": _whole(1, 65536),
        "distance": lambda v, w: as_choice(v, DISTANCES, w),
        "on_disk": as_bool,
        "hnsw_config": lambda v, w: _read(v, w, _HNSW),
        "quantization_config": read_quantization,
        "datatype": lambda v, w: as_choice(v, DATATYPES, w),
        "multivector_config": _read_multivector,
    }
    vector = _read(source, where, known)
    for key in ("size", "distance"):
        required(vector, key)
    return vector


def _read_multivector(source: object, where: str) -> JsonObject:
    fields = as_object(source, where, ("comparator",))
    return {"comparator": as_choice(required(fields, "comparator"), ("max_sim",), where)}


def read_vectors(source: object) -> JsonObject:
    """`vectors` of a collection: one unnamed vector, or a map of named ones."""
    fields = as_object(source, "vectors")
    if "size" in fields or "distance" in fields:
        return _read_vector(fields, "vectors")
    for name in fields:
        check_vector_name(name)
    return {name: _read_vector(value, f"vectors.{name}") for name, value in fields.items()}


def check_vector_name(name: str) -> None:
    """Refuse a vector name that cannot be a part of a file name."""
    if not name or len(name) > 200 or any(char in name for char in '<>:"/\\|?*\0\x1f'):
        raise validation_error(
            "vectors", f'vector name `{name}` must have 1 to 200 characters and none of <>:"/\\|?*'
        )


def _read_sparse(source: object, where: str) -> JsonObject:
    if source is None:
        return {}
    index: dict[str, Reader] = {
        "full_scan_threshold": _whole(0),
        "on_disk": as_bool,
        "datatype": lambda v, w: as_choice(v, DATATYPES, w),
    }
    known: dict[str, Reader] = {
        "index": lambda v, w: _read(v, w, index),
        "modifier": lambda v, w: as_choice(v, ("none", "idf"), w),
    }
    return _read(source, where, known)


def read_sparse_vectors(source: object) -> JsonObject:
    """`sparse_vectors` of a collection, by name."""
    fields = as_object(source, "sparse_vectors")
    for name in fields:
        check_vector_name(name)
    return {name: _read_sparse(value, f"sparse_vectors.{name}") for name, value in fields.items()}


def _only_one(fields: JsonObject, key: str) -> None:
    value = fields.get(key)
    if value is not None and as_int(value, key, 1) != 1:
        raise bad_request(
            f"`{key}` must be 1: this stand-in is one node with one shard, got {value}"
        )


_CREATE = (
    "vectors",
    "sparse_vectors",
    "shard_number",
    "sharding_method",
    "replication_factor",
    "write_consistency_factor",
    "on_disk_payload",
    "hnsw_config",
    "wal_config",
    "optimizers_config",
    "quantization_config",
    "strict_mode_config",
    "metadata",
)


def new_config(body: JsonObject) -> JsonObject:
    """The full configuration for a `PUT /collections/{name}` body. Raises `ApiError`."""
    only_known(body, _CREATE, "the body")
    for key in ("shard_number", "replication_factor", "write_consistency_factor"):
        _only_one(body, key)
    if body.get("sharding_method") not in (None, "auto"):
        raise not_offered("sharding_method other than `auto`")
    _refuse_strict_mode(body.get("strict_mode_config"))
    params: JsonObject = {
        "vectors": read_vectors(body.get("vectors") or {}),
        "shard_number": 1,
        "replication_factor": 1,
        "write_consistency_factor": 1,
        "on_disk_payload": True,
    }
    if body.get("sparse_vectors"):
        params["sparse_vectors"] = read_sparse_vectors(body["sparse_vectors"])
        clash = set(params["sparse_vectors"]) & set(dense_vectors(params))
        if clash:
            raise wrong_input(f"vector name `{sorted(clash)[0]}` is both dense and sparse")
    if body.get("on_disk_payload") is not None:
        params["on_disk_payload"] = as_bool(body["on_disk_payload"], "on_disk_payload")
    if not dense_vectors(params) and not params.get("sparse_vectors"):
        raise not_offered("a collection without any vector")
    config: JsonObject = {
        "params": params,
        "hnsw_config": {
            **_HNSW_DEFAULTS,
            **_read(body.get("hnsw_config") or {}, "hnsw_config", _HNSW),
        },
        "optimizer_config": {
            **_OPTIMIZER_DEFAULTS,
            **_read(body.get("optimizers_config") or {}, "optimizers_config", _OPTIMIZER),
        },
        "wal_config": dict(_WAL_DEFAULTS),
        "quantization_config": None,
        "uuid": str(uuid.uuid4()),
    }
    if body.get("wal_config"):
        wal = as_object(body["wal_config"], "wal_config", tuple(_WAL_DEFAULTS))
        if {**_WAL_DEFAULTS, **{k: v for k, v in wal.items() if v is not None}} != _WAL_DEFAULTS:
            raise not_offered(f"wal_config other than {_WAL_DEFAULTS}")
    if body.get("quantization_config") is not None:
        config["quantization_config"] = read_quantization(body["quantization_config"])
    if body.get("metadata") is not None:
        config["metadata"] = as_object(body["metadata"], "metadata")
    return config


def _refuse_strict_mode(source: object) -> None:
    if source is None:
        return
    fields = as_object(source, "strict_mode_config")
    if fields.get("enabled"):
        raise not_offered("strict_mode_config with `enabled: true`")


_PATCH = (
    "vectors",
    "optimizers_config",
    "params",
    "hnsw_config",
    "quantization_config",
    "sparse_vectors",
    "strict_mode_config",
    "metadata",
)


def patched_config(config: JsonObject, body: JsonObject) -> JsonObject:
    """A copy of `config` changed by a `PATCH /collections/{name}` body. Raises `ApiError`."""
    only_known(body, _PATCH, "the body")
    _refuse_strict_mode(body.get("strict_mode_config"))
    changed = copy.deepcopy(config)
    params = changed["params"]
    for key, reader in (("optimizers_config", _OPTIMIZER), ("hnsw_config", _HNSW)):
        if body.get(key) is not None:
            target = "optimizer_config" if key == "optimizers_config" else key
            changed[target].update(_read(body[key], key, reader))
    if body.get("params") is not None:
        known = ("replication_factor", "write_consistency_factor", "on_disk_payload")
        fields = as_object(body["params"], "params", known)
        for key in known[:2]:
            _only_one(fields, key)
        if fields.get("on_disk_payload") is not None:
            params["on_disk_payload"] = as_bool(fields["on_disk_payload"], "on_disk_payload")
    if body.get("quantization_config") is not None:
        changed["quantization_config"] = _read_quantization_change(
            body["quantization_config"], "quantization_config"
        )
    if body.get("metadata") is not None:
        metadata = {**(changed.get("metadata") or {}), **as_object(body["metadata"], "metadata")}
        changed["metadata"] = {k: v for k, v in metadata.items() if v is not None}
    if body.get("vectors") is not None:
        _patch_vectors(params, as_object(body["vectors"], "vectors"))
    if body.get("sparse_vectors") is not None:
        for name, change in read_sparse_vectors(body["sparse_vectors"]).items():
            if name not in params.get("sparse_vectors", {}):
                raise wrong_input(f"Not existing vector name error: {name}")
            params["sparse_vectors"][name].update(change)
    return changed


def _read_quantization_change(source: object, where: str) -> JsonObject | None:
    return None if source == "Disabled" else read_quantization(source, where)


def _patch_vectors(params: JsonObject, changes: JsonObject) -> None:
    vectors = dense_vectors(params)
    known: dict[str, Reader] = {
        "hnsw_config": lambda v, w: _read(v, w, _HNSW),
        "quantization_config": _read_quantization_change,
        "on_disk": as_bool,
    }
    for name, change in changes.items():
        if name not in vectors:
            raise wrong_input(f"Not existing vector name error: {name}")
        read = _read(change, f"vectors.{name}", known)
        if "hnsw_config" in read:
            read["hnsw_config"] = {
                **(vectors[name].get("hnsw_config") or {}),
                **read["hnsw_config"],
            }
        vectors[name].update(read)


def dense_vectors(params: JsonObject) -> JsonObject:
    """The dense vectors of `config["params"]` by name; the unnamed one has the name ``""``."""
    vectors: JsonObject = params.get("vectors") or {}
    return {"": vectors} if "size" in vectors else vectors


def stored_config(source: object) -> JsonObject:
    """A `config.json` of a snapshot, checked and completed with defaults. Raises `ApiError`."""
    fields = as_object(source, "config.json")
    params = as_object(required(fields, "params"), "params")
    if params.get("shard_number", 1) != 1:
        raise bad_request(
            f"Snapshot holds {params['shard_number']} shards, this stand-in takes exactly 1"
        )
    body: JsonObject = {
        "vectors": params.get("vectors"),
        "sparse_vectors": params.get("sparse_vectors"),
        "on_disk_payload": params.get("on_disk_payload"),
        "quantization_config": fields.get("quantization_config"),
        "metadata": fields.get("metadata"),
    }
    config = new_config({key: value for key, value in body.items() if value is not None})
    for key in ("hnsw_config", "optimizer_config"):
        stored = fields.get(key) or {}
        if not isinstance(stored, dict):
            raise format_error(f"invalid type: {kind(stored)}, expected a map for {key}")
        config[key].update({k: v for k, v in stored.items() if k in config[key] and v is not None})
    if isinstance(fields.get("uuid"), str):
        config["uuid"] = fields["uuid"]
    return config
