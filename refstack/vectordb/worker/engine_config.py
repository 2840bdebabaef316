"""From a collection's configuration to the engine's own configuration objects."""

from __future__ import annotations

from typing import Any

import qdrant_edge as edge

from refstack.vectordb.checks import JsonObject
from refstack.vectordb.config import dense_vectors

DISTANCE = {
    "Cosine": edge.Distance.Cosine,
    "Euclid": edge.Distance.Euclid,
    "Dot": edge.Distance.Dot,
    "Manhattan": edge.Distance.Manhattan,
}
DATATYPE = {
    "float32": edge.VectorStorageDatatype.Float32,
    "float16": edge.VectorStorageDatatype.Float16,
    "uint8": edge.VectorStorageDatatype.Uint8,
}
_COMPRESSION = {
    "x4": edge.CompressionRatio.X4,
    "x8": edge.CompressionRatio.X8,
    "x16": edge.CompressionRatio.X16,
    "x32": edge.CompressionRatio.X32,
    "x64": edge.CompressionRatio.X64,
}
_ENCODING = {
    "one_bit": edge.BinaryQuantizationEncoding.OneBit,
    "two_bits": edge.BinaryQuantizationEncoding.TwoBits,
    "one_and_half_bits": edge.BinaryQuantizationEncoding.OneAndHalfBits,
}
_QUERY_ENCODING = {
    "default": edge.BinaryQuantizationQueryEncoding.Default,
    "binary": edge.BinaryQuantizationQueryEncoding.Binary,
    "scalar4bits": edge.BinaryQuantizationQueryEncoding.Scalar4Bits,
    "scalar8bits": edge.BinaryQuantizationQueryEncoding.Scalar8Bits,
}
_BITS = {
    "bits1": edge.TurboQuantBitSize.Bits1,
    "bits1_5": edge.TurboQuantBitSize.Bits1_5,
    "bits2": edge.TurboQuantBitSize.Bits2,
    "bits4": edge.TurboQuantBitSize.Bits4,
}


def multivector(source: JsonObject | None) -> edge.MultiVectorConfig | None:
    """`multivector_config`, whose only comparator is `max_sim`."""
    return None if source is None else edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)


def _hnsw(collection: JsonObject, own: JsonObject | None) -> edge.HnswIndexConfig:
    merged = {**collection, **(own or {})}
    return edge.HnswIndexConfig(
        m=merged["m"],
        ef_construct=merged["ef_construct"],
        full_scan_threshold=merged["full_scan_threshold"],
        max_indexing_threads=merged["max_indexing_threads"],
        on_disk=merged["on_disk"],
        payload_m=merged.get("payload_m"),
    )


def _quantization(source: JsonObject | None) -> Any:
    if not source:
        return None
    ((name, settings),) = source.items()
    ram = settings.get("always_ram")
    if name == "scalar":
        return edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=settings.get("quantile"), always_ram=ram
        )
    if name == "product":
        compression = _COMPRESSION[settings["compression"]]
        return edge.ProductQuantizationConfig(compression, always_ram=ram)
    if name == "turbo":
        return edge.TurboQuantQuantizationConfig(
            always_ram=ram, bits=_BITS.get(settings.get("bits", ""))
        )
    return edge.BinaryQuantizationConfig(
        always_ram=ram,
        encoding=_ENCODING.get(settings.get("encoding", "")),
        query_encoding=_QUERY_ENCODING.get(settings.get("query_encoding", "")),
    )


def engine_config(config: JsonObject) -> edge.EdgeConfig:
    """The engine's configuration for a collection configuration of `refstack.vectordb.config`."""
    params, optimizer = config["params"], config["optimizer_config"]
    vectors = {
        name: edge.EdgeVectorParams(
            size=vector["size"],
            distance=DISTANCE[vector["distance"]],
            on_disk=vector.get("on_disk"),
            multivector_config=multivector(vector.get("multivector_config")),
            datatype=DATATYPE.get(vector.get("datatype", "")),
            quantization_config=_quantization(vector.get("quantization_config")),
            hnsw_config=_hnsw(config["hnsw_config"], vector.get("hnsw_config")),
        )
        for name, vector in dense_vectors(params).items()
    }
    sparse = {
        name: edge.EdgeSparseVectorParams(
            full_scan_threshold=(vector.get("index") or {}).get("full_scan_threshold"),
            on_disk=(vector.get("index") or {}).get("on_disk"),
            modifier=edge.Modifier.Idf if vector.get("modifier") == "idf" else None,
            datatype=DATATYPE.get((vector.get("index") or {}).get("datatype", "")),
        )
        for name, vector in (params.get("sparse_vectors") or {}).items()
    }
    return edge.EdgeConfig(
        vectors=vectors,
        sparse_vectors=sparse,
        on_disk_payload=params["on_disk_payload"],
        hnsw_config=_hnsw(config["hnsw_config"], None),
        quantization_config=_quantization(config.get("quantization_config")),
        optimizers=edge.EdgeOptimizersConfig(
            deleted_threshold=optimizer["deleted_threshold"],
            vacuum_min_vector_number=optimizer["vacuum_min_vector_number"],
            default_segment_number=optimizer["default_segment_number"],
            max_segment_size=optimizer["max_segment_size"],
            indexing_threshold=optimizer["indexing_threshold"],
        ),
        # The engine's last minor version, which an upgrade begins with, always has the log.
        **({"wal_enabled": True} if hasattr(edge.EdgeConfig, "wal_enabled") else {}),
    )
