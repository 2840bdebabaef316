"""The content digest: what a collection holds, as a number that no layout or order changes.

Each point becomes a fingerprint (SHA-256 over its canonical id, its float32 vector bytes and its
canonical JSON payload); fingerprints are added modulo 2**256 for the collection, for each tenant
and for each of 1024 buckets by id. A sum, unlike an exclusive or, is not blind to a point that
comes twice. It is safe against accidents, not against an author of collisions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

import orjson

from harness.checks.collection import PAGE, Collection, PointId
from harness.core.errors import HarnessError

ALGORITHM = "ragdrill-content-1"
BUCKETS = 1024
_MODULUS = 1 << 256
_UNNAMED = bytes(4)
_PACKERS: dict[int, Callable[..., bytes]] = {}
"""A packer for each length of vector that was met: a handful, as collections have few vectors."""


@dataclass(frozen=True, slots=True)
class Part:
    """A set of points: their number and the sum of their fingerprints (64 hexadecimal digits)."""

    count: int
    total: str


@dataclass(frozen=True, slots=True)
class Digest:
    """The content of one collection. Equal content gives equal digests.

    ``tenants`` is by payload ``tenant_id`` (the empty string: none), ``buckets`` by id bucket.
    """

    collection: str
    count: int
    total: str
    tenants: dict[str, Part]
    buckets: dict[int, Part]
    algorithm: str = ALGORITHM

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object that :meth:`from_json` reads (about 80 bytes a used bucket)."""
        document = asdict(self)
        document["buckets"] = {str(bucket): value for bucket, value in document["buckets"].items()}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Digest:
        """Read what :meth:`as_json` wrote; raises :class:`HarnessError` for anything else."""
        try:
            digest = cls(
                collection=str(document["collection"]),
                count=int(document["count"]),
                total=str(document["total"]),
                tenants={k: Part(**v) for k, v in document["tenants"].items()},
                buckets={int(k): Part(**v) for k, v in document["buckets"].items()},
                algorithm=str(document["algorithm"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise HarnessError(
                "this is no content digest", expected=ALGORITHM, actual=repr(problem)
            ) from problem
        check_algorithm(digest)
        return digest


class Fingerprint(NamedTuple):
    """One point: its id, tenant, and the digests of its payload and of each vector by name."""

    id: PointId
    tenant: str
    payload: bytes
    vectors: dict[str, bytes]

    def total(self, canonical: bytes) -> int:
        """Return the fingerprint as a number; ``canonical`` is the canonical id."""
        # The parts have one length each (32 bytes) or are preceded by theirs: no two points run
        # together to the same bytes.
        parts = _sized(canonical) + self.payload
        vectors = self.vectors
        for name in vectors if len(vectors) == 1 else sorted(vectors):
            parts += (_sized(name.encode()) if name else _UNNAMED) + vectors[name]
        return int.from_bytes(sha256(parts).digest(), "big")


def check_algorithm(digest: Digest) -> None:
    """Raise unless the digest was made by this algorithm, because others do not compare."""
    if digest.algorithm != ALGORITHM:
        raise HarnessError(
            "this digest was made in another way and cannot be compared",
            expected=ALGORITHM,
            actual=digest.algorithm,
            next_step="take both digests with the same version of Ragdrill",
        )


def canonical_id(point_id: PointId) -> bytes:
    """Return one form for all spellings of an id: number, or UUID without dashes, lower case."""
    if isinstance(point_id, int):
        return b"n%d" % point_id
    return b"u" + point_id.replace("-", "").lower().encode()


def bucket_of(canonical: bytes) -> int:
    """Return the bucket (0 to 1023) of a canonical id."""
    return crc32(canonical) % BUCKETS


def fingerprint(point: Mapping[str, Any]) -> Fingerprint:
    """Return the fingerprint of a point as the REST API returns it."""
    payload = point.get("payload") or {}
    tenant = payload.get("tenant_id", "")
    vector = point.get("vector")
    # A sparse vector always has a name, so an object here maps names to vectors.
    named = vector if isinstance(vector, dict) else {"": vector}
    return Fingerprint(
        id=point["id"],
        tenant=tenant if isinstance(tenant, str) else orjson.dumps(tenant).decode(),
        payload=sha256(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).digest(),
        vectors={
            name: sha256(_vector_bytes(value, point["id"])).digest()
            for name, value in named.items()
            if value is not None
        },
    )


def digest(
    collection: Collection,
    *,
    where: Mapping[str, Any] | None = None,
    ledger: Path | None = None,
    page: int = PAGE,
) -> Digest:
    """Return the digest of a collection (or of what a filter matches) by one streaming scroll.

    Memory is bounded by two pages, the buckets and the number of tenants. ``ledger`` names a file
    to write fingerprints to (about 200 bytes a point), so that differing points can be named later
    even if this collection is gone then. Raises :class:`HarnessError` (see :class:`Collection`).
    """
    summing = _Summing()
    if ledger is None:
        for points in collection.scroll(where=where, page=page):
            for point in points:
                summing.add(fingerprint(point))
    else:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with ledger.open("wb") as file:
            for points in collection.scroll(where=where, page=page):
                for point in points:
                    own = fingerprint(point)
                    summing.add(own)
                    _write_ledger(file, own)
    return summing.result(collection.name)


def digest_of(points: Iterable[Mapping[str, Any]], name: str = "") -> Digest:
    """Return the digest of points at hand, each in the shape of the REST API."""
    summing = _Summing()
    for point in points:
        summing.add(fingerprint(point))
    return summing.result(name)


def read_ledger(path: Path) -> Iterator[Fingerprint]:
    """Yield the fingerprints that :func:`digest` wrote."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = orjson.loads(line)
                yield Fingerprint(
                    id=entry["id"],
                    tenant=entry["tenant"],
                    payload=bytes.fromhex(entry["payload"]),
                    vectors={k: bytes.fromhex(v) for k, v in entry["vectors"].items()},
                )
            except (ValueError, KeyError, TypeError, AttributeError) as problem:
                raise HarnessError(
                    f"line {number} of {path.name} is no fingerprint",
                    expected="a ledger written with the digest",
                    actual=repr(problem),
                ) from problem


def _write_ledger(file: BinaryIO, own: Fingerprint) -> None:
    entry = {
        "id": own.id,
        "tenant": own.tenant,
        "payload": own.payload.hex(),
        "vectors": {name: value.hex() for name, value in own.vectors.items()},
    }
    file.write(orjson.dumps(entry) + b"\n")


class _Summing:
    """Adds fingerprints up."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._totals = [0] * BUCKETS
        self._tenants: dict[str, list[int]] = {}

    def add(self, own: Fingerprint) -> None:
        canonical = canonical_id(own.id)
        value = own.total(canonical)
        bucket = bucket_of(canonical)
        self._counts[bucket] += 1
        self._totals[bucket] += value
        tenant = self._tenants.setdefault(own.tenant, [0, 0])
        tenant[0] += 1
        tenant[1] += value

    def result(self, name: str) -> Digest:
        return Digest(
            collection=name,
            count=sum(self._counts),
            total=_hex(sum(self._totals)),
            tenants={k: Part(v[0], _hex(v[1])) for k, v in sorted(self._tenants.items())},
            buckets={
                bucket: Part(count, _hex(self._totals[bucket]))
                for bucket, count in enumerate(self._counts)
                if count
            },
        )


def _hex(total: int) -> str:
    return f"{total % _MODULUS:064x}"


def _sized(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part


def _vector_bytes(vector: Any, point_id: PointId) -> bytes:
    """Return a dense, sparse or multi-vector as bytes: kind, shape, little-endian float32."""
    try:
        if isinstance(vector, dict):
            pairs = sorted(zip(vector["indices"], vector["values"], strict=True))
            indices = b"".join(index.to_bytes(4, "little") for index, _ in pairs)
            return b"s" + _sized(indices) + _floats([value for _, value in pairs])
        if vector and isinstance(vector[0], list):
            return b"m" + b"".join(_sized(_floats(row)) for row in vector)
        return b"d" + _floats(vector)
    except (
        TypeError,
        KeyError,
        ValueError,
        OverflowError,
        AttributeError,
        struct.error,
    ) as problem:
        raise HarnessError(
            f"the vector of point {point_id} cannot be read",
            expected="a list of numbers, a list of such lists, or indices and values",
            actual=repr(problem),
        ) from problem


def _floats(values: list[float]) -> bytes:
    packer = _PACKERS.get(len(values))
    if packer is None:
        packer = _PACKERS[len(values)] = struct.Struct(f"<{len(values)}f").pack
    return packer(*values)
